"""What the present deployment of a service asks of its tasks and of its traffic.

The one rule: everything here follows from the deployment and from what runs. A control plane that was killed at any point goes
on from the stage that is in the registry, and a user's request (a status that ends with REQUESTED) is one more fact.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from tsunagu.controllers.actions import clone
from tsunagu.controllers.deployments import alarms, breaker, history, hooks, rollback, stages
from tsunagu.controllers.deployments.facts import facts_of
from tsunagu.controllers.deployments.strategies import strategy_of
from tsunagu.controllers.deployments.strategies.strategy import WHOLE
from tsunagu.model.statuses import AlarmsStatus, BreakerStatus, DeploymentStatus, Stage
from tsunagu.v1 import objects_pb2

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tsunagu.controllers.policy import Policy
    from tsunagu.v1.deployments_pb2 import ServiceDeployment
    from tsunagu.v1.objects_pb2 import Object

_IN_PROGRESS = DeploymentStatus.IN_PROGRESS
_GOING_BACK = frozenset(
    {
        DeploymentStatus.ROLLBACK_IN_PROGRESS,
        DeploymentStatus.ROLLBACK_SUCCESSFUL,
        DeploymentStatus.ROLLBACK_FAILED,
    }
)

_SETTLED = frozenset({DeploymentStatus.SUCCESSFUL, DeploymentStatus.ROLLBACK_SUCCESSFUL})


@dataclass(frozen=True, slots=True)
class Observed:
    """What is there: all tasks of the service, those of them that live (and are to stay so), how many are desired, and the alarms by
    name.
    """

    tasks: tuple[Object, ...]
    live: tuple[Object, ...]
    desired: int
    alarms: Mapping[str, Object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Fleet:
    """Tasks that are brought to desiredCount of one revision. `among`: the revisions whose tasks belong to it; None: all.

    `deployment`: the number that its new tasks bear. `may_start`: whether new ones are started at all. `needed`: see `Facts`.
    """

    revision: str
    deployment: int
    among: frozenset[str] | None = None
    but: frozenset[str] = field(default_factory=frozenset)
    may_start: bool = True
    needed: int | None = None

    def holds(self, task: Object) -> bool:
        """Whether a task belongs to it."""
        revision = task.task.spec.service_revision
        return revision not in self.but and (self.among is None or revision in self.among)


def moved(deployment: Object, observed: Observed, now: float, policy: Policy) -> tuple[Object, float]:
    """Return the deployment as it is now, and when it would go on though nothing has changed."""
    if history.is_over(deployment):
        return deployment, stages.NOT_YET
    copy = clone(deployment)
    body, number = copy.service_deployment, history.number_of(deployment)
    _heed(body, now)
    if body.status == _IN_PROGRESS:
        body.circuit_breaker.CopyFrom(breaker.observed(body, number, observed.tasks, observed.desired))
        if body.circuit_breaker.status == BreakerStatus.TRIGGERED:
            back = body.configuration.deployment_circuit_breaker.rollback
            turn_back(body, breaker.why(body, number, observed.tasks), now, back=back)
    if body.status == _IN_PROGRESS and (failed := hooks.heed(body, now)):
        turn_back(body, failed, now)
    if body.status == _IN_PROGRESS:
        body.alarms.CopyFrom(alarms.observed(body, number, observed.alarms))
        if body.alarms.status == AlarmsStatus.TRIGGERED:
            reason = alarms.why(body, number, observed.alarms, observed.tasks)
            turn_back(body, reason, now, back=body.configuration.alarms.rollback)
    wake_at = _forward(body, observed, now, policy)
    if body.status == DeploymentStatus.ROLLBACK_IN_PROGRESS:
        limits = (now, policy.stage_limit)
        wake_at = rollback.go_on(body, observed.tasks, observed.live, observed.desired, limits)
    if body.status == DeploymentStatus.SUCCESSFUL and body.circuit_breaker.status == BreakerStatus.MONITORING:
        body.circuit_breaker.status = BreakerStatus.MONITORING_COMPLETE
    if body.status == DeploymentStatus.SUCCESSFUL and body.alarms.status == AlarmsStatus.MONITORING:
        body.alarms.status = AlarmsStatus.MONITORING_COMPLETE
    return copy, wake_at


def _heed(body: ServiceDeployment, now: float) -> None:
    """What the user asked. Where no traffic shifts, tasks of both revisions cannot be left as they are: it goes back."""
    stop = body.status == DeploymentStatus.STOP_REQUESTED
    if stop and strategy_of(body).shifts:
        stages.finish(body, DeploymentStatus.STOPPED, body.status_reason or "the user stopped it", now)
    elif stop or body.status == DeploymentStatus.ROLLBACK_REQUESTED:
        turn_back(body, body.status_reason or "the user asked for it", now)


def turn_back(body: ServiceDeployment, reason: str, now: float, *, back: bool = True) -> None:
    """Begin a rollback; with nothing to go back to, or if that is not wanted, the deployment stops."""
    if back and body.source_revision:
        body.status, body.status_reason = DeploymentStatus.ROLLBACK_IN_PROGRESS, reason
        hooks.close(body, now)
        return
    nothing = "" if not back else "; there is no completed deployment to go back to"
    stages.finish(body, DeploymentStatus.STOPPED, f"{reason}{nothing}", now)


def _forward(body: ServiceDeployment, observed: Observed, now: float, policy: Policy) -> float:
    if body.status != _IN_PROGRESS:
        return stages.NOT_YET
    overdue = stages.overdue_at(body, policy.stage_limit, policy.deployment_limit) if body.lifecycle_stage else now + 1
    if overdue <= now:
        awaited = ", ".join(body.alarms.awaited_alarm_names) if stages.bakes(body) else ""
        why = f": there was no data of alarm {awaited}" if awaited else ""
        turn_back(body, f"{body.lifecycle_stage} took too long{why}", now)
        return stages.NOT_YET
    over = stages.advance(body, facts_of(body, observed.live, observed.desired), now)
    if body.status != _IN_PROGRESS:
        return stages.NOT_YET
    return min(over, stages.overdue_at(body, policy.stage_limit, policy.deployment_limit))


# -- what it asks for -------------------------------------------------------------------------------------------------


def in_force(deployment: Object) -> str:
    """Name of the revision that the service stands for: whose settings count, and of which lost tasks are replaced."""
    body = deployment.service_deployment
    if body.status in _GOING_BACK:
        return body.source_revision
    if strategy_of(body).shifts and not stages.reached(body, Stage.POST_PRODUCTION_TRAFFIC_SHIFT):
        return body.source_revision
    return body.target_revision


def fleets(deployment: Object, desired: int) -> tuple[Fleet, ...]:
    """What is to run, by revision. A task belongs to one fleet at most; one that belongs to none stays as it is."""
    body, number = deployment.service_deployment, history.number_of(deployment)
    target, source = Fleet(body.target_revision, number), Fleet(body.source_revision, body.source_deployment)
    if body.status in _GOING_BACK:
        return (source,)
    goes_on = body.circuit_breaker.status != BreakerStatus.TRIGGERED
    beside = replace(target, among=frozenset({body.target_revision}), may_start=goes_on)
    if not strategy_of(body).shifts:
        stopped = body.status == DeploymentStatus.STOPPED
        return (replace(beside, may_start=False),) if stopped else (_replacing(body, target, desired),)
    if stages.reached(body, Stage.CLEAN_UP):
        return (target,)
    if not stages.reached(body, Stage.SCALE_UP):
        return (source,)
    return replace(source, but=frozenset({body.target_revision})), beside


def _replacing(body: ServiceDeployment, target: Fleet, desired: int) -> Fleet:
    early = body.configuration.early_success_criteria.enable
    return replace(target, needed=facts_of(body, (), desired).needed) if early else target


def traffic(deployment: Object, *, requests: bool) -> objects_pb2.ServiceTraffic | None:
    """How the revisions share the requests; None: each by its tasks. `requests`: whether the target serves a port that has
    requests, so that there can be test traffic.
    """
    body = deployment.service_deployment
    if not strategy_of(body).shifts or not stages.reached(body, Stage.PRE_SCALE_UP) or body.status in _SETTLED:
        return None
    weights = {body.target_revision: stages.weight(body)}
    if body.status in _GOING_BACK:
        if stages.reached(body, Stage.CLEAN_UP):
            return None
        weights = {body.target_revision: 0}
    weights[body.source_revision] = WHOLE - weights[body.target_revision]
    shared = objects_pb2.ServiceTraffic(
        weights=[objects_pb2.RevisionWeight(revision=name, weight=weights[name]) for name in sorted(weights)]
    )
    if requests and body.status not in _GOING_BACK and is_tested(body):
        shared.test_revision = body.target_revision
    return shared


def is_tested(body: ServiceDeployment) -> bool:
    """Whether its target has the test traffic: from TEST_TRAFFIC_SHIFT until the source goes."""
    return stages.reached(body, Stage.TEST_TRAFFIC_SHIFT) and not stages.reached(body, Stage.CLEAN_UP)
