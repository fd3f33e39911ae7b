"""What is to be reconciled next, when every change in the registry names a key and a key may be named at any time.

The queue is fair (keys leave in the order in which they came) and stingy (a key that is named many times before it is
processed is processed once). After client-go's `util/workqueue`, with delays and retries inside because they obey the same
invariants. The one rule: a key is never handed out twice at the same time, and a key that was named while it was being
processed is processed again. `KeyQueue` keeps it with three collections, reads no clock and is tested alone; `WorkQueue`
adds the waiting.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tsunagu.controllers.policy import Policy
    from tsunagu.kit.backoff import Backoff
    from tsunagu.kit.clock import Clock


class KeyQueue:
    """Keys that wait, without IO. `now` is in seconds of a monotonic clock; the caller waits for `deadline` or for `add`."""

    def __init__(self, backoff: Backoff) -> None:
        self._backoff = backoff
        # In order of processing. Every one of them is in `dirty` and none is in `processing`.
        self._queue: deque[str] = deque()
        # All keys that need to be processed, also those that are being processed and have been named again.
        self._dirty: set[str] = set()
        # Handed out by `get`, not yet given back by `done`. Those of them that are dirty go to the queue at `done`.
        self._processing: set[str] = set()
        # The earliest time at which a delayed key becomes dirty. The heap may hold outdated times; the dict rules.
        self._due: dict[str, float] = {}
        self._heap: list[tuple[float, str]] = []
        self._failures: dict[str, int] = {}

    def add(self, key: str) -> None:
        """The key is to be processed, or processed again when it is being processed now."""
        if key in self._dirty:
            return
        self._dirty.add(key)
        if key not in self._processing:
            self._queue.append(key)

    def add_at(self, key: str, at: float) -> None:
        """Adds it once `at` has come. Of several times the earliest counts: who reconciles will ask again."""
        if self._due.get(key, at + 1) <= at:
            return
        self._due[key] = at
        heapq.heappush(self._heap, (at, key))

    def get(self, now: float) -> str | None:
        """The next key, to be given back with `done`; None when there is nothing to do yet."""
        self._promote(now)
        if not self._queue:
            return None
        key = self._queue.popleft()
        self._dirty.remove(key)
        self._processing.add(key)
        return key

    def done(self, key: str) -> None:
        """Gives back a key that `get` has handed out."""
        self._processing.remove(key)
        if key in self._dirty:
            self._queue.append(key)

    def retry(self, key: str, now: float, jitter: float = 0.0) -> float:
        """Adds a key that failed, after a delay that grows with each failure; returns the delay in seconds."""
        self._failures[key] = self.failures(key) + 1
        delay = self._backoff.delay(self._failures[key], jitter)
        self.add_at(key, now + delay)
        return delay

    def forget(self, key: str) -> None:
        """The key succeeded: its next failure is the first."""
        self._failures.pop(key, None)

    def failures(self, key: str) -> int:
        """How often the key has failed in a row."""
        return self._failures.get(key, 0)

    @property
    def deadline(self) -> float | None:
        """When the next delayed key becomes due; None when there is none."""
        while self._heap and self._due.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    @property
    def idle(self) -> bool:
        """Nothing waits (but for its time) and nothing is being processed."""
        return not self._dirty and not self._processing

    def _promote(self, now: float) -> None:
        while (at := self.deadline) is not None and at <= now:
            key = heapq.heappop(self._heap)[1]
            del self._due[key]
            self.add(key)

    def __len__(self) -> int:
        return len(self._queue)


class WorkQueue:
    """The keys of one controller, which one can wait for. Used inside one TaskGroup, by which its timer is owned.

    Invariant: there is at most one timer, set to the earliest delay, so that a thousand delays cost one sleeping task.
    """

    def __init__(self, name: str, group: asyncio.TaskGroup, clock: Clock, policy: Policy) -> None:
        self._keys = KeyQueue(policy.retry)
        self._name = name
        self._group = group
        self._clock = clock
        self._wake = asyncio.Event()
        self._timer: asyncio.Task[None] | None = None
        self._timer_at = 0.0

    @property
    def idle(self) -> bool:
        """Nothing waits (but for its time) and nothing is being processed."""
        return self._keys.idle

    def add(self, key: str) -> None:
        """The key is to be processed, or processed again when it is being processed now."""
        self._keys.add(key)
        self._wake.set()

    def add_after(self, key: str, seconds: float) -> None:
        """Adds the key when so many seconds have passed."""
        self._keys.add_at(key, self._clock.monotonic() + seconds)

    def retry(self, key: str, jitter: float) -> float:
        """Adds a key that failed, later with each failure in a row. Returns the delay in seconds; ``jitter`` is in [0, 1)."""
        return self._keys.retry(key, self._clock.monotonic(), jitter)

    async def next(self) -> str:
        """The next key; waits for one. It is to be given back with `done`."""
        while (key := self._keys.get(self._clock.monotonic())) is None:
            self._set_timer()
            await self._wake.wait()
            self._wake.clear()
        return key

    def done(self, key: str) -> None:
        """Gives back a key that `next` has handed out."""
        self._keys.done(key)

    def forget(self, key: str) -> None:
        """The key succeeded: its next failure is the first."""
        self._keys.forget(key)

    def _set_timer(self) -> None:
        at = self._keys.deadline
        if at is None or (self._timer and self._timer_at == at):
            return
        if self._timer:
            self._timer.cancel()
        self._timer_at = at
        self._timer = self._group.create_task(self._wake_at(at), name=f"{self._name} timer")

    async def _wake_at(self, at: float) -> None:
        await self._clock.sleep(max(0.0, at - self._clock.monotonic()))
        self._timer = None
        self._wake.set()
