"""What is to be reconciled next, when every change in the registry names a key and a key may be named at any time.

The queue is fair (keys leave in the order in which they came), stingy (a key that is named many times before it is
processed is processed once), and knows shutdown. After client-go's `util/workqueue`, with delays and retries inside
because they obey the same invariants; it is no coroutine and reads no clock, so that its rules can be tested alone.

The one rule: a key is never handed out twice at the same time, and a key that was named while it was being processed
is processed again. Three collections keep it:
"""

from __future__ import annotations

import heapq
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tsunagu.kit.backoff import Backoff


class WorkQueue:
    """Keys that wait. `now` is in seconds of a monotonic clock; the caller waits for `deadline` or for `add`."""

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
        self._closed = False

    def add(self, key: str) -> None:
        if self._closed or key in self._dirty:
            return
        self._dirty.add(key)
        if key not in self._processing:
            self._queue.append(key)

    def add_at(self, key: str, at: float) -> None:
        """Adds it once `at` has come. Of several times the earliest counts: who reconciles will ask again."""
        if self._closed or self._due.get(key, at + 1) <= at:
            return
        self._due[key] = at
        heapq.heappush(self._heap, (at, key))

    def get(self, now: float) -> str | None:
        """The next key, to be given back with `done`; None when there is nothing to do yet."""
        self._promote(now)
        if self._closed or not self._queue:
            return None
        key = self._queue.popleft()
        self._dirty.remove(key)
        self._processing.add(key)
        return key

    def done(self, key: str) -> None:
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

    def shut_down(self) -> None:
        """Takes nothing more and hands nothing more out; what is being processed may be given back."""
        self._closed = True

    def _promote(self, now: float) -> None:
        while (at := self.deadline) is not None and at <= now:
            key = heapq.heappop(self._heap)[1]
            del self._due[key]
            self.add(key)

    def __len__(self) -> int:
        return len(self._queue)
