"""Nodes that a control plane finds in its registry when it starts, whose agents ended with the one before it.

After a start every lease has a full term, so that agents which are there have time to renew theirs; an agent that is not there
would be taken for one for as long. The one rule: a node of this machine is READY from the start only if somebody listens where
its agent is to be reached; any other is NOT_READY until an agent registers.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from tsunagu.controllers.actions import clone
from tsunagu.controllers.nodes import SILENT
from tsunagu.model.statuses import NodeState
from tsunagu.registry.objects import DeleteObject, PutObject
from tsunagu.registry.store import StoreFailed

if TYPE_CHECKING:
    from tsunagu.registry.objects import Registry
    from tsunagu.v1.objects_pb2 import Object

_UNIX: Final = "unix:"
_CONNECT_SECONDS: Final = 1.0


async def mark_former(registry: Registry) -> None:
    """Mark the nodes NOT_READY that nobody attends to. To be called before anybody else writes to the registry."""
    nodes, _ = await registry.list("Node")
    leases = {obj.meta.name for obj in (await registry.list("NodeLease"))[0]}
    former = [node for node in nodes if node.node.state == NodeState.READY and not await _listens(node.node.api)]
    operations: list[PutObject | DeleteObject] = [PutObject(_silent(node), node.meta.revision) for node in former]
    operations += [DeleteObject("NodeLease", node.meta.name) for node in former if node.meta.name in leases]
    if operations:
        with suppress(StoreFailed):  # a full disk: the leases end by themselves, and who asks is told that it is full
            await registry.batch(operations)


def _silent(node: Object) -> Object:
    marked = clone(node)
    marked.node.state, marked.node.reason = NodeState.NOT_READY, SILENT
    return marked


async def _listens(target: str) -> bool:
    """Whether somebody accepts connections at a Unix socket; of another machine only its lease tells."""
    if not target.startswith(_UNIX):
        return True
    try:
        async with asyncio.timeout(_CONNECT_SECONDS):
            _, writer = await asyncio.open_unix_connection(target.removeprefix(_UNIX))
    except OSError:  # TimeoutError is one
        return False
    writer.close()
    return True
