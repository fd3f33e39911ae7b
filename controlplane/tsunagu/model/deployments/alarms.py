"""What an alarm may ask for: the metrics that are measured here under CloudWatch's names, and what CloudWatch has for them.

The one rule: `METRICS` is all that is known of them; how each is read from samples is `signals.datapoints`, which has a reader for
every row. Sources: CloudWatch API Reference, PutMetricAlarm; ECS Developer Guide, metrics of Service Connect; ELB, metrics of
an Application Load Balancer.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from tsunagu.model.statuses import AlarmState

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tsunagu.v1 import alarms_pb2, objects_pb2

COUNT: Final = "Count"
PERCENT: Final = "Percent"
MILLISECONDS: Final = "Milliseconds"
SECONDS: Final = "Seconds"
BYTES: Final = "Bytes"

HOUR: Final = 3600
"""Seconds for which samples are kept: no alarm looks back longer."""
FINE: Final = 600
"""Seconds for which single samples are kept; before that they are added up by minutes."""
MINUTE: Final = 60
AWS_PERIODS: Final = (10, 20, 30)
SHORTEST: Final = 5
"""A period beyond AWS's, for trying: samples come every 5 s."""

BALANCERS: Final = "AWS/ApplicationELB"
NAMESPACES: Final = ("", "AWS/ECS", BALANCERS, "tsunagu")

SERVICE_NAME: Final = "ServiceName"
CLUSTER_NAME: Final = "ClusterName"
DISCOVERY_NAME: Final = "DiscoveryName"
TARGET_DISCOVERY_NAME: Final = "TargetDiscoveryName"
SERVICE_REVISION: Final = "ServiceRevision"
TARGET_GROUP: Final = "TargetGroup"
#: By dimension: what its value is.
DIMENSIONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        SERVICE_NAME: "the service that serves; of an alarm with TargetDiscoveryName the one that calls",
        CLUSTER_NAME: "its cluster; `default` without it",
        DISCOVERY_NAME: "a name that is served",
        TARGET_DISCOVERY_NAME: "a name that is called, as its callers' proxies see it",
        SERVICE_REVISION: "TARGET or SOURCE of the service's present deployment, or the ID of a service revision",
        TARGET_GROUP: "a target group of a service's loadBalancers, which stands for that service",
        "LoadBalancer": "passed over: nothing depends on it",
    }
)
TARGET: Final = "TARGET"
SOURCE: Final = "SOURCE"

