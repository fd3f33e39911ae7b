"""From an empty mesh to one that is as its manifests want it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tsunagu.cli.local import reachable
from tsunagu.client import apply
from tsunagu.client.errors import NotConverged
from tsunagu.client.source import retried
from tsunagu.client.wait_converged import Deadline, until_converged
from tsunagu.client.wait_steady import until_steady
from tsunagu.model.statuses import Status

if TYPE_CHECKING:
    from collections.abc import Callable

    from tsunagu.cli.local.request import Request
    from tsunagu.client.connection import Link

_ANSWER_SECONDS = 5.0


def _nothing() -> None:
    """Nobody notes that it is applied."""


async def bring_up(
    link: Link,
    request: Request,
    timeout: float | None,
    notify: Callable[[str], None],
    applied: Callable[[], None] | None = _nothing,
) -> str:
    """Apply, and wait until everything is steady and every proxy has converged. Returns a summary of what runs.

    `applied`: called when it is applied; None: it is already, in a mesh that goes on.
    A control plane that restarts meanwhile is waited for. Raises NotConverged when ``timeout`` seconds (None: for
    ever) do not suffice.
    """
    if applied is None:
        notify("the mesh that was killed has these manifests: it goes on from where it was")
    else:
        made = await retried(lambda: apply.apply_documents(link, request.documents, request.secrets))
        applied()
        for line in (*apply.summary(made), *apply.warnings(made, request.notes, quiet=request.quiet)):
            notify(line)
    deadline = Deadline(timeout)
    await until_steady(link, timeout, notify if timeout is not None else _silently)
    await _until_converged(link, deadline, notify)
    return await retried(lambda: _summary(link))


async def _until_converged(link: Link, deadline: Deadline, notify: Callable[[str], None]) -> None:
    over = None if deadline.seconds is None else deadline.left() + _ANSWER_SECONDS
    try:
        async with asyncio.timeout(over):
            await retried(lambda: until_converged(link, 0, deadline, notify))
    except TimeoutError:
        raise NotConverged(f"the control plane has not answered in {deadline.seconds:g} s") from None


def _silently(_: str) -> None:
    """Notify nobody: the view shows events by itself."""


async def _summary(link: Link) -> str:
    services = len((await link.registry.list("Service"))[0])
    tasks = sum(obj.task.status.last_status == Status.RUNNING for obj in (await link.registry.list("Task"))[0])
    return f"{_counted(services, 'service')}, {_counted(tasks, 'task')}"


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


async def where_reachable(link: Link) -> list[str]:
    """Where the mesh can be reached from this machine, a line each."""
    gateways, services, revisions = [
        (await link.registry.list(kind))[0] for kind in ("Gateway", "Service", "ServiceRevision")
    ]
    return reachable.lines(gateways, services, revisions)
