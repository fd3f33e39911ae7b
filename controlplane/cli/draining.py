"""The orderly end: every service and gateway goes, so that each task leaves its callers, is idle, and stops.

The one rule: draining is bounded and never keeps a mesh from ending; what it could not do is told.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from controlplane.cli.ending import before
from controlplane.cli.errors import CliError, first
from controlplane.cli.link import connected
from controlplane.cli.sight import Sight
from controlplane.registry.objects import DeleteObject

if TYPE_CHECKING:
    from collections.abc import Callable

    from controlplane.cli.ending import Ending
    from controlplane.cli.link import Link
    from controlplane.settings import Home


async def drain(home: Home, ending: Ending, within: float, tell: Callable[[str], None]) -> None:
    """Stops all tasks in order; returns at the latest after ``within`` seconds, or when ``ending`` wants it at once."""
    if ending.at_once.is_set():
        return
    try:
        async with asyncio.timeout(within):
            if await before(ending.at_once, _stop_all(home, tell), "draining"):
                tell("every task has stopped")
    except TimeoutError:
        tell(f"not every task had stopped after {within:g} s; the rest is ended now")
    except (CliError, BaseExceptionGroup) as error:
        cause = first(error)
        if not isinstance(cause, CliError):
            raise
        tell(f"could not drain: {cause}")


async def _stop_all(home: Home, tell: Callable[[str], None]) -> None:
    async with connected(home) as link:
        await _delete_owners(link)
        sight = Sight(link.registry)
        async with asyncio.TaskGroup() as group:
            running = group.create_task(sight.run(), name="sight of the registry")
            await _until_stopped(sight, tell)
            running.cancel()


async def _delete_owners(link: Link) -> None:
    owners = [
        DeleteObject(kind, obj.meta.name)
        for kind in ("Gateway", "Service")
        for obj in (await link.registry.list(kind))[0]
    ]
    if owners:
        await link.registry.batch(owners)


async def _until_stopped(sight: Sight, tell: Callable[[str], None]) -> None:
    told = -1
    async for _ in sight.follow():
        left = sum(obj.task.status.last_status != "STOPPED" for obj in sight.state["Task"].values())
        if not left:
            return
        if told == -1:
            tell(f"draining {left} tasks")
        told = left
