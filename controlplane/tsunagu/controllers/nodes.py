"""A node whose agent does not answer is NOT_READY, and nothing of it is touched; one that is gone takes its tasks with it.

An agent can hang or crash while the tasks beside it serve as before, so its silence says nothing about them: what a task is
worth then, outlier detection and its callers' health checks decide. The one rule: a NodeLease that is over costs a node its
new tasks, and only the end of the Node itself (its own, long lease, or a user's word) costs it those that it has. They are
recorded as STOPPED and told to stop, so that services replace them and a node that returns after all stops them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tsunagu.controllers import indexes, task_state
from tsunagu.controllers.actions import Change, Plan, clone, mark_lost
from tsunagu.model.statuses import NodeState

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tsunagu.controllers.policy import Policy
    from tsunagu.registry.informer import Informer, ObjectChange
    from tsunagu.v1.objects_pb2 import Object

SILENT = "its agent does not answer; its tasks are left as they are"


def plan(informer: Informer, name: str, now: float, _policy: Policy) -> Plan:
    """What to do about the node of that name."""
    node = informer.get("Node", name)
    if node is None:
        return plan_gone(name, indexes.tasks_of_node(informer, name), now)
    return plan_node(node, held=informer.get("NodeLease", name) is not None)


def keys_for(informer: Informer, change: ObjectChange) -> Iterable[str]:
    """The name of a node that came, went or fell silent, and of a task's node when it is not there."""
    if change.kind in ("Node", "NodeLease"):
        return (change.name,)
    if change.kind != "Task" or change.new is None:
        return ()
    node = change.new.task.spec.node
    return () if informer.get("Node", node) else (node,)


def plan_node(node: Object, *, held: bool) -> Plan:
    """Marks a node NOT_READY whose agent holds no NodeLease any more. That it is READY again, its agent says."""
    if held or node.node.state == NodeState.NOT_READY:
        return Plan()
    silent = clone(node)
    silent.node.state, silent.node.reason = NodeState.NOT_READY, SILENT
    return Plan((Change(silent),))


def plan_gone(name: str, tasks: Iterable[Object], now: float) -> Plan:
    """Marks the tasks of a node that is gone as lost. `tasks`: all tasks that were placed on it."""
    lost = (task for task in tasks if not task_state.is_stopped(task))
    return Plan(tuple(mark_lost(task, f"node {name} is gone", now) for task in lost))
