"""From an empty mesh to one that is as its manifests want it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tsunagu.client import apply
from tsunagu.client.errors import NotConverged
from tsunagu.client.source import retried
from tsunagu.client.wait_converged import Deadline, until_converged
from tsunagu.client.wait_steady import until_steady
from tsunagu.model.statuses import Status

if TYPE_CHECKING:
    from collections.abc import Callable

    from tsunagu.cli.local.request import Wanted
    from tsunagu.client.connection import Link

_ANSWER_SECONDS = 5.0


async def bring_up(link: Link, wanted: Wanted, timeout: float | None, tell: Callable[[str], None]) -> str:
    """Applies, and waits until all is steady and every proxy has what it should have. Returns what runs, in words.

    A control plane that is restarted meanwhile is only waited for. Raises NotConverged when ``timeout`` seconds (None: for
    ever) do not suffice.
    """
    made = await retried(lambda: apply.apply_documents(link, wanted.documents, wanted.secrets))
    for line in (*apply.summary(made), *apply.warnings(made)):
        tell(line)
    deadline = Deadline(timeout)
    await until_steady(link, timeout, tell if timeout is not None else _silently)
    await _until_converged(link, deadline, tell)
    return await retried(lambda: _summary(link, wanted))


async def _until_converged(link: Link, deadline: Deadline, tell: Callable[[str], None]) -> None:
    over = None if deadline.seconds is None else deadline.left() + _ANSWER_SECONDS
    try:
        async with asyncio.timeout(over):
            await retried(lambda: until_converged(link, 0, deadline, tell))
    except TimeoutError:
        raise NotConverged(f"the control plane has not answered in {deadline.seconds:g} s") from None


def _silently(_: str) -> None:
    """For a view that tells by itself what happens."""


async def _summary(link: Link, wanted: Wanted) -> str:
    services = len((await link.registry.list("Service"))[0])
    tasks = sum(obj.task.status.last_status == Status.RUNNING for obj in (await link.registry.list("Task"))[0])
    ports = [f"{wish.host or '127.0.0.1'}:{wish.host_port} leads to {wish.alias}:{wish.port}" for wish in wanted.wishes]
    return ", ".join([f"{services} services", f"{tasks} tasks", *ports])
