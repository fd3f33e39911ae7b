"""Asks the relay of this node every 5 s what left the mesh from its tasks, and pushes that to the control plane.

Rule: a task of which the relay has counted nothing has no reading: it costs nothing, and has no series. While the relay does not answer
there is no reading of any. One that was started anew has counted from 0, so it is another incarnation.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from tsunagu.kit.log import get
from tsunagu.signals import flows
from tsunagu.v1 import signals_pb2
from tsunagu_node.runtime.outside import RelayCounts
from tsunagu_node.signals.collector import INTERVAL
from tsunagu_node.signals.kept import KeptReadings
from tsunagu_node.signals.pushing import Push, push_all

_LAST: Final = 1.0  # seconds for the last reading of a task that is about to end
log = get("node.signals")


@dataclass(slots=True)
class CountedTask:
    """What was read of one task. `silent`: the last moment (seconds since the epoch) at which nothing of it had been counted; None: it is not known."""

    source: signals_pb2.Source
    silent: float | None
    kept: KeptReadings = field(default_factory=KeptReadings)

    def add(self, told: Mapping[str, Any] | None, began: float, now: float) -> None:
        """The relay, which was started at `began`, tells this of the task now; None: nothing."""
        if told is None:
            self.silent = now
            return
        started = began if self.silent is None else max(began, self.silent)
        self.kept.add(
            signals_pb2.Reading(
                incarnation=f"{began:.3f}",
                time=now,
                from_start=self.silent is not None,
                flows=[flow_of(self.source.namespace, told)],
                started=started,
            )
        )


def flow_of(namespace: str, told: Mapping[str, Any]) -> signals_pb2.Flow:
    """Return what the relay tells of a task as a flow."""
    return signals_pb2.Flow(
        direction=flows.OUTSIDE,
        namespace=namespace,
        connections=told["opened"],
        bytes_sent=told["sent"],
        bytes_received=told["received"],
        active_connections=told["active"],
        refused=told["refused"],
    )


class RelayCollector:
    """Has every task that runs here in `_tasks`, by its name. `counts`: asks the relay; None: it does not answer."""

    def __init__(
        self,
        push: Push,
        counts: Callable[[], Awaitable[RelayCounts | None]],
        now: Callable[[], float] = time.time,
        interval: float = INTERVAL,
    ) -> None:
        self._push = push
        self._counts = counts
        self._now = now
        self._interval = interval
        self._tasks: dict[str, CountedTask] = {}
        self._ended: dict[str, CountedTask] = {}  # whose last readings are still to be taken

    def begin(self, source: signals_pb2.Source, *, new: bool) -> None:
        """Count this task from now on. `new`: it has just been created; otherwise it may have called before."""
        self._ended.pop(source.task, None)
        self._tasks[source.task] = CountedTask(source, self._now() if new else None)

    async def end(self, task: str) -> None:
        """Take a last reading, since the task has ended and the relay is about to forget it."""
        if task not in self._tasks:
            return
        try:
            async with asyncio.timeout(_LAST):
                await self._read()
        except TimeoutError:
            log.warning("no last reading of what left the mesh", task=task)
        if ended := self._tasks.pop(task, None):
            self._ended[task] = ended

    async def run(self) -> None:
        """Read and push until cancelled."""
        while True:
            due = time.monotonic() + self._interval
            await self._read()
            await self.push()
            await asyncio.sleep(max(0.0, due - time.monotonic()))

    async def push(self) -> None:
        """Send what was not taken yet, and forget the tasks that have ended and of which everything was taken."""
        await push_all(self._push, {**self._ended, **self._tasks})
        for task in [task for task, counted in self._ended.items() if not counted.kept.pending()]:
            del self._ended[task]

    async def _read(self) -> None:
        asked = self._now()
        found = await self._counts()
        if found is None:
            return
        for name, task in self._tasks.items():
            told = found.tasks.get(name.rpartition("/")[2])
            task.add(told, found.began, self._now() if told is not None else asked)
