"""Runs the desired number of tasks of each service, of its desired revision, on the nodes that are there.

The one rule: everything that one reconciliation leads to is one plan that contains the service's new status, and the plan
is applied only if the service has not changed. Whatever starts a task adds an event, so a plan made twice is applied once.

What follows ECS here, and what does not: docs/controllers.md. Sources: ECS Developer Guide, task lifecycle and service
throttle logic; ECS API Reference, DeploymentConfiguration and CreateService (healthCheckGracePeriodSeconds).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING

from tsunagu.controllers import records, task_state
from tsunagu.controllers.actions import Action, Create, Plan, Remove, earliest, start, stop, task_names
from tsunagu.controllers.indexes import changes_placement, service_of_deployment, service_of_revision, services_of_alarm
from tsunagu.controllers.services import rollout
from tsunagu.controllers.services.deploying import concluded, on_course
from tsunagu.controllers.services.placement import occupied, spread
from tsunagu.controllers.services.restarts import Restart, restart
from tsunagu.controllers.services.revisions import unneeded
from tsunagu.controllers.services.state import observe
from tsunagu.controllers.services.status import Outcome, updated
from tsunagu.model import ids
from tsunagu.model.statuses import StopCode
from tsunagu.v1 import objects_pb2

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tsunagu.controllers.deployments.course import Fleet
    from tsunagu.controllers.policy import Policy
    from tsunagu.controllers.services.deploying import Course
    from tsunagu.controllers.services.placement import Place
    from tsunagu.controllers.services.state import ServiceState
    from tsunagu.registry.informer import Informer, ObjectChange
    from tsunagu.v1.objects_pb2 import Object, Service


def plan(informer: Informer, name: str, now: float, policy: Policy) -> Plan:
    """What to do for the service of that name."""
    return plan_service(observe(informer, name), now, policy)


#: Kinds that a service's revision is resolved from: a change of one may concern any service, and is rare.
_RESOLVED_FROM = frozenset({"TaskDefinition", "Cluster", "Namespace", "Image", "CloudMapService"})

_OWNERS = {
    "Task": ids.service_of,
    "ServiceRevision": service_of_revision,
    "ServiceDeployment": service_of_deployment,
}


def keys_for(informer: Informer, change: ObjectChange) -> Iterable[str]:
    """Names of the services that a change may concern, deleted ones among them."""
    if change.kind in _RESOLVED_FROM or changes_placement(change):
        return tuple(informer.objects("Service"))
    if change.kind == "Service":
        return (change.name,)
    if change.kind == "Alarm":
        return services_of_alarm(informer, change.name)
    owner = _OWNERS.get(change.kind)
    return {owner(obj) for obj in (change.old, change.new) if obj is not None} - {""} if owner else ()


def plan_service(state: ServiceState, now: float, policy: Policy) -> Plan:
    """What to do for a service in that state. `now`: seconds since the epoch."""
    if state.service is None:
        return _plan_deleted(state)
    unhealthy = [task for task in state.tasks if _must_be_replaced(task, state.service, now)]
    course = on_course(state, now, policy)
    moves = _moves(course, unhealthy, now, policy)
    started = [action for move in moves for action in move.started]
    stopped = [
        *_stop(unhealthy, task_state.FAILED_HEALTH_CHECKS),
        *(action for move in moves for action in move.stopped),
    ]
    outcome = Outcome(
        started=[action.obj for action in started],
        stopped=[action.obj for action in stopped],
        unhealthy=unhealthy,
        unplaced=sum(move.decision.start - len(move.started) for move in moves),
        restart=_failing(moves),
        stuck=any(_is_stuck(course.state, move) for move in moves),
    )
    course = concluded(course, outcome.live(state.tasks), now, policy)
    actions: list[Action] = [
        *course.new_revisions(),
        *started,
        *stopped,
        *course.actions(),
        *updated(course, outcome, now, policy),
        *_collect(course, now, policy),
    ]
    return Plan(tuple(actions), _wake_at(course, moves, now, policy))


@dataclass(frozen=True, slots=True)
class _Move:
    """What is done for one fleet."""

    fleet: Fleet
    decision: rollout.ScalingDecision
    started: Sequence[Create]
    stopped: Sequence[Action]
    restart: Restart


def _moves(course: Course, unhealthy: list[Object], now: float, policy: Policy) -> list[_Move]:
    """What is done for each fleet. Each sees the room that those before it have left."""
    state, moves = course.state, []
    for fleet in course.fleets:
        revision = course.revision(fleet.revision)
        if revision is None:
            continue
        peers = [task for task in state.tasks if task.task.spec.service_revision == fleet.revision]
        after = restart(peers, now, policy)
        decision = _decide(state, fleet, unhealthy, may_start=fleet.may_start and after.ready_at <= now)
        places = spread(state.nodes, decision.start, daemon=rollout.is_daemon(_service(state).spec))
        started = _start(state, fleet, revision, places, after.attempt, now)
        state = replace(
            state,
            nodes=occupied(state.nodes, places),
            tasks=(*state.tasks, *(action.obj for action in started)),
        )
        moves.append(_Move(fleet, decision, started, _stop_by(state, fleet, decision), after))
    return moves


def _failing(moves: Sequence[_Move]) -> Restart:
    """The failures in a row that are told: those of the newest fleet that has any."""
    return next((move.restart for move in reversed(moves) if move.restart.failure is not None), Restart())


def _service(state: ServiceState) -> Service:
    assert state.service is not None
    return state.service.service


def _plan_deleted(state: ServiceState) -> Plan:
    """Drains the tasks of a deleted service; records, and revisions that no task has, are removed at once."""
    live = [task for task in state.tasks if task_state.is_desired(task) and not task_state.is_stopped(task)]
    over = [task for task in state.tasks if task_state.is_stopped(task)]
    left = [task for task in state.tasks if not task_state.is_stopped(task)]
    unused = unneeded(state.revisions, left, keep=(), spare=0)
    actions: list[Action] = [
        *_stop(live, f"Service {state.name} was deleted"),
        *map(Remove, over),
        *map(Remove, unused),
        *map(Remove, state.deployments),
    ]
    return Plan(tuple(actions))


def _must_be_replaced(task: Object, service: Object, now: float) -> bool:
    """Whether the task is UNHEALTHY, and not within healthCheckGracePeriodSeconds of its start."""
    return task_state.is_live(task) and task_state.is_unhealthy(task) and now >= _graced_until(task, service)


def _graced_until(task: Object, service: Object) -> float:
    since = task_state.started_at(task) or task_state.created_at(task)
    return since + service.service.spec.health_check_grace_period_seconds


def _decide(state: ServiceState, fleet: Fleet, unhealthy: list[Object], *, may_start: bool) -> rollout.ScalingDecision:
    """What to start and stop of a fleet."""
    ours = [task for task in state.tasks if fleet.holds(task)]
    live = [task for task in ours if task_state.is_live(task) and task not in unhealthy]
    return rollout.roll(
        replace(state.limits, needed=fleet.needed),
        fleet.revision,
        live,
        ending=sum(not task_state.is_ending(task) for task in ours) - len(live),
        may_start=may_start,
        vacancies=sum(node.vacancies for node in state.nodes),
    )


def _start(
    state: ServiceState, fleet: Fleet, of: Object, places: Sequence[Place], attempt: int, now: float
) -> list[Create]:
    assert state.service is not None
    revision, seed = of.service_revision, str(state.service.meta.revision)
    names = task_names(revision.cluster, revision.service, seed, {task.meta.name for task in state.tasks})
    return [
        start(
            objects_pb2.TaskSpec(
                cluster=revision.cluster,
                service=revision.service,
                service_revision=fleet.revision,
                namespace=revision.namespace,
                node=place.node,
                zone=place.zone,
                attempt=attempt,
                deployment=fleet.deployment,
                host=revision.host,
            ),
            name,
            now,
        )
        for place, name in zip(places, islice(names, len(places)), strict=True)
    ]


def _stop(tasks: list[Object], reason: str) -> list[Action]:
    return [stop(task, StopCode.SCHEDULER, reason) for task in tasks]


def _stop_by(state: ServiceState, fleet: Fleet, decision: rollout.ScalingDecision) -> list[Action]:
    replaced = f"Scaling activity initiated by (service {state.name}) (revision {fleet.revision.rpartition('/')[2]})"
    surplus = f"Scaling activity initiated by (service {state.name}): fewer tasks are desired"
    return [*_stop(list(decision.replaced), replaced), *_stop(list(decision.surplus), surplus)]


def _is_stuck(state: ServiceState, move: _Move) -> bool:
    """Whether the percentages leave no room to replace even one task of the fleet; of one revision alone there is none to replace."""
    fleet, limit = move.fleet, state.limits
    old = any(
        task_state.is_live(task) and fleet.holds(task) and task.task.spec.service_revision != fleet.revision
        for task in state.tasks
    )
    return (
        old
        and bool(state.desired.name)
        and limit.minimum >= limit.maximum > 0
        and move.decision == rollout.ScalingDecision()
    )


def _collect(course: Course, now: float, policy: Policy) -> list[Action]:
    state = course.state
    over = records.outdated(state.tasks, now, policy)
    left = [task for task in state.tasks if task not in over]
    unused = unneeded(state.revisions, left, course.kept_revisions(), policy.revisions_kept)
    return [*map(Remove, over), *map(Remove, unused), *course.outdated(policy)]


def _wake_at(course: Course, moves: Sequence[_Move], now: float, policy: Policy) -> float | None:
    state = course.state
    assert state.service is not None
    unhealthy = (_graced_until(task, state.service) for task in state.tasks if task_state.is_unhealthy(task))
    return earliest(
        *(move.restart.wake_at for move in moves),
        course.wake_at if course.wake_at < math.inf else None,
        records.next_outdated(state.tasks, now, policy),
        *(at for at in unhealthy if at > now),
    )
