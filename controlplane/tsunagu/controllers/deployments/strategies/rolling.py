"""ROLLING: tasks are replaced as minimumHealthyPercent and maximumPercent allow. Traffic follows the tasks.

It has no bake time: that is the time in which both revisions are up, and here the old tasks are gone by then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tsunagu.controllers.deployments.strategies.strategy import Strategy
from tsunagu.model.statuses import Stage

if TYPE_CHECKING:
    from tsunagu.v1.deployments_pb2 import ServiceDeployment


def rolling(body: ServiceDeployment) -> Strategy:  # noqa: ARG001 - every strategy is made from its deployment
    """Make the strategy."""
    return Strategy("ROLLING", (Stage.SCALE_UP,))
