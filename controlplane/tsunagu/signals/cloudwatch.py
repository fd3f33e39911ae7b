"""The metrics of Service Connect as CloudWatch has them: 13 names, their units and dimensions, from windows of flows.

Facts: Amazon ECS Developer Guide, "Available metrics", Service Connect; its metrics of targets come from callers' proxies, with the
caller's ServiceName and ClusterName. The one rule: `METRICS` is all that is known of them, and a metric that AWS does not emit
for a protocol is not emitted here: it is absent, and not 0. TLS metrics appear where there is TLS.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from tsunagu.signals import flows, latency, made_by, windows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tsunagu.v1 import signals_pb2

DISCOVERY_NAME: Final = "DiscoveryName"
TARGET_DISCOVERY_NAME: Final = "TargetDiscoveryName"
SERVICE_NAME: Final = "ServiceName"
CLUSTER_NAME: Final = "ClusterName"
COUNT: Final = "Count"
BYTES: Final = "Bytes"
MILLISECONDS: Final = "Milliseconds"

_ALL: Final = frozenset({"", "tcp", "http", "http2", "grpc"})
_REQUESTS: Final = frozenset({"http", "http2", "grpc"})
_HTTP: Final = frozenset({"http", "http2"})
_GRPC: Final = frozenset({"grpc"})


@dataclass(frozen=True, slots=True)
class Metric:
    """One of the metrics. `dimension`: its first one. `protocols`: those for which it is emitted. `statistic`: which one `value`
    is: Sum of a minute's count, Average, or (a gauge) the last value. `value` None: there is nothing to say.
    """

    name: str
    unit: str
    dimension: str
    protocols: frozenset[str]
    statistic: str
    value: Callable[[signals_pb2.Window], float | None]


@dataclass(frozen=True, slots=True)
class Datum:
    """One value of a metric. `dimensions`: name -> value; `start`, `end` in seconds since the epoch."""

    metric: Metric
    dimensions: tuple[tuple[str, str], ...]
    start: float
    end: float
    value: float


def _counted(window: signals_pb2.Window, field: str) -> float:
    return float(getattr(window.flow, field))


def _bytes(window: signals_pb2.Window) -> float:
    return float(window.flow.bytes_received + window.flow.bytes_sent)


def _active(window: signals_pb2.Window) -> float | None:
    return float(window.flow.active_connections) if window.flow.HasField("active_connections") else None


def _tls(window: signals_pb2.Window) -> float | None:
    return float(window.flow.tls_errors) or None


def _answered(window: signals_pb2.Window, hundred: int) -> float:
    return float(made_by.app_responses(window.flow, hundred))


def _per_target(window: signals_pb2.Window) -> float | None:
    return window.flow.attempts / window.targets if window.targets else None


def _response_time(window: signals_pb2.Window) -> float | None:
    mean = latency.mean(window.flow.latency)
    return None if mean is None else mean * 1000


METRICS: Final = (
    Metric("ActiveConnectionCount", COUNT, DISCOVERY_NAME, _ALL, "Last", _active),
    Metric("NewConnectionCount", COUNT, DISCOVERY_NAME, _ALL, "Sum", partial(_counted, field="connections")),
    Metric("ProcessedBytes", BYTES, DISCOVERY_NAME, _ALL, "Sum", _bytes),
    Metric("RequestCount", COUNT, DISCOVERY_NAME, _REQUESTS, "Sum", partial(_counted, field="requests")),
    Metric("GrpcRequestCount", COUNT, DISCOVERY_NAME, _GRPC, "Sum", partial(_counted, field="grpc_requests")),
    Metric("ClientTLSNegotiationErrorCount", COUNT, DISCOVERY_NAME, _ALL, "Sum", _tls),
    *(
        Metric(
            f"HTTPCode_Target_{n}XX_Count", COUNT, TARGET_DISCOVERY_NAME, _HTTP, "Sum", partial(_answered, hundred=n)
        )
        for n in (2, 3, 4, 5)
    ),
    Metric("RequestCountPerTarget", COUNT, TARGET_DISCOVERY_NAME, _REQUESTS, "Average", _per_target),
    Metric("TargetProcessedBytes", BYTES, TARGET_DISCOVERY_NAME, _ALL, "Sum", _bytes),
    Metric("TargetResponseTime", MILLISECONDS, TARGET_DISCOVERY_NAME, _REQUESTS, "Average", _response_time),
    Metric("TargetTLSNegotiationErrorCount", COUNT, TARGET_DISCOVERY_NAME, _ALL, "Sum", _tls),
)
_DIRECTIONS: Final = {DISCOVERY_NAME: flows.INGRESS, TARGET_DISCOVERY_NAME: flows.EGRESS}


def data(given: Iterable[signals_pb2.Window]) -> list[Datum]:
    """Return every metric of the windows, by time, name and dimensions: once with the discovery name alone, and once with the
    service and the cluster as well (those that serve it, or, of a target's metrics, that call it).
    """
    every = list(given)
    found = [datum for window in every for datum in _of(window, whole=True)]
    found += [datum for window in _by_name(every) for datum in _of(window, whole=False)]
    return sorted(found, key=lambda datum: (datum.start, datum.metric.name, datum.dimensions))


def _of(window: signals_pb2.Window, *, whole: bool) -> list[Datum]:
    found = []
    for metric in METRICS:
        if _DIRECTIONS[metric.dimension] != window.flow.direction or window.flow.protocol not in metric.protocols:
            continue
        value = metric.value(window)
        if value is not None:
            found.append(Datum(metric, _dimensions(metric, window, whole=whole), window.start, window.end, value))
    return found


def _dimensions(metric: Metric, window: signals_pb2.Window, *, whole: bool) -> tuple[tuple[str, str], ...]:
    first = (metric.dimension, window.flow.discovery_name)
    if not whole:
        return (first,)
    source = window.source
    service = source.service or f"gateway:{source.gateway}"
    return (first, (SERVICE_NAME, service), (CLUSTER_NAME, source.cluster))


def _by_name(every: Iterable[signals_pb2.Window]) -> list[signals_pb2.Window]:
    """Return the sums over all services that serve, or call, one discovery name."""
    groups: dict[tuple[float, str, windows.Name], list[signals_pb2.Window]] = defaultdict(list)
    for window in every:
        groups[window.start, window.flow.direction, (window.flow.namespace, window.flow.discovery_name)].append(window)
    return [_sum(group) for group in groups.values()]


def _sum(group: list[signals_pb2.Window]) -> signals_pb2.Window:
    total = type(group[0])()
    total.CopyFrom(group[0])
    for window in group[1:]:
        flows.add(total.flow, window.flow, gauges=True)
    return total
