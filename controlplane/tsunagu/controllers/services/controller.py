"""Runs the desired number of tasks of each service, of its desired revision, on the nodes that are there.

The one rule: everything that one reconciliation leads to is one plan that contains the service's new status, and the plan
is applied only if the service has not changed. Whatever starts a task adds an event, so a plan made twice is applied once.

What follows ECS here, and what does not: docs/controllers.md. Sources: ECS Developer Guide, task lifecycle and service
throttle logic; ECS API Reference, DeploymentConfiguration and CreateService (healthCheckGracePeriodSeconds).
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from tsunagu.controllers import records, task_state
from tsunagu.controllers.actions import Action, Create, Plan, Remove, earliest, start, stop, task_names
from tsunagu.controllers.indexes import changes_placement, service_of_revision
from tsunagu.controllers.services import rollout
from tsunagu.controllers.services.placement import spread
from tsunagu.controllers.services.restarts import Restart, restart
from tsunagu.controllers.services.revisions import DesiredRevision, unneeded
from tsunagu.controllers.services.state import ServiceState, observe
from tsunagu.controllers.services.status import Outcome, updated
from tsunagu.model import ids
from tsunagu.model.statuses import StopCode
from tsunagu.v1 import objects_pb2

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tsunagu.controllers.policy import Policy
    from tsunagu.registry.informer import Informer, ObjectChange
    from tsunagu.v1.objects_pb2 import Object


def plan(informer: Informer, name: str, now: float, policy: Policy) -> Plan:
    """What to do for the service of that name."""
    return plan_service(observe(informer, name), now, policy)


#: Kinds that a service's revision is resolved from: a change of one may concern any service, and is rare.
_RESOLVED_FROM = frozenset({"TaskDefinition", "Cluster", "Namespace", "Image", "CloudMapService"})


def keys_for(informer: Informer, change: ObjectChange) -> Iterable[str]:
    """Names of the services that a change may concern, deleted ones among them."""
    if change.kind in _RESOLVED_FROM or changes_placement(change):
        return tuple(informer.objects("Service"))
    if change.kind == "Service":
        return (change.name,)
    owner = {"Task": ids.service_of, "ServiceRevision": service_of_revision}.get(change.kind)
    return {owner(obj) for obj in (change.old, change.new) if obj is not None} - {""} if owner else ()


def plan_service(state: ServiceState, now: float, policy: Policy) -> Plan:
    """What to do for a service in that state. `now`: seconds since the epoch."""
    if state.service is None:
        return _plan_deleted(state)
    unhealthy = [task for task in state.tasks if _must_be_replaced(task, state.service, now)]
    after = restart(_peers(state), now, policy)
    decision = _decide(state, unhealthy, may_start=after.ready_at <= now)
    started = _start(state, decision.start, after, now)
    stopped = [*_stop(unhealthy, task_state.FAILED_HEALTH_CHECKS), *_stop_by(state, decision)]
    outcome = Outcome(
        started=[action.obj for action in started],
        stopped=[action.obj for action in stopped],
        unhealthy=unhealthy,
        unplaced=decision.start - len(started),
        restart=after,
        stuck=_is_stuck(state, decision),
    )
    status = updated(state, outcome, now, policy)
    actions: list[Action] = [*_put_revision(state.desired), *started, *stopped, *status, *_collect(state, now, policy)]
    return Plan(tuple(actions), _wake_at(state, after, now, policy))


def _plan_deleted(state: ServiceState) -> Plan:
    """Drains the tasks of a deleted service; records, and revisions that no task has, are removed at once."""
    live = [task for task in state.tasks if task_state.is_desired(task) and not task_state.is_stopped(task)]
    over = [task for task in state.tasks if task_state.is_stopped(task)]
    left = [task for task in state.tasks if not task_state.is_stopped(task)]
    unused = unneeded(state.revisions, left, keep="", spare=0)
    actions: list[Action] = [
        *_stop(live, f"Service {state.name} was deleted"),
        *map(Remove, over),
        *map(Remove, unused),
    ]
    return Plan(tuple(actions))


def _peers(state: ServiceState) -> list[Object]:
    return [task for task in state.tasks if task.task.spec.service_revision == state.desired.name]


def _must_be_replaced(task: Object, service: Object, now: float) -> bool:
    """Whether the task is UNHEALTHY, and not within healthCheckGracePeriodSeconds of its start."""
    return task_state.is_live(task) and task_state.is_unhealthy(task) and now >= _graced_until(task, service)


def _graced_until(task: Object, service: Object) -> float:
    since = task_state.started_at(task) or task_state.created_at(task)
    return since + service.service.spec.health_check_grace_period_seconds


def _decide(state: ServiceState, unhealthy: list[Object], *, may_start: bool) -> rollout.ScalingDecision:
    """What to start and stop: nothing while it is not known what the tasks are to be made from."""
    assert state.service is not None
    if state.desired.revision is None:
        return rollout.ScalingDecision()
    live = [task for task in state.tasks if task_state.is_live(task) and task not in unhealthy]
    ending = sum(not task_state.is_ending(task) for task in state.tasks) - len(live)
    limit = state.limits
    vacancies = sum(node.vacancies for node in state.nodes)
    return rollout.roll(limit, state.desired.name, live, ending=ending, may_start=may_start, vacancies=vacancies)


def _start(state: ServiceState, count: int, after: Restart, now: float) -> list[Create]:
    if not count or state.service is None or state.desired.revision is None:
        return []
    revision = state.desired.revision.service_revision
    seed = str(state.service.meta.revision)
    names = task_names(revision.cluster, revision.service, seed, {task.meta.name for task in state.tasks})
    placed = spread(state.nodes, count, daemon=rollout.is_daemon(state.service.service.spec))
    return [
        start(
            objects_pb2.TaskSpec(
                cluster=revision.cluster,
                service=revision.service,
                service_revision=state.desired.name,
                namespace=revision.namespace,
                node=place.node,
                zone=place.zone,
                attempt=after.attempt,
                deployment=state.deployment,
            ),
            name,
            now,
        )
        for place, name in zip(placed, islice(names, len(placed)), strict=True)
    ]


def _stop(tasks: list[Object], reason: str) -> list[Action]:
    return [stop(task, StopCode.SCHEDULER, reason) for task in tasks]


def _stop_by(state: ServiceState, decision: rollout.ScalingDecision) -> list[Action]:
    replaced = (
        f"Scaling activity initiated by (service {state.name}) (revision {state.desired.name.rpartition('/')[2]})"
    )
    surplus = f"Scaling activity initiated by (service {state.name}): fewer tasks are desired"
    return [*_stop(list(decision.replaced), replaced), *_stop(list(decision.surplus), surplus)]


def _is_stuck(state: ServiceState, decision: rollout.ScalingDecision) -> bool:
    """Whether the percentages leave no room to replace even one task."""
    assert state.service is not None
    limit = state.limits
    old = any(
        task_state.is_live(task) and task.task.spec.service_revision != state.desired.name for task in state.tasks
    )
    return (
        old
        and bool(state.desired.name)
        and limit.minimum >= limit.maximum > 0
        and decision == rollout.ScalingDecision()
    )


def _put_revision(target: DesiredRevision) -> list[Action]:
    return [Create(target.revision)] if target.revision and not target.revision.meta.revision else []


def _collect(state: ServiceState, now: float, policy: Policy) -> list[Action]:
    over = records.outdated(state.tasks, now, policy)
    left = [task for task in state.tasks if task not in over]
    unused = unneeded(state.revisions, left, state.desired.name, policy.revisions_kept)
    return [*map(Remove, over), *map(Remove, unused)]


def _wake_at(state: ServiceState, after: Restart, now: float, policy: Policy) -> float | None:
    assert state.service is not None
    unhealthy = (_graced_until(task, state.service) for task in state.tasks if task_state.is_unhealthy(task))
    return earliest(
        after.wake_at,
        records.next_outdated(state.tasks, now, policy),
        *(at for at in unhealthy if at > now),
    )
