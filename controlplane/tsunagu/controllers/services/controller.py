"""Keeps as many tasks of each service as it wants, of the revision that it wants, on nodes that live.

The one rule: everything that one look leads to is one plan with the service's new status in it, and the plan holds only
if the service has not changed. Whatever starts a task adds an event, so a plan made twice is applied once.

What follows ECS here, and what does not: docs/controllers.md. Sources: ECS Developer Guide, task lifecycle and service
throttle logic; ECS API Reference, DeploymentConfiguration and CreateService (healthCheckGracePeriodSeconds).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from tsunagu.controllers import indexes, records, tasks
from tsunagu.controllers.actions import Action, Create, Plan, Remove, earliest, start, stop, task_names
from tsunagu.controllers.indexes import changes_placement, owner_of_revision, owner_of_task
from tsunagu.controllers.services import rollout
from tsunagu.controllers.services.placement import NodeLoad, spread
from tsunagu.controllers.services.restarts import Restart, restart
from tsunagu.controllers.services.revisions import Wanted, unneeded, wanted
from tsunagu.controllers.services.status import Outcome, updated
from tsunagu.v1 import objects_pb2

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tsunagu.controllers.policy import Policy
    from tsunagu.registry.informer import Informer, ObjectChange
    from tsunagu.v1.objects_pb2 import Object


@dataclass(frozen=True, slots=True)
class ServiceState:
    """All that a plan for one service looks at. `service` is None when it was deleted."""

    name: str
    service: Object | None
    wanted: Wanted
    members: tuple[Object, ...]  # its tasks, dead or alive
    revisions: tuple[Object, ...]
    nodes: tuple[NodeLoad, ...]


def plan(informer: Informer, name: str, now: float, policy: Policy) -> Plan:
    return plan_service(gather(informer, name), now, policy)


#: Kinds that a service's revision is resolved from: a change of one may concern any service, and is rare.
_RESOLVED_FROM = frozenset({"TaskDefinition", "Cluster", "Namespace", "Image"})


def keys_for(informer: Informer, change: ObjectChange) -> Iterable[str]:
    """Names of the services that a change may concern, deleted ones among them."""
    if change.kind in _RESOLVED_FROM or changes_placement(change):
        return tuple(informer.objects("Service"))
    if change.kind == "Service":
        return (change.name,)
    owner = {"Task": owner_of_task, "ServiceRevision": owner_of_revision}.get(change.kind)
    return {owner(obj) for obj in (change.old, change.new) if obj is not None} - {""} if owner else ()


def gather(informer: Informer, name: str) -> ServiceState:
    service = informer.get("Service", name)
    return ServiceState(
        name=name,
        service=service,
        wanted=wanted(service, informer.state) if service else Wanted(None),
        members=indexes.tasks_of_service(informer, name),
        revisions=indexes.revisions_of_service(informer, name),
        nodes=indexes.node_loads(informer, name),
    )


def plan_service(state: ServiceState, now: float, policy: Policy) -> Plan:
    if state.service is None:
        return _plan_deleted(state)
    sick = [task for task in state.members if _is_sick(task, state.service, now)]
    after = restart(_peers(state), now, policy)
    moves = _moves(state, sick, may_start=after.ready_at <= now)
    started = _start(state, moves.start, after, now)
    stopped = [*_stop(sick, tasks.FAILED_HEALTH_CHECKS), *_stop_moved(state, moves)]
    outcome = Outcome(
        started=[action.obj for action in started],
        stopped=[action.obj for action in stopped],
        sick=sick,
        unplaced=moves.start - len(started),
        restart=after,
        stuck=_is_stuck(state, moves),
    )
    status = updated(state, outcome, now, policy)
    actions: list[Action] = [*_put_revision(state.wanted), *started, *stopped, *status, *_collect(state, now, policy)]
    return Plan(tuple(actions), _wake_at(state, after, now, policy))


def _plan_deleted(state: ServiceState) -> Plan:
    """Its tasks are drained; their records, and the revisions that none of them has, go at once."""
    live = [task for task in state.members if tasks.is_wanted(task) and not tasks.is_stopped(task)]
    over = [task for task in state.members if tasks.is_stopped(task)]
    left = [task for task in state.members if not tasks.is_stopped(task)]
    unused = unneeded(state.revisions, left, keep="", spare=0)
    actions: list[Action] = [
        *_stop(live, f"Service {state.name} was deleted"),
        *map(Remove, over),
        *map(Remove, unused),
    ]
    return Plan(tuple(actions))


def _peers(state: ServiceState) -> list[Object]:
    return [task for task in state.members if task.task.spec.service_revision == state.wanted.name]


def _is_sick(task: Object, service: Object, now: float) -> bool:
    """It must be replaced: UNHEALTHY, and not within healthCheckGracePeriodSeconds of its start."""
    return tasks.is_live(task) and tasks.is_unhealthy(task) and now >= _graced_until(task, service)


def _graced_until(task: Object, service: Object) -> float:
    since = tasks.started_at(task) or tasks.created_at(task)
    return since + service.service.spec.health_check_grace_period_seconds


def _moves(state: ServiceState, sick: list[Object], *, may_start: bool) -> rollout.Moves:
    """None at all while it is not known what the tasks are to be made from."""
    assert state.service is not None
    if state.wanted.revision is None:
        return rollout.Moves()
    live = [task for task in state.members if tasks.is_live(task) and task not in sick]
    ending = sum(not tasks.is_ending(task) for task in state.members) - len(live)
    limit = rollout.limits(state.service.service.spec)
    vacancies = sum(node.vacancies for node in state.nodes)
    return rollout.roll(limit, state.wanted.name, live, ending=ending, may_start=may_start, vacancies=vacancies)


def _start(state: ServiceState, count: int, after: Restart, now: float) -> list[Create]:
    if not count or state.service is None or state.wanted.revision is None:
        return []
    revision = state.wanted.revision.service_revision
    seed = str(state.service.meta.revision)
    names = task_names(revision.cluster, revision.service, seed, {task.meta.name for task in state.members})
    placed = spread(state.nodes, count)
    return [
        start(
            objects_pb2.TaskSpec(
                cluster=revision.cluster,
                service=revision.service,
                service_revision=state.wanted.name,
                namespace=revision.namespace,
                node=node,
                attempt=after.attempt,
            ),
            name,
            now,
        )
        for node, name in zip(placed, islice(names, len(placed)), strict=True)
    ]


def _stop(members: list[Object], reason: str) -> list[Action]:
    return [stop(task, tasks.SCHEDULER, reason) for task in members]


def _stop_moved(state: ServiceState, moves: rollout.Moves) -> list[Action]:
    replaced = f"Scaling activity initiated by (service {state.name}) (revision {state.wanted.name.rpartition('/')[2]})"
    surplus = f"Scaling activity initiated by (service {state.name}): fewer tasks are desired"
    return [*_stop(list(moves.replaced), replaced), *_stop(list(moves.surplus), surplus)]


def _is_stuck(state: ServiceState, moves: rollout.Moves) -> bool:
    """The percentages leave no room to replace even one task."""
    assert state.service is not None
    limit = rollout.limits(state.service.service.spec)
    old = any(tasks.is_live(task) and task.task.spec.service_revision != state.wanted.name for task in state.members)
    return old and bool(state.wanted.name) and limit.minimum >= limit.maximum > 0 and moves == rollout.Moves()


def _put_revision(target: Wanted) -> list[Action]:
    return [Create(target.revision)] if target.revision and not target.revision.meta.revision else []


def _collect(state: ServiceState, now: float, policy: Policy) -> list[Action]:
    over = records.outdated(state.members, now, policy)
    left = [task for task in state.members if task not in over]
    unused = unneeded(state.revisions, left, state.wanted.name, policy.revisions_kept)
    return [*map(Remove, over), *map(Remove, unused)]


def _wake_at(state: ServiceState, after: Restart, now: float, policy: Policy) -> float | None:
    assert state.service is not None
    sick = (_graced_until(task, state.service) for task in state.members if tasks.is_unhealthy(task))
    return earliest(
        after.wake_at,
        records.next_outdated(state.members, now, policy),
        *(at for at in sick if at > now),
    )
