"""Sums of what was counted over windows of time: what displays, history, and whoever decides by traffic read.

Rule: no sample is no data. A window in which no sample ended has no flow, and `of_service` gives None for it: neither a rate of 0
nor a success rate of 1. What is known of a shorter time than the window is not stretched: a rate is by the time that was
observed.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tsunagu.signals import flows, latency, made_by
from tsunagu.signals.ring import HOUR
from tsunagu.signals.store import FRESH_SECONDS, counter_of
from tsunagu.v1 import signals_pb2

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tsunagu.signals.ring import Span
    from tsunagu.signals.store import Counter, TaskView

LONGEST = HOUR
#: Namespace and discovery name.
Name = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Query:
    """Which windows: from `start` to `end` (seconds since the epoch), each of `step` seconds (0: one), of the tasks of `service`
    (CLUSTER/SERVICE), with the calls of others to what it offers, and of `revision`; empty: all.
    """

    start: float
    end: float
    step: float = 0.0
    service: str = ""
    revision: str = ""
    by_task: bool = False


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen of a flow in a window. Rates are per second of `seconds`, for which there are samples (of `tasks` tasks)."""

    flow: signals_pb2.Flow
    seconds: float
    tasks: int

    @property
    def request_rate(self) -> float:
        """Requests a second, or connections of tcp."""
        return ended(self.flow) / self.seconds if self.seconds else 0.0

    @property
    def error_rate(self) -> float | None:
        """The share (0 to 1) of requests that ended with 5xx, a failed gRPC status or no target; None if nothing was asked."""
        asked = ended(self.flow)
        return min(1.0, errors(self.flow) / asked) if asked else None

    @property
    def ejections_active(self) -> int | None:
        """Endpoints that are ejected now, as the callers' proxies see them; None when none of them says so."""
        return self.flow.ejections_active if self.flow.HasField("ejections_active") else None

    def latency(self, share: float) -> float | None:
        """Seconds, below which that share of the responses came; None without responses."""
        return latency.percentile(self.flow.latency, share)


def ended(flow: signals_pb2.Flow) -> int:
    """Return how many requests (of tcp: connections) ended."""
    responses = sum(getattr(flow, f"responses_{hundred}xx") for hundred in made_by.CLASSES)
    unrouted = sum(flag.count for flag in flow.flags if made_by.is_error(flag) and not made_by.instead_of_app(flag))
    return responses + unrouted if responses else max(flow.connections, unrouted)


def errors(flow: signals_pb2.Flow) -> int:
    """Return how many of them failed, for no fault of the one who asked."""
    return made_by.app_grpc_failures(flow) + made_by.app_responses(flow, 5) + made_by.proxy_errors(flow)


def of_service(tasks: Sequence[TaskView], service: str, revision: str, since: float, now: float) -> Seen | None:
    """Return what came in by all ports of a service's tasks (of one `revision`, or of all: "") since `since`; None: no data.

    `ejections_active` is that of the discovery names of its ports, over all callers: the largest that one of them sees.
    """
    parts = [window for window in windows(tasks, Query(since, now, 0.0, service, revision)) if _ours(window, service)]
    inward = [window for window in parts if window.flow.direction == flows.INGRESS]
    if not inward:
        return None
    names = {(window.flow.namespace, window.flow.discovery_name) for window in inward}
    found = together(inward)
    assert found is not None
    ejected = [
        flow.ejections_active
        for task in tasks
        if now - task.time <= FRESH_SECONDS
        for flow in task.last.values()
        if flow.direction == flows.EGRESS and (flow.namespace, flow.discovery_name) in names
    ]
    if ejected:
        found.flow.ejections_active = max(ejected)
    return found


def together(parts: Sequence[signals_pb2.Window]) -> Seen | None:
    """Return what was seen of several ports of the same tasks; None without any."""
    if not parts:
        return None
    total = signals_pb2.Flow()
    for window in parts:
        flows.add(total, window.flow, gauges=True)
    return Seen(total, max(window.seconds for window in parts), max(window.tasks for window in parts))


