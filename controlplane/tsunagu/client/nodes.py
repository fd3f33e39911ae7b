"""Nodes as clients see them: which take tasks, and the deletion of one that is lost.

The one rule: a node's deletion gives up its tasks, so it needs a node whose agent is silent, and another that has room for
them, or a user who says that it is to be done all the same.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from tsunagu.client.errors import InvalidRequest
from tsunagu.model.statuses import NodeState, Status

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tsunagu.client.connection import Link
    from tsunagu.v1.objects_pb2 import Object, Task


def is_ready(node: Object) -> bool:
    """Whether its agent answers and has adopted what runs."""
    return node.node.state == NodeState.READY


async def delete_node(link: Link, node: Object, *, force: bool) -> None:
    """Deletes a lost node: its tasks are recorded as stopped and replaced. Raises InvalidRequest when `why_not` knows why."""
    if not force:
        nodes, _ = await link.registry.list("Node")
        tasks, _ = await link.registry.list("Task")
        if reason := why_not(node, nodes, tasks):
            raise InvalidRequest(*reason)
    await link.registry.delete("Node", node.meta.name, expected=node.meta.revision)


def why_not(node: Object, nodes: Iterable[Object], tasks: Iterable[Object]) -> tuple[str, str] | None:
    """Why a node should not be deleted, and what would be right; None when nothing speaks against it."""
    name, present = node.meta.name, [obj.task for obj in tasks if obj.task.status.last_status != Status.STOPPED]
    if is_ready(node):
        return f"node {name} is READY: its agent would register it again", "end its agent first"
    own = sum(task.spec.node == name for task in present)
    room: float = sum(_room(other, present) for other in nodes if other.meta.name != name and is_ready(other))
    if own > room:
        free = "no other node has room" if room <= 0 else f"the other nodes have room for {room:g}"
        return (
            f"node {name} may still run {own} tasks, which would be given up, and {free}",
            "wait for its agent, or give them up with --force",
        )
    return None


def _room(node: Object, tasks: list[Task]) -> float:
    taken = sum(task.spec.node == node.meta.name for task in tasks)
    return max(0, node.node.task_capacity - taken) if node.node.task_capacity else math.inf
