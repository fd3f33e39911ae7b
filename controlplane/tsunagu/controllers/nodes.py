"""Tasks whose node is gone (its lease has expired) are marked lost: nobody else knows what became of them.

The one rule: a task on a node that is not there is recorded as STOPPED, and told to stop. Services replace it, and a node
that returns finds that its tasks are to stop.
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
    """What to do about the node of that name."""
    return plan_node(name, informer.get("Node", name), indexes.tasks_of_node(informer, name), now)


def keys_for(informer: Informer, change: ObjectChange) -> Iterable[str]:
    """The name of a node that came or went, and of a task's node when it is not there."""
    if change.kind == "Node":
        return (change.name,)
    if change.kind != "Task" or change.new is None:
        return ()
    node = change.new.task.spec.node
    return () if informer.get("Node", node) else (node,)


def plan_node(name: str, node: Object | None, tasks: Iterable[Object], now: float) -> Plan:
    """Marks the tasks of a node that is gone as lost. `tasks`: all tasks that were placed on it."""
    if node is not None:
        return Plan()
    lost = (task for task in tasks if not task_state.is_stopped(task))
    return Plan(tuple(mark_lost(task, f"node {name} is gone", now) for task in lost))
