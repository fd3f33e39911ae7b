"""A node whose lease has expired takes its tasks with it: nobody else can tell what became of them.

The one rule: a task on a node that is not there is recorded as STOPPED, and as told to stop. Services replace it, and a
node that returns finds that its tasks are over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tsunagu.controllers import indexes, task_state
from tsunagu.controllers.actions import Plan, mark_lost

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tsunagu.controllers.policy import Policy
    from tsunagu.registry.informer import Informer, ObjectChange
    from tsunagu.v1.objects_pb2 import Object


def plan(informer: Informer, name: str, now: float, _policy: Policy) -> Plan:
    return plan_node(name, informer.get("Node", name), indexes.tasks_of_node(informer, name), now)


def keys_for(informer: Informer, change: ObjectChange) -> Iterable[str]:
    """A node that came or went, and the node of a task when it is not there."""
    if change.kind == "Node":
        return (change.name,)
    if change.kind != "Task" or change.new is None:
        return ()
    node = change.new.task.spec.node
    return () if informer.get("Node", node) else (node,)


def plan_node(name: str, node: Object | None, tasks: Iterable[Object], now: float) -> Plan:
    """`tasks`: all tasks that were placed on the node."""
    if node is not None:
        return Plan()
    lost = (task for task in tasks if not task_state.is_stopped(task))
    return Plan(tuple(mark_lost(task, f"node {name} is gone", now) for task in lost))
