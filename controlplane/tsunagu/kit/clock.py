"""Time as a thing that is passed in, so that tests move it by hand (`tsunagu.testing.ManualClock`).

Rule: durations and deadlines are measured on `monotonic`; `now` is only for people and for what is stored.
"""

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """What code that waits or measures needs. All in seconds."""

    def monotonic(self) -> float:
        """Never goes backwards; its zero means nothing."""
        ...

    def now(self) -> float:
        """Seconds since the epoch."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Returns when `seconds` have passed."""
        ...


class SystemClock:
    """The machine's own."""

    def monotonic(self) -> float:
        return time.monotonic()

    def now(self) -> float:
        return time.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
