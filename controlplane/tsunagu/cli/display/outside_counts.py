"""What left the mesh from tasks, and what was refused, as their nodes' relays count it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tsunagu.client.connection import client_errors, node_agent, short
from tsunagu.client.errors import ClientError
from tsunagu.client.tasks import has_stopped
from tsunagu.v1 import node_pb2

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tsunagu.client.connection import Link
    from tsunagu.v1.objects_pb2 import Object

TITLES = ["TASK", "TO", "CONNECTIONS", "OPEN", "SENT", "RECEIVED"]
_SECONDS = 3.0


async def rows(link: Link, tasks: Iterable[Object]) -> list[list[str]]:
    """A row of what was carried of each task that has called outside, and one of each place that was refused to it, with the reason."""
    running = [task for task in tasks if not has_stopped(task)]
    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(_of_task(link, task), name=f"outside of {task.meta.name}") for task in running]
    return [row for one in asked for row in one.result()]


async def _of_task(link: Link, task: Object) -> list[list[str]]:
    who = short(task.meta.name)
    try:
        with client_errors(link.home):
            async with asyncio.timeout(_SECONDS), node_agent(link, task) as agent:
                seen = await agent.TaskNetwork(node_pb2.TaskNetworkRequest(task=task.meta.name))
    except (ClientError, TimeoutError):
        return []  # who cannot be asked is told of elsewhere
    return cells(who, seen.outside)


def cells(who: str, counts: node_pb2.OutsideCounts) -> list[list[str]]:
    """The rows of one task."""
    carried = [[who, "all", *map(str, (counts.opened, counts.active, counts.sent, counts.received))]]
    refused = [[who, f"{one.ip}:{one.port}", f"{one.count} refused: {one.reason}", "", "", ""] for one in counts.places]
    return (carried if counts.opened else []) + refused
