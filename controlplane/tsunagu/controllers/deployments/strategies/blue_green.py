"""BLUE_GREEN: all production traffic shifts at once, when the target is fully up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tsunagu.controllers.deployments.strategies.strategy import SHIFTING_STAGES, WHOLE, Step, Strategy

if TYPE_CHECKING:
    from tsunagu.v1.deployments_pb2 import ServiceDeployment


def blue_green(body: ServiceDeployment) -> Strategy:  # noqa: ARG001 - every strategy is made from its deployment
    """Make the strategy."""
    return Strategy("BLUE_GREEN", SHIFTING_STAGES, (Step(WHOLE),))
