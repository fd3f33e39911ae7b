"""Makes Prometheus's metric families of what was counted of each task, and of the control plane's own numbers. Pure.

Rule: every number is of one task and one flow, so that any sum can be made of them and none is made here; labels are the words of
ECS. A gauge that is not known now is absent, never 0. docs/metrics.md lists the families, with CloudWatch's names.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from tsunagu.signals import flows, latency, made_by
from tsunagu.signals.windows import service_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from tsunagu.v1 import inspector_pb2, signals_pb2

PREFIX: Final = "tsunagu_"
SOURCE_LABELS: Final = ("cluster", "service", "task", "revision", "zone", "namespace")
_LAST_LABELS: Final[Mapping[str, tuple[str, ...]]] = {
    flows.INGRESS: ("discovery_name",),
    flows.EGRESS: ("target", "target_revision"),
    flows.OUTSIDE: (),
}

#: More label values of a number, and the number; None: it is not known.
Numbers: TypeAlias = "Iterable[tuple[tuple[str, ...], float | None]]"
Scalar: TypeAlias = CounterMetricFamily | GaugeMetricFamily


@dataclass(frozen=True, slots=True)
class Family:
    """One family of the flows of a direction. `more`: labels beside those of all flows."""

    name: str
    help: str
    direction: str
    numbers: Callable[[signals_pb2.Flow], Numbers]
    gauge: bool = False
    more: tuple[str, ...] = ()

    @property
    def labels(self) -> tuple[str, ...]:
        return (*SOURCE_LABELS, *_LAST_LABELS[self.direction], *self.more)

    def empty(self) -> Scalar:
        kind = GaugeMetricFamily if self.gauge else CounterMetricFamily
        return kind(PREFIX + self.name, self.help, labels=self.labels)


def _field(name: str) -> Callable[[signals_pb2.Flow], Numbers]:
    return lambda flow: [((), float(getattr(flow, name)))]


def _gauge(name: str) -> Callable[[signals_pb2.Flow], Numbers]:
    return lambda flow: [((), float(getattr(flow, name)) if flow.HasField(name) else None)]  # type: ignore[arg-type]


def _bytes(flow: signals_pb2.Flow) -> Numbers:
    return [(("received",), float(flow.bytes_received)), (("sent",), float(flow.bytes_sent))]


def _responses(flow: signals_pb2.Flow) -> Numbers:
    return [((f"{hundred}xx",), float(made_by.app_responses(flow, hundred))) for hundred in made_by.CLASSES]


def _proxy_errors(flow: signals_pb2.Flow) -> Numbers:
    return [((), float(made_by.proxy_errors(flow)))]


def _flags(flow: signals_pb2.Flow) -> Numbers:
    return [
        ((flag.flags or "-", str(flag.code), flag.proxy_error, _status(flag)), float(flag.count)) for flag in flow.flags
    ]


def _status(flag: signals_pb2.Flag) -> str:
    return str(flag.grpc_status) if flag.HasField("grpc_status") else ""


def _grpc_failures(flow: signals_pb2.Flow) -> Numbers:
    return [((), float(made_by.app_grpc_failures(flow)))]


def _refused(flow: signals_pb2.Flow) -> Numbers:
    return [((reason,), float(count)) for reason, count in sorted(flow.refused.items())]


_IN, _OUT, _LEAVES = flows.INGRESS, flows.EGRESS, flows.OUTSIDE
_OF_FLAGS: Final = ("flags", "code", "proxy_error", "grpc_status")
FAMILIES: Final = (
    Family(
        "ingress_active_connections", "Connections that are open now", _IN, _gauge("active_connections"), gauge=True
    ),
    Family("ingress_connections", "Connections accepted", _IN, _field("connections")),
    Family("ingress_bytes", "Bytes from and to callers", _IN, _bytes, more=("direction",)),
    Family("ingress_requests", "Requests received", _IN, _field("requests")),
    Family("ingress_grpc_requests", "gRPC requests that ended", _IN, _field("grpc_requests")),
    Family("ingress_grpc_failures", "gRPC requests that the app failed", _IN, _grpc_failures),
    Family("ingress_tls_errors", "TLS handshakes that failed", _IN, _field("tls_errors")),
    Family("ingress_responses", "Responses that the app made", _IN, _responses, more=("class",)),
    Family("ingress_proxy_errors", "Requests that the proxy answered with an error itself", _IN, _proxy_errors),
    Family("ingress_access_allowed", "Requests that an AccessPolicy allowed", _IN, _field("access_allowed")),
    Family(
        "ingress_access_refused", "Requests, or tcp connections, that no policy allowed", _IN, _field("access_refused")
    ),
    Family("ingress_access_audited", "Those that an audited policy would refuse", _IN, _field("access_audited")),
    Family("ingress_timeouts", "Requests that took the app too long", _IN, _field("timeouts")),
    Family("ingress_flagged", "What ended with response flags or 5xx", _IN, _flags, more=_OF_FLAGS),
    Family("target_active_connections", "Connections to targets, now", _OUT, _gauge("active_connections"), gauge=True),
    Family("target_connections", "Connections opened to targets", _OUT, _field("connections")),
    Family("target_connect_failures", "Connections to targets that failed", _OUT, _field("connect_failures")),
    Family("target_bytes", "Bytes from and to targets", _OUT, _bytes, more=("direction",)),
    Family("target_requests", "Requests that ended", _OUT, _field("requests")),
    Family("target_attempts", "Requests sent to targets, retries among them", _OUT, _field("attempts")),
    Family("target_responses", "Responses that targets made", _OUT, _responses, more=("class",)),
    Family(
        "target_proxy_errors", "Requests that a proxy answered with an error in place of a target", _OUT, _proxy_errors
    ),
    Family("target_grpc_failures", "gRPC requests that targets failed", _OUT, _grpc_failures),
    Family("target_tls_errors", "TLS handshakes with targets that failed", _OUT, _field("tls_errors")),
    Family("target_retries", "Retries", _OUT, _field("retries")),
    Family("target_timeouts", "Requests that took longer than their timeout", _OUT, _field("timeouts")),
    Family("target_overflows", "Requests refused by a circuit breaker", _OUT, _field("overflows")),
    Family("target_ejections", "Endpoints ejected", _OUT, _field("ejections")),
    Family("target_ejections_active", "Endpoints that are ejected now", _OUT, _gauge("ejections_active"), gauge=True),
    Family("target_flagged", "What ended with response flags or 5xx", _OUT, _flags, more=_OF_FLAGS),
    Family(
        "outside_active_connections",
        "Connections out of the mesh that are open now",
        _LEAVES,
        _gauge("active_connections"),
        gauge=True,
    ),
    Family("outside_connections", "Connections made to places outside of the mesh", _LEAVES, _field("connections")),
    Family("outside_bytes", "Bytes from and to places outside of the mesh", _LEAVES, _bytes, more=("direction",)),
    Family(
        "outside_refused",
        "Connections out that the relay refused, or could not make",
        _LEAVES,
        _refused,
        more=("reason",),
    ),
)
_SECONDS: Final = {
    _IN: ("ingress_response_seconds", "From a whole request to the app's whole response"),
    _OUT: ("target_response_seconds", "The same, as the caller's proxy sees the target"),
}


def of_tasks(tasks: Iterable[signals_pb2.TaskTotals]) -> Iterator[Metric]:
    """Yield the families of all flows of these tasks."""
    made = [(family, family.empty()) for family in FAMILIES]
    seconds = {
        direction: HistogramMetricFamily(PREFIX + name, words, labels=(*SOURCE_LABELS, *_LAST_LABELS[direction]))
        for direction, (name, words) in _SECONDS.items()
    }
    for task in tasks:
        for flow in task.flows:
            values = _labels(task.source, flow)
            for family, metric in made:
                if family.direction == flow.direction:
                    _add(metric, family, values, flow)
            if flow.latency.counts:
                seconds[flow.direction].add_metric(values, _buckets(flow), latency.sum_seconds(flow.latency))
    yield from (metric for _, metric in made)
    yield from seconds.values()


def of_control_plane(own: Iterable[inspector_pb2.Metric]) -> Iterator[Metric]:
    """Yield the families of the control plane's own numbers (the Inspector's `Metrics`)."""
    made: dict[str, Scalar | HistogramMetricFamily] = {}
    for one in own:
        name, labels = PREFIX + one.name, tuple(sorted(one.labels))
        if name not in made:
            made[name] = _KINDS[one.kind](name, one.help, labels=labels)
        values = [one.labels[label] for label in labels]
        family = made[name]
        if isinstance(family, HistogramMetricFamily):
            family.add_metric(values, _own_buckets(one.histogram), one.histogram.sum)
        else:
            family.add_metric(values, one.value)
    yield from made.values()


_KINDS: Final = {"counter": CounterMetricFamily, "gauge": GaugeMetricFamily, "histogram": HistogramMetricFamily}


def _labels(source: signals_pb2.Source, flow: signals_pb2.Flow) -> list[str]:
    service = source.service or service_of(source)
    revision = source.revision.rpartition("/")[2]
    task = source.task.rpartition("/")[2]
    own = [source.cluster, service, task, revision, source.zone, flow.namespace]
    return [*own, *_LAST_VALUES[flow.direction](flow)]


_LAST_VALUES: Final[Mapping[str, Callable[[signals_pb2.Flow], tuple[str, ...]]]] = {
    flows.INGRESS: lambda flow: (flow.discovery_name,),
    flows.EGRESS: lambda flow: (flow.discovery_name, flow.target_revision.rpartition("/")[2]),
    flows.OUTSIDE: lambda _: (),
}


def _add(metric: Scalar, family: Family, values: list[str], flow: signals_pb2.Flow) -> None:
    for more, number in family.numbers(flow):
        if number is not None:
            metric.add_metric([*values, *more], number)


def _buckets(flow: signals_pb2.Flow) -> list[tuple[str, float]]:
    bounds = [*(f"{bound:g}" for bound in latency.BOUNDS), "+Inf"]
    return list(zip(bounds, map(float, latency.cumulative(flow.latency)), strict=True))


def _own_buckets(histogram: inspector_pb2.Histogram) -> list[tuple[str, float]]:
    found, total = [], 0
    for bound, count in zip([*(f"{bound:g}" for bound in histogram.bounds), "+Inf"], histogram.counts, strict=True):
        total += count
        found.append((bound, float(total)))
    return found
