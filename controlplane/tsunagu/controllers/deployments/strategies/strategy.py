"""What a deployment strategy is: a table of stages, and the steps by which production traffic shifts.

The one rule: a strategy says which stages there are and in which order; what happens in a stage, and when it is over, is the
same in all strategies (`stages.py`). So a new strategy is one file and a line in `strategies/__init__.py`.

Source: ECS API Reference, DeploymentConfiguration; ECS Developer Guide, lifecycle stages of blue/green, linear and canary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tsunagu.model.statuses import Stage

if TYPE_CHECKING:
    from tsunagu.v1.deployments_pb2 import ServiceDeployment

WHOLE: Final = 1000
"""All requests: weights are in tenths of a percent."""
MINUTE: Final = 60.0

#: Those of every strategy that shifts traffic; ECS's order.
SHIFTING_STAGES: Final = (
    Stage.RECONCILE_SERVICE,
    Stage.PRE_SCALE_UP,
    Stage.SCALE_UP,
    Stage.POST_SCALE_UP,
    Stage.TEST_TRAFFIC_SHIFT,
    Stage.POST_TEST_TRAFFIC_SHIFT,
    Stage.PRE_PRODUCTION_TRAFFIC_SHIFT,
    Stage.PRODUCTION_TRAFFIC_SHIFT,
    Stage.POST_PRODUCTION_TRAFFIC_SHIFT,
    Stage.BAKE_TIME,
    Stage.CLEAN_UP,
)


@dataclass(frozen=True, slots=True)
class Step:
    """A step of the production shift: the target's weight, and for how many seconds it stays before the next step."""

    weight: int
    bake: float = 0.0


@dataclass(frozen=True, slots=True)
class Strategy:
    """`steps`: of the production shift; the last one has weight WHOLE. none: tasks are replaced, and no traffic is shifted."""

    name: str
    stages: tuple[Stage, ...]
    steps: tuple[Step, ...] = ()

    @property
    def shifts(self) -> bool:
        """Whether the target comes up beside the source, and traffic moves from the one to the other."""
        return bool(self.steps)


def bake(body: ServiceDeployment, minutes: int) -> float:
    """Seconds of a bake time: what was asked for this deployment alone, else the configured minutes."""
    return body.request.bake_seconds if body.request.HasField("bake_seconds") else minutes * MINUTE
