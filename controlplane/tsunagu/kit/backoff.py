"""Delays between retries: exponential growth up to a cap, with optional jitter.

The one rule: a delay is a function of the number of failures. The caller counts them and passes in a random number; this
module keeps no state, reads no clock and has no source of randomness.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """A schedule of delays in seconds: `base`, `base * factor`, `base * factor ** 2` ... never more than `cap`.

    `spread` (0 to 1) is the share of a delay that jitter may take away: 0.5 lets a delay of 8 s shrink to as little
    as 4 s, so that clients that failed together do not retry together.
    """

    base: float
    cap: float
    factor: float = 2.0
    spread: float = 0.0

    def __post_init__(self) -> None:
        if not (0 < self.base <= self.cap and self.factor >= 1 and 0 <= self.spread <= 1):
            raise ValueError(f"{self} is no schedule: it needs 0 < base <= cap, factor >= 1 and 0 <= spread <= 1")

    def delay(self, failures: int, jitter: float = 0.0) -> float:
        """Seconds to wait after `failures` failures in a row; 0.0 after none. `jitter` is in [0, 1)."""
        if failures <= 0:
            return 0.0
        return self._grown(failures - 1) * (1 - self.spread * jitter)

    def _grown(self, steps: int) -> float:
        try:
            return min(self.cap, self.base * self.factor**steps)
        except OverflowError:  # a float ends near 2 ** 1024, far above any cap
            return self.cap