def windows(tasks: Sequence[TaskView], query: Query) -> list[signals_pb2.Window]:
    """Return the windows of every flow of which there are samples, sorted by start, service, direction and name."""
    gathered: dict[tuple[int, str, tuple[str, ...]], _Sum] = defaultdict(_Sum)
    targets: dict[tuple[int, Name], set[str]] = defaultdict(set)
    known: dict[tuple[int, Counter], _Times] = defaultdict(_Times)
    protocols = _protocols(tasks)
    names = offered(tasks, query.service) if query.service else frozenset()
    for task in tasks:
        name = task.source.task if query.by_task else service_of(task.source)
        whole = not query.service or service_of(task.source) == query.service
        of_revision = query.revision in ("", task.source.revision)
        for one in _within(task.spans, query):
            number = int((one.end - query.start) // query.step) if query.step else 0
            known[number, counter_of(task.source)].add(one)
            for flow in one.flows():
                if flow.direction == flows.INGRESS:
                    targets[number, (flow.namespace, flow.discovery_name)].add(task.source.task)
                called = flow.direction == flows.EGRESS and (flow.namespace, flow.discovery_name) in names
                if of_revision and (whole or called):
                    gathered[number, name, _way(flow)].add(task, one, flow, query)
    ordered = sorted(gathered.items(), key=lambda item: item[0])
    made = [found.window(number, query, known) for (number, _, _), found in ordered]
    for window, ((number, _, _), _) in zip(made, ordered, strict=True):
        called_name = (window.flow.namespace, window.flow.discovery_name)
        if window.flow.direction == flows.EGRESS:
            window.targets = len(targets[number, called_name])
            window.flow.protocol = protocols.get(called_name, "")
    return made


def service_of(source: signals_pb2.Source) -> str:
    """Return CLUSTER/SERVICE, or `gateway:NAME` of a gateway's task."""
    return f"gateway:{source.gateway}" if source.gateway else f"{source.cluster}/{source.service}"


@dataclass(slots=True)
class _Times:
    """From when to when there are samples."""

    start: float = float("inf")
    end: float = 0.0

    def add(self, one: Span | _Times) -> None:
        self.start, self.end = min(self.start, one.start), max(self.end, one.end)


@dataclass(slots=True)
class _Sum:
    """The sum of one flow in one window. `last`: who counted it and the target revision -> the flow in the newest of the samples, for the gauges."""

    flow: signals_pb2.Flow = field(default_factory=signals_pb2.Flow)
    source: signals_pb2.Source = field(default_factory=signals_pb2.Source)
    last: dict[tuple[Counter, str], tuple[float, signals_pb2.Flow]] = field(default_factory=dict)

    def add(self, task: TaskView, one: Span, flow: signals_pb2.Flow, query: Query) -> None:
        if not self.last:
            self.flow = flows.empty(flow)
            self.flow.target_revision = ""
            self.source.CopyFrom(task.source)
        flows.add(self.flow, flow)
        self.last[counter_of(task.source), flow.target_revision] = (one.end, flow)
        if not query.by_task:
            for name in ("task", "revision", "zone", "node"):
                self.source.ClearField(name)

    def window(self, number: int, query: Query, known: Mapping[tuple[int, Counter], _Times]) -> signals_pb2.Window:
        times = _Times()
        sampled = {counter for counter, _ in self.last}
        for counter in sampled:  # also when nothing went this way: that is known then
            times.add(known[number, counter])
        newest = query.start + (number + 1) * query.step if query.step else query.end
        for end, flow in self.last.values():
            if newest - end <= FRESH_SECONDS + query.step:
                gauges = signals_pb2.Flow()
                flows.replace_gauges(gauges, flow)
                flows.add(self.flow, gauges, gauges=True)
        return signals_pb2.Window(
            start=query.start + number * query.step,
            end=newest,
            source=self.source,
            tasks=len(sampled),
            flow=self.flow,
            seconds=times.end - times.start,
        )


def seen(window: signals_pb2.Window) -> Seen:
    return Seen(window.flow, window.seconds, window.tasks)


def _way(flow: signals_pb2.Flow) -> tuple[str, ...]:
    """What tells flows apart in windows: to one revision or to all of a name is the same way."""
    return flow.direction, flow.namespace, flow.discovery_name, flow.port_name


def _within(spans: Sequence[Span], query: Query) -> Iterator[Span]:
    return (one for one in spans if query.start < one.end <= query.end)


def _protocols(tasks: Sequence[TaskView]) -> dict[Name, str]:
    """Return the protocol of each discovery name that a task offers."""
    every = (flow for task in tasks for flow in task.last.values() if flow.direction == flows.INGRESS)
    return {(flow.namespace, flow.discovery_name): flow.protocol for flow in every}


def offered(tasks: Sequence[TaskView], service: str) -> frozenset[Name]:
    """Return the discovery names, each with its namespace, of the ports of a service's tasks."""
    return frozenset(
        (flow.namespace, flow.discovery_name)
        for task in tasks
        if service_of(task.source) == service
        for flow in task.last.values()
        if flow.direction == flows.INGRESS
    )


def _ours(window: signals_pb2.Window, service: str) -> bool:
    return service_of(window.source) == service
