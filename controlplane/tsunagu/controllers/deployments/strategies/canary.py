"""CANARY: a small share of production traffic first, then all of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tsunagu.controllers.deployments.strategies.strategy import SHIFTING_STAGES, WHOLE, Step, Strategy, bake

if TYPE_CHECKING:
    from tsunagu.v1.deployments_pb2 import ServiceDeployment

PERCENT: Final = 5.0
BAKE_MINUTES: Final = 10


def canary(body: ServiceDeployment) -> Strategy:
    """Make the strategy. A canary of 100 percent is one step."""
    given = body.configuration.canary_configuration
    percent = given.canary_percent if given.HasField("canary_percent") else PERCENT
    minutes = given.canary_bake_time_in_minutes if given.HasField("canary_bake_time_in_minutes") else BAKE_MINUTES
    first = Step(round(percent * 10), bake(body, minutes))
    return Strategy("CANARY", SHIFTING_STAGES, (first, Step(WHOLE)) if first.weight < WHOLE else (Step(WHOLE),))
