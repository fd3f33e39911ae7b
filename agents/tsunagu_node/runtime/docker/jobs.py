"""The work that a runtime does by itself, beside what it is asked for: it listens for events, and follows logs.

Rule: every job has a name and ends with the runtime. A job's error is its own: it is logged, and touches no other.
"""

import asyncio
from asyncio import TaskGroup
from collections.abc import Coroutine
from typing import Any

from tsunagu.kit.log import get

log = get("node.runtime")


class Jobs:
    """Jobs, from `open` to `close`. `_root`: the one task that owns the group in which they run. `_running`: those that have
    not ended.
    """

    def __init__(self) -> None:
        self._root: asyncio.Task[None] | None = None
        self._group: TaskGroup | None = None
        self._running: set[asyncio.Task[None]] = set()
        self._closing = asyncio.Event()

    async def open(self) -> None:
        """Begin to take jobs."""
        opened = asyncio.Event()
        self._root = asyncio.create_task(self._hold(opened), name="jobs of the runtime")
        await opened.wait()

    def start(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Run `work` until it ends, or until `close`."""
        if self._group is None:
            work.close()
            raise RuntimeError(f"{name}: the runtime has not been started, or is closed")
        job = self._group.create_task(_contained(work, name), name=name)
        self._running.add(job)
        job.add_done_callback(self._running.discard)
        return job

    async def close(self) -> None:
        """Cancel the jobs that still run."""
        if self._root is not None:
            self._closing.set()
            await asyncio.wait([self._root])
        self._root = self._group = None

    async def _hold(self, opened: asyncio.Event) -> None:
        async with TaskGroup() as group:
            self._group = group
            opened.set()
            await self._closing.wait()
            self._group = None
            for job in list(self._running):
                job.cancel()


async def _contained(work: Coroutine[Any, Any, None], name: str) -> None:
    try:
        await work
    except Exception:
        log.exception("a job of the runtime ended in an error", job=name)
