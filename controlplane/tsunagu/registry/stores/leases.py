"""When leases end: a clock that only runs while it is ticked.

The holder of a lease renews it in time unless it is dead. But when *this* process stood still (the machine was suspended,
the process stopped, the loop blocked), the holders could not reach it, and expiring their leases would kill a healthy
mesh. The one rule: after a gap between two ticks every lease gets a full term again.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Seconds between two ticks of `Store.run`, and between two ticks from which on this process is said to have stood still.
TICK = 0.5
GAP = 2.0


def boottime() -> float:
    """Seconds on a clock that never goes backwards and, unlike time.monotonic, counts a suspend (clock_gettime(2))."""
    clock: int = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return time.clock_gettime(clock)


class LeaseClock:
    """The leases, their terms (seconds) and when each is over. Time is passed in, in seconds."""

    def __init__(self, leases: Mapping[str, float], now: float) -> None:
        self._ttl = dict(leases)
        self._ends = {lease: now + ttl for lease, ttl in leases.items()}
        self._ticked = now

    def __contains__(self, lease: str) -> bool:
        return lease in self._ttl

    def __len__(self) -> int:
        return len(self._ttl)

    def grant(self, lease: str, ttl: float, now: float) -> None:
        self._ttl[lease] = ttl
        self._ends[lease] = now + ttl

    def renew(self, lease: str, now: float) -> float:
        """Gives a known lease a full term; returns its ttl."""
        ttl = self._ttl[lease]
        self._ends[lease] = now + ttl
        return ttl

    def drop(self, lease: str) -> None:
        self._ttl.pop(lease, None)
        self._ends.pop(lease, None)

    def tick(self, now: float) -> list[str]:
        """The leases whose term is over, in the order in which they ended; none after a gap."""
        stood_still = now - self._ticked > GAP
        self._ticked = now
        if stood_still:
            self._ends = {lease: now + ttl for lease, ttl in self._ttl.items()}
            return []
        return sorted((lease for lease, end in self._ends.items() if end <= now), key=self._ends.__getitem__)
