"""The data points of an alarm: one value of a metric for each period, as CloudWatch would have them, from samples.

Rule: no sample is no data point, and a period in which nothing was asked has neither a share of errors nor a time. An ejected
endpoint gets no requests that could fail, so silence alone never tells that all is well: a revision that gets nothing of its share,
while endpoints of its names are ejected, fails.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from tsunagu.model.deployments import alarms
from tsunagu.signals import flows, latency, made_by, windows
from tsunagu.signals.windows import Query, Seen
from tsunagu.v1 import signals_pb2

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from tsunagu.signals.store import TaskView
    from tsunagu.v1 import alarms_pb2

MISSED: Final = 5.0
"""Requests that a revision must have missed to be told to get none: by chance alone it misses as many in one of 150 periods."""
_INSTANT: Final = 0.001
"""Seconds by which periods are shifted, so that a sample that ends with a period belongs to that one."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Of what an alarm is. `service`: CLUSTER/SERVICE that serves, or, with `calls`, that calls; `name`: a discovery name;
    `revision`: name of a ServiceRevision; each empty: all. `share`: of the service's requests that the revision is to get, 0 to 1;
    None: it is not known.
    """

    service: str = ""
    name: str = ""
    calls: bool = False
    revision: str = ""
    share: float | None = None


@dataclass(frozen=True, slots=True)
class Point:
    """The value of one period; None: there is none. `starved`: nothing came, since its endpoints are ejected."""

    value: float | None = None
    starved: bool = False

    @property
    def is_missing(self) -> bool:
        return self.value is None and not self.starved


@dataclass(slots=True)
class _Period:
    """What was seen in one period: of the scope, of all revisions, and the most endpoints that a caller's proxy had ejected."""

    flow: signals_pb2.Flow = field(default_factory=signals_pb2.Flow)
    tasks: set[str] = field(default_factory=set)
    seconds: float = 0.0
    asked: int = 0
    ejected: int | None = None

    @property
    def seen(self) -> Seen | None:
        return Seen(self.flow, self.seconds, len(self.tasks)) if self.tasks else None

    def add(self, window: signals_pb2.Window) -> None:
        flows.add(self.flow, window.flow, gauges=True)
        self.tasks.add(window.source.task)
        self.seconds = max(self.seconds, window.seconds)


def points(
    tasks: Sequence[TaskView], scope: Scope, spec: alarms_pb2.PutMetricAlarmInput, now: float
) -> tuple[Point, ...]:
    """Return the data points of the last EvaluationPeriods periods, oldest first; the last one ends now."""
    metric = alarms.METRICS[spec.metric_name]
    read = partial(READERS[metric.name], asked=_Asked(spec.statistic, alarms.percentile(spec)))
    scale = 0.001 if alarms.unit(spec) == alarms.SECONDS else 1.0
    return tuple(_point(period, scope, metric, read, scale) for period in _periods(tasks, scope, spec, now))


def _point(
    period: _Period, scope: Scope, metric: alarms.Metric, read: Callable[[_Period], float | None], scale: float
) -> Point:
    value = read(period)
    answered = windows.ended(period.flow)
    if metric.failing and scope.share is not None and not answered and period.ejected:
        return Point(starved=period.asked * scope.share >= MISSED)
    return Point(None if value is None else value * scale)


def _periods(
    tasks: Sequence[TaskView], scope: Scope, spec: alarms_pb2.PutMetricAlarmInput, now: float
) -> list[_Period]:
    count = spec.evaluation_periods
    start, end = now - alarms.window(spec) + _INSTANT, now + _INSTANT
    found = [_Period() for _ in range(count)]
    names = _names(tasks, scope)
    query = Query(start, end, float(spec.period), by_task=True)
    for window in windows.windows([task for task in tasks if _concerns(task, scope, names)], query):
        period = found[round((window.start - start) / spec.period)]
        called = window.flow.direction == flows.EGRESS
        if called and window.flow.discovery_name in names and window.flow.HasField("ejections_active"):
            period.ejected = max(period.ejected or 0, window.flow.ejections_active)
        if called != scope.calls or window.flow.discovery_name not in names:
            continue
        if scope.service and windows.service_of(window.source) != scope.service:
            continue
        period.asked += windows.ended(window.flow)
        if scope.revision in ("", window.source.revision):
            period.add(window)
    return found


def _names(tasks: Iterable[TaskView], scope: Scope) -> frozenset[str]:
    """The discovery names that the scope is about."""
    if scope.name or scope.calls:
        return frozenset({scope.name})
    offered = windows.offered(list(tasks), scope.service)
    return frozenset(name for _, name in offered)


def _concerns(task: TaskView, scope: Scope, names: frozenset[str]) -> bool:
    """Whether it serves one of the names, or calls one."""
    return windows.service_of(task.source) == scope.service or any(key[2] in names for key in task.last)


# -- what each metric is ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Asked:
    """Which statistic: its name, or a percentile as a share of 0 to 1."""

    statistic: str
    share: float | None


def _error_rate(period: _Period, asked: _Asked) -> float | None:  # noqa: ARG001 - every metric is read in the same way
    rate = period.seen.error_rate if period.seen is not None else None
    return None if rate is None else 100 * rate


def _count(period: _Period, asked: _Asked, count: Callable[[signals_pb2.Flow], int]) -> float | None:  # noqa: ARG001
    return float(count(period.flow)) if period.tasks else None


def _per_target(period: _Period, asked: _Asked) -> float | None:  # noqa: ARG001
    return period.flow.requests / len(period.tasks) if period.tasks else None


def _open(period: _Period, asked: _Asked) -> float | None:  # noqa: ARG001
    return float(period.flow.active_connections) if period.flow.HasField("active_connections") else None


def _ejected(period: _Period, asked: _Asked) -> float | None:  # noqa: ARG001
    return None if period.ejected is None else float(period.ejected)


def _milliseconds(period: _Period, asked: _Asked) -> float | None:
    values = period.flow.latency
    shares: Mapping[str, float] = {"Minimum": 0.0, "Maximum": 1.0}
    share = shares.get(asked.statistic, asked.share)
    found = latency.mean(values) if share is None else latency.percentile(values, share)
    return None if found is None else found * 1000


def _member(flow: signals_pb2.Flow, name: str) -> int:
    return int(getattr(flow, name))


def _by_proxy(flow: signals_pb2.Flow) -> int:
    return sum(flag.count for flag in flow.flags if flag.code >= 500 and made_by.is_error(flag))


def _bytes(flow: signals_pb2.Flow) -> int:
    return flow.bytes_received + flow.bytes_sent


def _counted(member: str) -> Callable[..., float | None]:
    return partial(_count, count=partial(_member, name=member))


#: By metric: its value in a period.
READERS: Final[Mapping[str, Callable[..., float | None]]] = MappingProxyType(
    {
        "ErrorRate": _error_rate,
        "RequestCount": _counted("requests"),
        "RequestCountPerTarget": _per_target,
        "GrpcRequestCount": _counted("grpc_requests"),
        **{
            f"HTTPCode_Target_{n}XX_Count": partial(_count, count=partial(made_by.app_responses, hundred=n))
            for n in (2, 3, 4, 5)
        },
        "HTTPCode_ELB_5XX_Count": partial(_count, count=_by_proxy),
        "TargetResponseTime": _milliseconds,
        "TargetConnectionErrorCount": _counted("connect_failures"),
        "NewConnectionCount": _counted("connections"),
        "ActiveConnectionCount": _open,
        "ProcessedBytes": partial(_count, count=_bytes),
        "EjectionsActive": _ejected,
    }
)
