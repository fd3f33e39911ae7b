"""Histograms of latencies in log-linear buckets of two decimal digits, as Envoy keeps them (its circllhist).

Rule: histograms are added and subtracted bucket by bucket, never by their percentiles; so a percentile over many tasks is as exact
as over one: its bucket is at most a tenth as wide as its value. Envoy counts whole milliseconds.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from tsunagu.v1 import signals_pb2

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

#: Upper bounds, in seconds, of the coarser buckets that Prometheus gets.
BOUNDS: Final = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 15.0, 30.0, 60.0, 300.0),
)
_SECOND: Final = 1_000_000
_MILLISECOND: Final = 1000


def difference(after: signals_pb2.Latency, before: signals_pb2.Latency) -> signals_pb2.Latency:
    """Return what was counted between; all of `after` when it has less than `before`, which it does not continue then."""
    earlier = dict(zip(before.lower_us, before.counts, strict=True))
    now = dict(zip(after.lower_us, after.counts, strict=True))
    if any(now.get(lower, 0) < count for lower, count in earlier.items()):
        earlier = {}
    return _of({lower: count - earlier.get(lower, 0) for lower, count in now.items()})


def total(parts: Iterable[signals_pb2.Latency]) -> signals_pb2.Latency:
    """Return the sum of histograms."""
    counts: Counter[int] = Counter()
    for part in parts:
        for lower, count in zip(part.lower_us, part.counts, strict=True):
            counts[lower] += count
    return _of(counts)


def count(latency: signals_pb2.Latency) -> int:
    return sum(latency.counts)


def percentile(latency: signals_pb2.Latency, share: float) -> float | None:
    """Return the latency, in seconds, below which that share (0 to 1) of the values lies; None without values.

    It is the upper end of the bucket in which the share is reached; of whole milliseconds below 100 that is the value itself.
    """
    wanted, seen = share * count(latency), 0
    for lower, number in zip(latency.lower_us, latency.counts, strict=True):
        seen += number
        if seen >= wanted and number:
            return highest_us(lower) / _SECOND
    return None


def mean(latency: signals_pb2.Latency) -> float | None:
    """Return the mean in seconds, within half the width of the buckets; None without values."""
    number = count(latency)
    return sum_seconds(latency) / number if number else None


def sum_seconds(latency: signals_pb2.Latency) -> float:
    """Return the sum of the values in seconds, each taken to be in the middle of its bucket."""
    pairs = zip(latency.lower_us, latency.counts, strict=True)
    return sum((lower + highest_us(lower)) / 2 * number for lower, number in pairs) / _SECOND


def cumulative(latency: signals_pb2.Latency, bounds: Sequence[float] = BOUNDS) -> list[int]:
    """Return how many values are at most each of `bounds` (seconds), and then how many there are."""
    pairs = list(zip(latency.lower_us, latency.counts, strict=True))
    up_to = [sum(number for lower, number in pairs if lower <= bound * _SECOND) for bound in bounds]
    return [*up_to, count(latency)]


def highest_us(lower_us: int) -> int:
    """Return the highest value, in microseconds, of the bucket that begins at `lower_us`: a whole number of milliseconds."""
    milliseconds = lower_us // _MILLISECOND
    width = 10 ** max(0, len(str(milliseconds)) - 2)
    return (milliseconds + width - 1) * _MILLISECOND if milliseconds else 0


def _of(counts: dict[int, int]) -> signals_pb2.Latency:
    kept = sorted((lower, number) for lower, number in counts.items() if number)
    return signals_pb2.Latency(lower_us=[lower for lower, _ in kept], counts=[number for _, number in kept])
