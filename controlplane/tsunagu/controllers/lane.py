"""A work queue that one can wait for: the keys of one controller, and the timer of those that are delayed.

The one rule: at most one timer, set to the queue's own deadline, so that a thousand delays cost one sleeping task.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tsunagu.controllers.queue import WorkQueue

if TYPE_CHECKING:
    from tsunagu.controllers.policy import Policy
    from tsunagu.kit.clock import Clock


class Lane:
    """Used inside one TaskGroup, by which its timer is owned."""

    def __init__(self, name: str, group: asyncio.TaskGroup, clock: Clock, policy: Policy) -> None:
        self.queue = WorkQueue(policy.retry)
        self._name = name
        self._group = group
        self._clock = clock
        self._wake = asyncio.Event()
        self._timer: asyncio.Task[None] | None = None
        self._timer_at = 0.0

    def add(self, key: str) -> None:
        self.queue.add(key)
        self._wake.set()

    def add_after(self, key: str, seconds: float) -> None:
        self.queue.add_at(key, self._clock.monotonic() + seconds)

    def retry(self, key: str, jitter: float) -> float:
        """Returns the delay in seconds."""
        return self.queue.retry(key, self._clock.monotonic(), jitter)

    async def next(self) -> str:
        """The next key; waits for one. It is to be given back with `queue.done`."""
        while (key := self.queue.get(self._clock.monotonic())) is None:
            self._set_timer()
            await self._wake.wait()
            self._wake.clear()
        return key

    def _set_timer(self) -> None:
        at = self.queue.deadline
        if at is None or (self._timer and self._timer_at == at):
            return
        if self._timer:
            self._timer.cancel()
        self._timer_at = at
        self._timer = self._group.create_task(self._ring(at), name=f"{self._name} timer")

    async def _ring(self, at: float) -> None:
        await self._clock.sleep(max(0.0, at - self._clock.monotonic()))
        self._timer = None
        self._wake.set()
