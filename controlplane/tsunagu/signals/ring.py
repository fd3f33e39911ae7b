"""An hour of what one task's Envoy counted: 5 s each for the last minutes, a minute each before, as encoded bytes.

Rule: bounded by time (`HOUR`) and, over all tasks, by bytes (`store.MOST_BYTES`). What is older than `RECENT` is added up by minutes,
so an hour of a task with two flows takes some 50 KB and not 250 (docs/metrics.md). A sample is never made up: a time
of which none came is in no span.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tsunagu.signals import flows
from tsunagu.v1 import signals_pb2

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

HOUR: Final = 3600.0
RECENT: Final = 600.0
MINUTE: Final = 60.0
#: What Python needs for an entry beside its bytes: the object, its two floats, its bytes' header, its place in the deque.
OVERHEAD: Final = 150


@dataclass(frozen=True, slots=True)
class Span:
    """What was counted from `start` to `end` (seconds since the epoch); `encoded` is a TaskTotals with only flows."""

    start: float
    end: float
    encoded: bytes

    @property
    def size(self) -> int:
        return len(self.encoded) + OVERHEAD

    def flows(self) -> Sequence[signals_pb2.Flow]:
        return signals_pb2.TaskTotals.FromString(self.encoded).flows


def span(start: float, end: float, counted: Sequence[signals_pb2.Flow]) -> Span:
    return Span(start, end, signals_pb2.TaskTotals(flows=counted).SerializeToString())


class Ring:
    """The spans of one task, oldest first. Invariant: those in `_minutes` end before those in `_recent` begin."""

    def __init__(self) -> None:
        self._recent: deque[Span] = deque()
        self._minutes: deque[Span] = deque()
        self.bytes = 0

    def __iter__(self) -> Iterator[Span]:
        yield from self._minutes
        yield from self._recent

    @property
    def begin(self) -> float:
        """Where the oldest span begins; infinity when there is none."""
        first = next(iter(self), None)
        return first.start if first else float("inf")

    def add(self, new: Span) -> None:
        self._recent.append(new)
        self.bytes += new.size

    def age(self, now: float) -> None:
        """Add up what is no longer recent by minutes, and forget what is older than an hour."""
        while self._recent and self._recent[0].end < now - RECENT:
            self._add_up(self._recent.popleft())
        while self._minutes and self._minutes[0].end < now - HOUR:
            self.forget_oldest()

    def forget_oldest(self) -> None:
        """Forget one span."""
        part = self._minutes or self._recent
        if part:
            self.bytes -= part.popleft().size

    def _add_up(self, old: Span) -> None:
        self.bytes -= old.size
        if self._minutes and _minute(self._minutes[-1]) == _minute(old):
            last = self._minutes.pop()
            self.bytes -= last.size
            old = span(last.start, old.end, _sum(last.flows(), old.flows()))
        self._minutes.append(old)
        self.bytes += old.size


def _minute(of: Span) -> float:
    """Return the minute in which it ends; one that ends with a minute belongs to that one."""
    return math.ceil(of.end / MINUTE)


def _sum(first: Sequence[signals_pb2.Flow], then: Sequence[signals_pb2.Flow]) -> list[signals_pb2.Flow]:
    sums = flows.by_key(first)
    for flow in then:
        key = flows.key_of(flow)
        if key in sums:
            flows.add(sums[key], flow)
            flows.replace_gauges(sums[key], flow)
        else:
            sums[key] = flow
    return list(sums.values())
