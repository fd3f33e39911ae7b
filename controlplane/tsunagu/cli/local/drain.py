"""The orderly end: every gateway goes, then every service, so that each task leaves its callers, is idle, and stops.

The one rule: draining is bounded and never keeps a mesh from ending; what could not be drained is named.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from tsunagu.cli.local.shutdown import before
from tsunagu.client.connection import connected
from tsunagu.client.errors import ClientError, first
from tsunagu.client.source import registry_informer, retried
from tsunagu.model.statuses import Status
from tsunagu.registry.objects import DeleteObject

if TYPE_CHECKING:
    from tsunagu.cli.local.job import Job
    from tsunagu.cli.local.shutdown import Ending
    from tsunagu.client.connection import Link
    from tsunagu.registry.informer import Informer
    from tsunagu.settings import Home

#: Of the time for draining: requests from outside that take longer are cut, for the rest needs time as well.
_GATEWAYS_SHARE = 0.6


async def drain(home: Home, ending: Ending, within: float, job: Job) -> None:
    """Stops all tasks in order; returns at the latest after ``within`` seconds, or when ``ending`` wants it at once.

    ``job`` is notified, and shows what containers write meanwhile.
    """
    if ending.at_once.is_set():
        return
    try:
        async with asyncio.timeout(within):
            if await before(ending.at_once, _stop_all(home, within, job), "draining"):
                job.notify("every task has stopped")
    except TimeoutError:
        job.notify(f"not every task had stopped after {within:g} s; the rest is ended now")
    except (ClientError, BaseExceptionGroup) as error:
        cause = first(error)
        if not isinstance(cause, ClientError):
            raise
        job.notify(f"could not drain: {cause}")


async def _stop_all(home: Home, within: float, job: Job) -> None:
    async with connected(home) as link:
        informer = registry_informer(link.registry)
        async with asyncio.TaskGroup() as group:
            running = group.create_task(informer.run(), name="informer")
            async with job.output(link, informer):
                job.notify(f"draining {len(await _left(informer))} tasks")
                # Who calls from outside is let go first; then nobody is left whose calls are worth waiting for.
                with suppress(TimeoutError):
                    async with asyncio.timeout(within * _GATEWAYS_SHARE):
                        await _stop(link, informer, "Gateway")
                await _stop(link, informer, "Service")
            running.cancel()


async def _left(informer: Informer) -> list[str]:
    async for _ in informer.follow():
        break
    return _alive(informer, "")


async def _stop(link: Link, informer: Informer, kind: str) -> None:
    """Deletes every object of the kind, and returns when none of their tasks is left."""
    await retried(lambda: _delete(link, kind))
    async for _ in informer.follow():
        if not _alive(informer, kind):
            return


async def _delete(link: Link, kind: str) -> None:
    owners = [DeleteObject(kind, obj.meta.name) for obj in (await link.registry.list(kind))[0]]
    if owners:
        await link.registry.batch(owners)


def _alive(informer: Informer, kind: str) -> list[str]:
    """Tasks that have not stopped: of gateways (`kind` Gateway), or all."""
    return [
        name
        for name, obj in informer.state["Task"].items()
        if obj.task.status.last_status != Status.STOPPED and (kind != "Gateway" or obj.task.spec.gateway)
    ]
