"""A clock that stands still until a test moves it: what waits for minutes is tested in no time.

Rule: time moves in the order of what is due, and whoever is woken gets to run before it moves on.
"""

import asyncio
import heapq
import itertools

_TURNS = 50


class ManualClock:
    """A `tsunagu.kit.clock.Clock`. `start` is what `monotonic` says first; `epoch` what `now` says then."""

    def __init__(self, start: float = 0.0, epoch: float = 1_800_000_000.0) -> None:
        self._now = start
        self._offset = epoch - start
        self._order = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def monotonic(self) -> float:
        return self._now

    def now(self) -> float:
        return self._now + self._offset

    async def sleep(self, seconds: float) -> None:
        """Returns once the clock was advanced by `seconds`; at once (after a turn of the loop) when that is not > 0."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._now + seconds, next(self._order), woken))
        await woken

    @property
    def sleeping(self) -> int:
        """How many wait for the clock."""
        return sum(not woken.done() for _, _, woken in self._sleepers)

    async def advance(self, seconds: float) -> None:
        """Moves time on by `seconds`, waking each sleeper when its time comes."""
        until = self._now + seconds
        await _settle()
        while self._sleepers and self._sleepers[0][0] <= until:
            due, _, woken = heapq.heappop(self._sleepers)
            self._now = max(self._now, due)
            if not woken.done():
                woken.set_result(None)
            await _settle()
        self._now = until


async def _settle() -> None:
    # Enough turns of the loop for those that were woken to go to sleep again, however they are nested.
    for _ in range(_TURNS):
        await asyncio.sleep(0)
