"""An alarm's state from its data points, as CloudWatch decides it.

The one rule: the state follows from the last EvaluationPeriods periods, from TreatMissingData, and (with `ignore`) from the state
before; there is no other memory. Where CloudWatch leaves open how far it looks back for data points in place of missing ones, these
periods are all that is looked at.

Source: CloudWatch User Guide, evaluating an alarm, and how alarms treat missing data.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from tsunagu.model.deployments import alarms
from tsunagu.model.statuses import AlarmState

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tsunagu.signals.datapoints import Point
    from tsunagu.v1 import alarms_pb2

_COMPARE: Final[Mapping[str, Callable[[float, float], bool]]] = MappingProxyType(
    {
        "GreaterThanOrEqualToThreshold": operator.ge,
        "GreaterThanThreshold": operator.gt,
        "LessThanThreshold": operator.lt,
        "LessThanOrEqualToThreshold": operator.le,
    }
)
_UNITS: Final = {
    alarms.COUNT: "",
    alarms.PERCENT: " %",
    alarms.MILLISECONDS: " ms",
    alarms.SECONDS: " s",
    alarms.BYTES: " B",
}


@dataclass(frozen=True, slots=True)
class _Counts:
    """`long_breaching`: the oldest breaching period is at least DatapointsToAlarm periods old, and none since was within the
    threshold: that is enough for an alarm though others are missing (CloudWatch).
    """

    breaching: int
    within: int
    missing: int
    wanted: int
    long_breaching: bool


def judge(points: Sequence[Point], spec: alarms_pb2.PutMetricAlarmInput, before: AlarmState) -> tuple[AlarmState, str]:
    """Return the state, and why in one sentence."""
    breaching = [not point.is_missing and _breaches(point, spec) for point in points]
    wanted = spec.datapoints_to_alarm or spec.evaluation_periods
    first = next((index for index, one in enumerate(breaching) if one), len(points))
    since = zip(breaching[first:], points[first:], strict=True)
    counts = _Counts(
        breaching=sum(breaching),
        within=sum(not one and not point.is_missing for one, point in zip(breaching, points, strict=True)),
        missing=sum(point.is_missing for point in points),
        wanted=wanted,
        long_breaching=any(breaching)
        and len(points) - first >= wanted
        and all(one or point.is_missing for one, point in since),
    )
    state = _TREATED[spec.treat_missing_data or "missing"](counts, before)
    return state, _reason(state, points, counts, spec)


def _breaches(point: Point, spec: alarms_pb2.PutMetricAlarmInput) -> bool:
    return point.starved or _COMPARE[spec.comparison_operator](point.value or 0.0, spec.threshold)


def _missing(counts: _Counts, before: AlarmState) -> AlarmState:  # noqa: ARG001 - every way is asked alike
    if counts.breaching >= counts.wanted or counts.long_breaching:
        return AlarmState.ALARM
    return AlarmState.OK if counts.within else AlarmState.INSUFFICIENT_DATA


def _ignore(counts: _Counts, before: AlarmState) -> AlarmState:
    if counts.breaching >= counts.wanted:
        return AlarmState.ALARM
    return AlarmState.OK if counts.within and counts.breaching + counts.missing < counts.wanted else before


def _breaching(counts: _Counts, before: AlarmState) -> AlarmState:  # noqa: ARG001
    return AlarmState.ALARM if counts.breaching + counts.missing >= counts.wanted else AlarmState.OK


def _not_breaching(counts: _Counts, before: AlarmState) -> AlarmState:  # noqa: ARG001
    return AlarmState.ALARM if counts.breaching >= counts.wanted else AlarmState.OK


_TREATED: Final[Mapping[str, Callable[[_Counts, AlarmState], AlarmState]]] = MappingProxyType(
    {"missing": _missing, "ignore": _ignore, "breaching": _breaching, "notBreaching": _not_breaching}
)


def _reason(state: AlarmState, points: Sequence[Point], counts: _Counts, spec: alarms_pb2.PutMetricAlarmInput) -> str:
    periods = f"{spec.evaluation_periods} period{'s' if spec.evaluation_periods > 1 else ''} of {spec.period} s"
    if counts.missing == len(points):
        return f"there is no data of {spec.metric_name} for the last {periods}"
    seen = ", ".join(_shown(point, spec) for point in points)
    limit = f"{alarms.COMPARISONS[spec.comparison_operator]} {_number(spec.threshold, spec)}"
    told = f"{counts.breaching} of the last {periods} {'was' if counts.breaching == 1 else 'were'} {limit}"
    if any(point.starved for point in points):
        told += "; its endpoints are ejected, so that it gets none of its requests"
    return f"{_statistic(spec)} was {seen}: {told}" if state != AlarmState.OK else f"{_statistic(spec)} was {seen}"


def _statistic(spec: alarms_pb2.PutMetricAlarmInput) -> str:
    return f"{spec.metric_name} ({spec.extended_statistic})" if spec.extended_statistic else spec.metric_name


def _shown(point: Point, spec: alarms_pb2.PutMetricAlarmInput) -> str:
    if point.starved:
        return "starved"
    return "missing" if point.value is None else _number(point.value, spec)


def _number(value: float, spec: alarms_pb2.PutMetricAlarmInput) -> str:
    return f"{value:.4g}{_UNITS[alarms.unit(spec)]}"
