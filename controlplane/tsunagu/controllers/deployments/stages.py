"""When a stage of a deployment is over, and what it means for traffic: one table for all strategies.

The one rule: a stage is over by what is (tasks, and the time since it began), never by what was done; so it ends the same way
when the control plane was killed in it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from tsunagu.controllers import task_state
from tsunagu.controllers.actions import stamp
from tsunagu.controllers.deployments import hooks
from tsunagu.controllers.deployments.strategies import strategy_of
from tsunagu.controllers.deployments.strategies.strategy import WHOLE, bake
from tsunagu.model.statuses import DeploymentStatus, Stage

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tsunagu.controllers.deployments.facts import Facts
    from tsunagu.controllers.deployments.strategies.strategy import Strategy
    from tsunagu.v1.deployments_pb2 import ServiceDeployment

NOW: Final = -math.inf
NOT_YET: Final = math.inf

_ORDER: Final = tuple(Stage)


def advance(body: ServiceDeployment, facts: Facts, now: float) -> float:
    """Take the deployment (which is changed) as far as it can go; return when it could go further by time alone."""
    strategy = strategy_of(body)
    if not body.lifecycle_stage:
        _enter(body, strategy.stages[0], 0, now)
        hooks.begin(body, now, several=facts.source_others > 0)
    while body.status == DeploymentStatus.IN_PROGRESS:
        if hooks.held_until(body) > now:
            return hooks.expires_at(body)
        over = _OVER[Stage(body.lifecycle_stage)](_Look(body, strategy, facts))
        if over > now:
            return over
        _go_on(body, strategy, now)
    return NOT_YET


def reached(body: ServiceDeployment, stage: Stage) -> bool:
    """Whether it is in that stage, or in a later one."""
    return bool(body.lifecycle_stage) and _ORDER.index(Stage(body.lifecycle_stage)) >= _ORDER.index(stage)


def weight(body: ServiceDeployment) -> int:
    """The target's share of production traffic, in tenths of a percent."""
    steps = strategy_of(body).steps
    if reached(body, Stage.POST_PRODUCTION_TRAFFIC_SHIFT):
        return WHOLE
    shifted = body.step if body.lifecycle_stage == Stage.PRODUCTION_TRAFFIC_SHIFT else body.step - 1
    return steps[shifted].weight if shifted >= 0 else 0


def bakes(body: ServiceDeployment) -> bool:
    """Whether it is in a stage that waits for its time to be over, and for its alarms."""
    return body.lifecycle_stage in _BAKING


def overdue_at(body: ServiceDeployment, stage_limit: float, deployment_limit: float) -> float:
    """When a deployment that shifts traffic, or bakes, has taken too long. Bake times, and the time of hooks, do not count as the
    stage's.
    """
    strategy = strategy_of(body)
    if not strategy.shifts and body.lifecycle_stage != Stage.BAKE_TIME:
        return NOT_YET
    since = task_state.seconds(body.stage_since)
    baking = _bake_ends(body, strategy) - since if body.lifecycle_stage in _BAKING else 0.0
    due = max(since + baking, hooks.held_until(body)) + stage_limit
    return min(due, task_state.seconds(body.created_at) + deployment_limit)


def bakes_until(body: ServiceDeployment, now: float) -> float | None:
    """When all bake times that are left will be over, if nothing else takes time; None: it has none, or goes on no more."""
    strategy = strategy_of(body)
    over = body.status != DeploymentStatus.IN_PROGRESS or reached(body, Stage.CLEAN_UP)
    if over or not any(stage in _BAKING for stage in strategy.stages):
        return None
    begun = max(now, _bake_ends(body, strategy)) if bakes(body) else now
    if body.lifecycle_stage == Stage.BAKE_TIME:
        return begun
    later = (
        strategy.steps[body.step + 1 :]
        if reached(body, Stage.PRODUCTION_TRAFFIC_SHIFT)
        else strategy.steps[body.step :]
    )
    last = _last_bake(body, strategy)
    return begun + last + sum(step.bake for step in later)


@dataclass(frozen=True, slots=True)
class _Look:
    """All that decides whether a stage is over."""

    body: ServiceDeployment
    strategy: Strategy
    facts: Facts | None

    @property
    def seen(self) -> Facts:
        assert self.facts is not None
        return self.facts


