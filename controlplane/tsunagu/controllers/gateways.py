"""Each Gateway is one task: a proxy without an app, whose node listens on the gateway's ports.

The one rule: a port of the machine has one owner, so the task before is STOPPED before the next one is started.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from tsunagu.controllers import indexes, records, task_state
from tsunagu.controllers.actions import Action, Plan, Remove, earliest, start, stop, task_names
from tsunagu.controllers.indexes import changes_placement
from tsunagu.controllers.services.placement import Kind, NodeLoad, spread, suited
from tsunagu.controllers.services.restarts import Restart, restart
from tsunagu.model.references import DEFAULT_CLUSTER
from tsunagu.model.statuses import StopCode
from tsunagu.v1 import objects_pb2

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tsunagu.controllers.policy import Policy
    from tsunagu.registry.informer import Informer, ObjectChange
    from tsunagu.v1.objects_pb2 import Object


@dataclass(frozen=True, slots=True)
class GatewayState:
    """All that a plan for one gateway looks at. `gateway` is None when it was deleted."""

    name: str
    gateway: Object | None
    tasks: tuple[Object, ...]  # its tasks, dead or alive
    nodes: tuple[NodeLoad, ...]


def plan(informer: Informer, name: str, now: float, policy: Policy) -> Plan:
    """What to do for the gateway of that name."""
    gateway = informer.get("Gateway", name)
    nodes = indexes.node_loads(informer)
    # A gateway has no container, and begins soonest where none has to be made.
    nodes = suited(nodes, Kind.PROCESSES) or nodes
    return plan_gateway(GatewayState(name, gateway, indexes.tasks_of_gateway(informer, name), nodes), now, policy)


def keys_for(informer: Informer, change: ObjectChange) -> Iterable[str]:
    """Names of the gateways that a change may concern, deleted ones among them."""
    if changes_placement(change):
        return tuple(informer.objects("Gateway"))
    if change.kind == "Gateway":
        return (change.name,)
    if change.kind != "Task":
        return ()
    return {obj.task.spec.gateway for obj in (change.old, change.new) if obj is not None} - {""}


def plan_gateway(state: GatewayState, now: float, policy: Policy) -> Plan:
    """What to do for a gateway in that state. `now`: seconds since the epoch."""
    present = [task for task in state.tasks if not task_state.is_stopped(task)]
    if state.gateway is None:
        over = [task for task in state.tasks if task_state.is_stopped(task)]
        return Plan((*_stop(present, f"Gateway {state.name} was deleted"), *map(Remove, over)))
    after = restart(_peers(state), now, policy)
    actions = [
        *_stop([task for task in present if not _serves(task, state.gateway)], f"Gateway {state.name} has changed"),
        *_stop([task for task in present if task_state.is_unhealthy(task)], task_state.FAILED_HEALTH_CHECKS),
        *(_start(state, after, now) if not present and after.ready_at <= now else ()),
        *map(Remove, records.outdated(state.tasks, now, policy)),
    ]
    return Plan(tuple(actions), earliest(after.wake_at, records.next_outdated(state.tasks, now, policy)))


def desired_spec(name: str, gateway: objects_pb2.Gateway) -> objects_pb2.TaskSpec:
    """What the gateway's task is made from; where it runs is not part of it."""
    return objects_pb2.TaskSpec(
        cluster=gateway.cluster or DEFAULT_CLUSTER,
        namespace=gateway.namespace,
        gateway=name,
        publish=gateway.ports,
    )


def _peers(state: GatewayState) -> list[Object]:
    """The tasks of the gateway as it is now. A changed gateway starts afresh: the change may mend what failed before."""
    return [task for task in state.tasks if state.gateway and _serves(task, state.gateway)]


def _serves(task: Object, gateway: Object) -> bool:
    spec = task.task.spec
    made_from = objects_pb2.TaskSpec(
        cluster=spec.cluster, namespace=spec.namespace, gateway=spec.gateway, publish=spec.publish
    )
    return made_from == desired_spec(gateway.meta.name, gateway.gateway)


def _stop(tasks: list[Object], reason: str) -> list[Action]:
    return [stop(task, StopCode.SCHEDULER, reason) for task in tasks if task_state.is_desired(task)]


def _start(state: GatewayState, after: Restart, now: float) -> list[Action]:
    """Starts one task, if there is a node for it. Its name follows from the gateway and all of its tasks."""
    assert state.gateway is not None
    spec = desired_spec(state.name, state.gateway.gateway)
    spec.attempt = after.attempt
    seed = str(max(obj.meta.revision for obj in (state.gateway, *state.tasks)))
    names = task_names(spec.cluster, state.name, seed, {task.meta.name for task in state.tasks})
    actions: list[Action] = []
    zones = {node.name: node.zones for node in state.nodes}
    for place, name in zip(spread(state.nodes, 1), islice(names, 1), strict=False):
        spec.node = place.node
        spec.zone = place.zone if len(zones[place.node]) == 1 else ""  # a machine that stands for several is in none
        actions.append(start(spec, name, now))
    return actions
