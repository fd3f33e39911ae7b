"""LINEAR: production traffic shifts in equal steps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tsunagu.controllers.deployments.strategies.strategy import SHIFTING_STAGES, WHOLE, Step, Strategy, bake

if TYPE_CHECKING:
    from tsunagu.v1.deployments_pb2 import ServiceDeployment

PERCENT: Final = 10.0
BAKE_MINUTES: Final = 6


def linear(body: ServiceDeployment) -> Strategy:
    """Make the strategy. The last step is what is left, and has no bake time of its own."""
    given = body.configuration.linear_configuration
    percent = given.step_percent if given.HasField("step_percent") else PERCENT
    minutes = given.step_bake_time_in_minutes if given.HasField("step_bake_time_in_minutes") else BAKE_MINUTES
    size, seconds = max(1, round(percent * 10)), bake(body, minutes)
    steps = [Step(weight, seconds) for weight in range(size, WHOLE, size)]
    return Strategy("LINEAR", SHIFTING_STAGES, (*steps, Step(WHOLE)))