def _at_once(look: _Look) -> float:  # noqa: ARG001 - every stage is asked in the same way
    return NOW


def _reconciled(look: _Look) -> float:
    """Only the source's tasks are left, and all of them are admitted."""
    seen = look.seen
    return NOW if not seen.source_others and seen.source_admitted >= seen.desired else NOT_YET


def _scaled_up(look: _Look) -> float:
    """The target is up. A deployment that shifts nothing is over only with the old tasks, unless their clean-up is DEFERRED."""
    seen, early = look.seen, look.body.configuration.early_success_criteria
    deferred = early.enable and early.source_service_revision_cleanup == "DEFERRED"
    waits_for_old = not look.strategy.shifts and not deferred and seen.target_others
    return NOW if seen.target_admitted >= seen.needed and not waits_for_old else NOT_YET


def _fully_up(look: _Look) -> float:
    """Before each step of the shift: what lost a task meanwhile gets no further share."""
    return NOW if look.seen.target_admitted >= look.seen.desired else NOT_YET


def _baked(look: _Look) -> float:
    """Its time is over, and of every alarm that is monitored there is data."""
    return NOT_YET if look.body.alarms.awaited_alarm_names else _bake_ends(look.body, look.strategy)


def _bake_ends(body: ServiceDeployment, strategy: Strategy) -> float:
    since = task_state.seconds(body.stage_since)
    if body.lifecycle_stage == Stage.PRODUCTION_TRAFFIC_SHIFT:
        return since + strategy.steps[body.step].bake
    return since + _last_bake(body, strategy)


def _last_bake(body: ServiceDeployment, strategy: Strategy) -> float:
    """Seconds of BAKE_TIME: the configured ones, or for as long as the alarms of a rolling deployment look back."""
    if not strategy.shifts and not body.request.HasField("bake_seconds"):
        return body.alarms.window_seconds
    return bake(body, body.configuration.bake_time_in_minutes)


def _cleaned_up(look: _Look) -> float:
    return NOT_YET if look.seen.target_others else NOW


_BAKING: Final = frozenset({Stage.PRODUCTION_TRAFFIC_SHIFT, Stage.BAKE_TIME})
_OVER: Final[Mapping[Stage, Callable[[_Look], float]]] = MappingProxyType(
    {
        Stage.RECONCILE_SERVICE: _reconciled,
        Stage.PRE_SCALE_UP: _at_once,
        Stage.SCALE_UP: _scaled_up,
        Stage.POST_SCALE_UP: _at_once,
        Stage.TEST_TRAFFIC_SHIFT: _at_once,
        Stage.POST_TEST_TRAFFIC_SHIFT: _at_once,
        Stage.PRE_PRODUCTION_TRAFFIC_SHIFT: _fully_up,
        Stage.PRODUCTION_TRAFFIC_SHIFT: _baked,
        Stage.POST_PRODUCTION_TRAFFIC_SHIFT: _at_once,
        Stage.BAKE_TIME: _baked,
        Stage.CLEAN_UP: _cleaned_up,
    }
)


def _go_on(body: ServiceDeployment, strategy: Strategy, now: float) -> None:
    """The next step of the shift, else the next stage, else the end."""
    stage = Stage(body.lifecycle_stage)
    if stage == Stage.PRODUCTION_TRAFFIC_SHIFT and body.step + 1 < len(strategy.steps):
        _enter(body, Stage.PRE_PRODUCTION_TRAFFIC_SHIFT, body.step + 1, now)
    elif (place := strategy.stages.index(stage) + 1) < len(strategy.stages):
        _enter(body, strategy.stages[place], body.step, now)
    else:
        finish(body, DeploymentStatus.SUCCESSFUL, "", now)
        return
    hooks.begin(body, now, several=True)


def finish(body: ServiceDeployment, status: DeploymentStatus, reason: str, now: float) -> None:
    """End it (it is changed)."""
    body.status, body.status_reason = status, reason or body.status_reason
    hooks.close(body, now)
    stamp(body.finished_at, now)


def _enter(body: ServiceDeployment, stage: Stage, step: int, now: float) -> None:
    body.lifecycle_stage, body.step = stage, step
    stamp(body.stage_since, now)