_SUM: Final = frozenset({"Sum"})
_AVERAGE: Final = frozenset({"Average"})
_MAXIMUM: Final = frozenset({"Maximum"})


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric. `means`: what one value of it is. `failing`: whether it tells how well requests are answered, so that a revision
    that gets none, since its endpoints are ejected, fails.
    """

    name: str
    unit: str
    statistics: frozenset[str]
    means: str
    percentiles: bool = False
    failing: bool = False


def _counted(name: str, means: str, unit: str = COUNT, *, failing: bool = False) -> Metric:
    return Metric(name, unit, _SUM, means, failing=failing)


_ROWS: Final = (
    Metric("ErrorRate", PERCENT, _AVERAGE, "share of requests, or tcp connections, that failed", failing=True),
    _counted("RequestCount", "requests that came"),
    Metric("RequestCountPerTarget", COUNT, _AVERAGE | _SUM, "requests that came, per task"),
    _counted("GrpcRequestCount", "gRPC requests that have ended"),
    _counted("HTTPCode_Target_2XX_Count", "responses that the app made"),
    _counted("HTTPCode_Target_3XX_Count", "responses that the app made"),
    _counted("HTTPCode_Target_4XX_Count", "responses that the app made"),
    _counted("HTTPCode_Target_5XX_Count", "responses that the app made", failing=True),
    _counted("HTTPCode_ELB_5XX_Count", "responses that a proxy made in the app's place", failing=True),
    Metric(
        "TargetResponseTime",
        MILLISECONDS,
        frozenset({"Average", "Minimum", "Maximum"}),
        "time from a request to its response",
        percentiles=True,
        failing=True,
    ),
    _counted("TargetConnectionErrorCount", "connections to a target that failed", failing=True),
    _counted("NewConnectionCount", "connections that were opened"),
    Metric("ActiveConnectionCount", COUNT, _MAXIMUM | _AVERAGE, "connections that are open at the end of the period"),
    _counted("ProcessedBytes", "bytes, both ways", BYTES),
    Metric("EjectionsActive", COUNT, _MAXIMUM, "endpoints of its names that a caller's proxy has ejected"),
)
METRICS: Final[Mapping[str, Metric]] = MappingProxyType({row.name: row for row in _ROWS})

#: Comparison -> in words.
COMPARISONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "GreaterThanOrEqualToThreshold": "at least",
        "GreaterThanThreshold": "more than",
        "LessThanThreshold": "less than",
        "LessThanOrEqualToThreshold": "at most",
    }
)

#: Members without effect -> why.
WITHOUT_EFFECT: Final[Mapping[str, str]] = MappingProxyType(
    {
        **dict.fromkeys(
            ("ActionsEnabled", "OKActions", "AlarmActions", "InsufficientDataActions", "ActionConfiguration"),
            "an alarm calls nobody here; deployments read its state",
        ),
        "Tags": "kept with the object, read by nobody",
        "EvaluateLowSampleCountPercentile": "a percentile of few values is evaluated, too",
        "WarmUpConfiguration": "an alarm is evaluated from its first data point on",
        "EvaluationInterval": "an alarm is evaluated whenever samples have come",
    }
)
#: Members that are refused -> why, and what would be right.
REFUSED: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "Metrics": (
            "metric math is not evaluated here",
            "MetricName: ErrorRate is the share of failed requests in percent; write one metric for each alarm",
        ),
        "ThresholdMetricId": ("there is no anomaly detection here", "write a Threshold"),
        "EvaluationCriteria": ("queries are not evaluated here", "write a MetricName"),
        "EvaluationWindow": ("windows by the calendar are not evaluated here", "write Period and EvaluationPeriods"),
    }
)
_PERCENTILE = re.compile(r"p(\d+(?:\.\d+)?)")


def without_effect(spec: alarms_pb2.PutMetricAlarmInput) -> Iterator[tuple[str, str]]:
    """Yield (path, reason) for every member that is set and has no effect."""
    for field, value in spec.ListFields():
        if field.json_name in WITHOUT_EFFECT and (value or field.json_name == "ActionsEnabled"):
            yield field.json_name, WITHOUT_EFFECT[field.json_name]


def dimensions(spec: alarms_pb2.PutMetricAlarmInput) -> dict[str, str]:
    """Return name -> value of its dimensions."""
    return {one.name: one.value for one in spec.dimensions}


def percentile(spec: alarms_pb2.PutMetricAlarmInput) -> float | None:
    """Return the share (0 to 1) that ExtendedStatistic names; None if it names none."""
    found = _PERCENTILE.fullmatch(spec.extended_statistic)
    return float(found[1]) / 100 if found else None


def unit(spec: alarms_pb2.PutMetricAlarmInput) -> str:
    """Return the unit of the metric's values, and of the threshold: a load balancer's times are in seconds."""
    own = METRICS[spec.metric_name].unit
    return SECONDS if own == MILLISECONDS and spec.namespace == BALANCERS else own


def window(spec: alarms_pb2.PutMetricAlarmInput) -> float:
    """Return for how many seconds it looks back."""
    return float(spec.period * spec.evaluation_periods)


def is_of_deployment(spec: alarms_pb2.PutMetricAlarmInput) -> bool:
    """Whether what it watches changes with each deployment of its service."""
    return dimensions(spec).get(SERVICE_REVISION) in (TARGET, SOURCE)


def state(alarm: alarms_pb2.Alarm, deployment: int) -> AlarmState:
    """Return its state for the deployment of that number. One that was evaluated for an earlier one has no data for this one."""
    if is_of_deployment(alarm.spec) and alarm.status.deployment != deployment:
        return AlarmState.INSUFFICIENT_DATA
    return AlarmState(alarm.status.state_value or AlarmState.INSUFFICIENT_DATA)


def keep_state(obj: objects_pb2.Object, known: Mapping[str, objects_pb2.Object]) -> None:
    """Give an alarm that is applied again the state that it has; one that asks for something else has none yet."""
    before = known.get(obj.meta.name) if obj.HasField("alarm") else None
    if before is not None and before.alarm.HasField("status") and before.alarm.spec == obj.alarm.spec:
        obj.alarm.status.CopyFrom(before.alarm.status)
