"""Reads all Envoys of this node every 5 s, and pushes what they have counted to the control plane.

Rule: bounded in everything: a request to an Envoy has a timeout, so many are read at once, a push has a deadline, and what nobody
takes is thinned out (`kept`). An Envoy that hangs costs the others nothing, and has no reading.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Final

from tsunagu.kit.log import get
from tsunagu_node.signals.pushing import Push, push_all
from tsunagu_node.signals.reader import Place, TaskReader, Unreadable

INTERVAL: Final = 5.0
VARIABLE: Final = "TSUNAGU_SIGNALS_SECONDS"
"""The environment variable with another interval, in seconds: what it costs is measured against one that never passes."""
AT_ONCE: Final = 4
_SPREAD: Final = 2.0  # seconds over which the readings of one round begin: a burst would be felt by the apps
_GAP: Final = 0.05
_LAST: Final = 1.0  # seconds for the last reading of an Envoy that is about to end
log = get("node.signals")


class Collector:
    """The readers of this node's tasks. `begin` and `end` follow the tasks, `run` reads and pushes."""

    def __init__(self, push: Push, now: Callable[[], float] = time.time, interval: float = INTERVAL) -> None:
        self._push = push
        self._interval = interval
        self._now = now
        self._began = now()
        self._readers: dict[str, TaskReader] = {}
        self._ended: dict[str, TaskReader] = {}  # whose last readings are still to be taken
        self._unreadable: set[str] = set()

    def begin(self, place: Place) -> None:
        """Read this Envoy from now on; what was read of it before is kept."""
        before = self._readers.get(place.source.task) or self._ended.pop(place.source.task, None)
        self._readers[place.source.task] = TaskReader(place, self._began, before.kept if before else None)

    async def end(self, task: str) -> None:
        """Take a last reading, since the Envoy of the task is about to end; what it has counted so far is not lost."""
        reader = self._readers.pop(task, None)
        if reader is None:
            return
        try:
            async with asyncio.timeout(_LAST):
                await self._read(reader)
        except TimeoutError:
            log.warning("no last reading", task=task)
        self._ended[task] = reader

    async def run(self) -> None:
        """Read and push until cancelled."""
        while True:
            due = time.monotonic() + self._interval
            await self._round()
            await self.push()
            await asyncio.sleep(max(0.0, due - time.monotonic()))

    async def _round(self) -> None:
        readers = list(self._readers.values())
        free = asyncio.Semaphore(AT_ONCE)
        async with asyncio.TaskGroup() as group:
            for reader in readers:
                await free.acquire()
                reading = group.create_task(self._read(reader), name=f"stats of {reader.source.task}")
                reading.add_done_callback(lambda _: free.release())
                await asyncio.sleep(min(_GAP, _SPREAD / len(readers)))

    async def _read(self, reader: TaskReader) -> None:
        task = reader.source.task
        try:
            await reader.read(self._now)
        except Unreadable as error:
            if task not in self._unreadable:
                self._unreadable.add(task)
                log.warning("stats cannot be read", task=task, reason=str(error))
        else:
            self._unreadable.discard(task)

    async def push(self) -> None:
        """Send what was not taken yet, and forget the tasks that have ended and of which everything was taken."""
        readers = {**self._ended, **self._readers}
        await push_all(self._push, readers)
        for task in [task for task, reader in self._ended.items() if not reader.kept.pending()]:
            del self._ended[task]
        self._unreadable &= readers.keys()
