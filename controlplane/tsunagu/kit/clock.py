"""Clocks are passed in, so that tests can advance time by hand (`tsunagu.testing.ManualClock`).

The one rule: durations and deadlines are measured with `monotonic`; `now` is for timestamps that people see or that are
stored.
"""

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """A clock, and a way to wait on it. All values are in seconds."""

    def monotonic(self) -> float:
        """Seconds since an arbitrary moment; never decreases."""
        ...

    def now(self) -> float:
        """Seconds since the epoch."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds` have passed."""
        ...


class SystemClock:
    """The machine's clock."""

    def monotonic(self) -> float:
        return time.monotonic()

    def now(self) -> float:
        return time.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
