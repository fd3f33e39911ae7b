"""How much of the event loop one client may use: every client is served by the same one.

Rule: what a client's requests cost is measured, whatever makes them costly. A client may use a `burst` of it at once and
then its `share`; above that its next request is read later. So a client that asks without end slows down itself.
"""

from __future__ import annotations


class Allowance:
    """A bucket of CPU seconds. It holds `burst` at most and is filled with `share` per second."""

    __slots__ = ("_at", "_burst", "_left", "_share")

    def __init__(self, burst: float, share: float, now: float) -> None:
        self._burst, self._share = burst, share
        self._left = burst  # Invariant: what may be used at once, as of `_at`; below zero it is a debt
        self._at = now

    def spend(self, seconds: float, now: float) -> None:
        """Take what a request has cost."""
        self._fill(now)
        self._left -= seconds

    def pause(self, now: float) -> float:
        """Return for how many seconds the client's next request has to wait; 0: it need not."""
        self._fill(now)
        return max(0.0, -self._left / self._share)

    def full(self, now: float) -> bool:
        """True when the client has nothing to make up for: a new bucket would be the same."""
        self._fill(now)
        return self._left >= self._burst

    def _fill(self, now: float) -> None:
        self._left = min(self._burst, self._left + (now - self._at) * self._share)
        self._at = now
