"""What the xDS server counts of itself.

Rule: the push path pays an addition and a look-up for each message; whatever can be derived from the server's state is
derived when somebody asks (`gauges`). Label values are a closed set, so no client can make the numbers grow in number.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tsunagu.xds.resources import TYPES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from tsunagu.serve.xds.timeline import Timeline
    from tsunagu.xds.catalog import CatalogSize

#: Upper bounds of the latency buckets, in seconds; what is above the last is counted all the same.
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 30.0)
OTHER = "other"  # types that this server does not know


class Histogram:
    """Counts of values by bucket, their number and their sum. `counts` has one entry more than `bounds`: what is above."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: tuple[float, ...] = BUCKETS) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    @property
    def count(self) -> int:
        """How many values were counted."""
        return sum(self.counts)

    def quantile(self, share: float) -> float:
        """The bound below which that share (0 to 1) of the values lies; 0 without values, infinity above all bounds."""
        wanted, seen = share * self.count, 0
        for bound, count in zip((*self.bounds, float("inf")), self.counts, strict=True):
            seen += count
            if count and seen >= wanted:
                return bound
        return 0.0


@dataclass(slots=True)
class TypeCounts:
    """What was exchanged of one type, since the start."""

    responses: int = 0
    bytes: int = 0
    acks: int = 0
    nacks: int = 0
    latency: Histogram = field(default_factory=Histogram)  # of answers, since their response was made

    def sent(self, size: int) -> None:
        """Count a response."""
        self.responses += 1
        self.bytes += size

    def acked(self, latency: float) -> None:
        """Count an ACK."""
        self.acks += 1
        self.latency.observe(latency)

    def nacked(self, latency: float) -> None:
        """Count a NACK."""
        self.nacks += 1
        self.latency.observe(latency)


@dataclass(frozen=True, slots=True)
class Metric:
    """One number, or distribution, with what it means. `labels` tell it from others of its name."""

    name: str
    kind: str  # counter, gauge, histogram
    unit: str  # "", bytes, seconds
    help: str
    value: float = 0.0
    histogram: Histogram | None = None
    labels: Mapping[str, str] = field(default_factory=dict)


class Counters:
    """What happens, counted where it happens."""

    def __init__(self) -> None:
        self.types: dict[str, TypeCounts] = defaultdict(TypeCounts)  # by short name
        self.requests = 0
        self.request_bytes = 0
        self.stale = 0  # requests that answer no outstanding response
        self.streams = 0  # opened
        self.refused: dict[str, int] = defaultdict(int)  # streams that this server has ended, by gRPC status
        self.paused = 0.0  # s; for how long clients were not read, to let others be served
        self.convergence = Histogram()  # of each client, from a publish until it owes no answer

    def of(self, type_url: str) -> TypeCounts:
        """The counts of a type."""
        known = TYPES.get(type_url)
        return self.types[known.short if known else OTHER]

    def all(self) -> Iterator[Metric]:
        """Everything counted."""
        for short, counts in sorted(self.types.items()):
            yield from _of_type({"type": short}, counts)
        yield Metric("xds_requests", "counter", "", "requests read", self.requests)
        yield Metric("xds_request_bytes", "counter", "bytes", "size of the requests read", self.request_bytes)
        yield Metric("xds_stale_requests", "counter", "", "requests that answered no outstanding response", self.stale)
        yield Metric("xds_streams_opened", "counter", "", "streams opened", self.streams)
        for code, count in sorted(self.refused.items()):
            yield Metric(
                "xds_streams_ended", "counter", "", "streams ended by the server", count, labels={"code": code}
            )
        yield Metric("xds_paused_seconds", "counter", "seconds", "time that busy clients had to wait", self.paused)
        about = "of each client, from a publish until it owed no answer"
        yield Metric("xds_convergence_seconds", "histogram", "seconds", about, histogram=self.convergence)


def gauge(name: str, value: float, about: str, unit: str = "") -> Metric:
    """A number as it is now."""
    return Metric(name, "gauge", unit, about, value)


def of_books(catalog: CatalogSize, timeline: Timeline) -> Iterable[Metric]:
    """How large the books are: what is served, what is kept of who asks for it, and of what has happened."""
    return (
        gauge("xds_resources", catalog.resources, "resources served"),
        gauge("xds_resource_bytes", catalog.bytes, "size of their bodies", "bytes"),
        gauge("xds_groups", catalog.groups, "groups of streams that ask for the same"),
        gauge("xds_log_entries", catalog.log_entries, "changes that these groups remember"),
        gauge("xds_timeline_events", timeline.kept, "events kept"),
        gauge("xds_timeline_bytes", timeline.bytes, "what they hold, about", "bytes"),
    )


def _of_type(labels: Mapping[str, str], counts: TypeCounts) -> Iterable[Metric]:
    about = "from a response to its ACK or NACK"
    return (
        Metric("xds_responses", "counter", "", "responses sent", counts.responses, labels=labels),
        Metric("xds_response_bytes", "counter", "bytes", "size of the responses sent", counts.bytes, labels=labels),
        Metric("xds_acks", "counter", "", "responses that were accepted", counts.acks, labels=labels),
        Metric("xds_nacks", "counter", "", "responses that were refused", counts.nacks, labels=labels),
        Metric("xds_answer_seconds", "histogram", "seconds", about, histogram=counts.latency, labels=labels),
    )
