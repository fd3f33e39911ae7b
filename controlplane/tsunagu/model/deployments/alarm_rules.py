"""Validation rules for alarms: what is asked for is measured here, of something, often enough.

The one rule: an alarm that could never change its state is refused, with what would; nobody should trust a deployment to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tsunagu.kit.spelling import did_you_mean
from tsunagu.model import ids, references
from tsunagu.model.deployments import alarms
from tsunagu.model.rules.constraints import issue, words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tsunagu.model.errors import Issue
    from tsunagu.model.rules.indexes import Indexes
    from tsunagu.model.rules.subject import Subject
    from tsunagu.v1 import alarms_pb2


def _spec(subject: Subject) -> alarms_pb2.PutMetricAlarmInput:
    return subject.obj.alarm.spec


def named_rightly(subject: Subject) -> Iterator[Issue]:
    if subject.name != _spec(subject).alarm_name:
        yield issue("AlarmName", f"{_spec(subject).alarm_name!r} is not the object's name {subject.name!r}")


def refused(subject: Subject) -> Iterator[Issue]:
    for field, _ in _spec(subject).ListFields():
        if field.json_name in alarms.REFUSED:
            yield issue(field.json_name, *alarms.REFUSED[field.json_name])


def metric(subject: Subject) -> Iterator[Issue]:
    """It is one that is measured here."""
    spec = _spec(subject)
    if spec.metrics or spec.HasField("evaluation_criteria"):
        return  # which is refused
    if not spec.metric_name:
        yield issue("", "MetricName is missing", f"write one of {words(alarms.METRICS)}")
    elif spec.metric_name not in alarms.METRICS:
        hint = did_you_mean(spec.metric_name, alarms.METRICS, f"measured are {words(alarms.METRICS)}")
        yield issue("MetricName", f"{spec.metric_name!r} is not measured here", hint)
    if spec.namespace not in alarms.NAMESPACES:
        known = words(name for name in alarms.NAMESPACES if name)
        yield issue("Namespace", f"nothing of {spec.namespace!r} is measured here", f"write one of {known}")
    if not spec.HasField("threshold"):
        yield issue("", "Threshold is missing")


def statistic(subject: Subject) -> Iterator[Issue]:
    """It is one that the metric has."""
    spec = _spec(subject)
    found = alarms.METRICS.get(spec.metric_name)
    if found is None:
        return
    allowed = words(sorted(found.statistics)) + (", or an ExtendedStatistic like p99" if found.percentiles else "")
    if bool(spec.statistic) == bool(spec.extended_statistic):
        yield issue("", "must have either Statistic or ExtendedStatistic", f"{found.name} has {allowed}")
    elif spec.statistic and spec.statistic not in found.statistics:
        yield issue("Statistic", f"{found.name} has no {spec.statistic} here", f"write {allowed}")
    elif spec.extended_statistic and not found.percentiles:
        yield issue("ExtendedStatistic", f"{found.name} has no percentiles", f"write Statistic: {allowed}")
    if spec.unit and spec.unit != alarms.unit(spec):
        yield issue("Unit", f"{found.name} is in {alarms.unit(spec)}, not in {spec.unit}", "leave it out")


def period(subject: Subject) -> Iterator[Issue]:
    """Periods are AWS's, and no longer together than samples are kept."""
    spec = _spec(subject)
    if spec.metrics or not spec.evaluation_periods:
        return
    if not spec.HasField("period"):
        yield issue("", "Period is missing", "write its seconds, e.g. 60")
        return
    of_aws = spec.period in alarms.AWS_PERIODS or spec.period % alarms.MINUTE == 0
    if not of_aws and spec.period != alarms.SHORTEST:
        yield issue(
            "Period", f"{spec.period} is no period", "write 10, 20, 30, a multiple of 60, or (not in AWS, for trying) 5"
        )
    longest = alarms.FINE if spec.period < alarms.MINUTE else alarms.HOUR
    if alarms.window(spec) > longest:
        reason = f"looks back {alarms.window(spec):g} s, and samples of that length are kept for {longest} s"
        yield issue("EvaluationPeriods", reason, f"write at most {longest // max(1, spec.period)}")
    if spec.datapoints_to_alarm > spec.evaluation_periods:
        yield issue("DatapointsToAlarm", f"is more than the {spec.evaluation_periods} of EvaluationPeriods")


def dimensions(subject: Subject) -> Iterator[Issue]:
    """It says of what."""
    spec = _spec(subject)
    if spec.metrics or spec.HasField("evaluation_criteria"):
        return
    for index, one in enumerate(spec.dimensions):
        if one.name and one.name not in alarms.DIMENSIONS:
            hint = did_you_mean(one.name, alarms.DIMENSIONS, f"the dimensions are {words(alarms.DIMENSIONS)}")
            yield issue(f"Dimensions[{index}].Name", f"there is no dimension {one.name!r} here", hint)
        if one.name in [other.name for other in spec.dimensions[:index]]:
            yield issue(f"Dimensions[{index}].Name", f"{one.name} is there twice")
    found = alarms.dimensions(spec)
    of = (alarms.SERVICE_NAME, alarms.DISCOVERY_NAME, alarms.TARGET_DISCOVERY_NAME, alarms.TARGET_GROUP)
    if not any(name in found for name in of):
        yield issue("Dimensions", "does not say of what", f"name one of {words(of)}")
    elif spec.metric_name == "TargetConnectionErrorCount" and alarms.TARGET_DISCOVERY_NAME not in found:
        yield issue("Dimensions", f"{spec.metric_name} is what callers see", "name a TargetDiscoveryName")
    elif alarms.SERVICE_REVISION in found and not {alarms.SERVICE_NAME, alarms.TARGET_GROUP} & set(found):
        yield issue("Dimensions", "has a ServiceRevision, and does not say of which service", "add a ServiceName")


RULES = (named_rightly, refused, metric, statistic, period, dimensions)


# -- warnings ---------------------------------------------------------------------------------------------------------


def warnings(subject: Subject) -> Iterator[Issue]:
    """The service that it watches may come later."""
    found = alarms.dimensions(_spec(subject))
    if alarms.SERVICE_NAME in found:
        name = ids.service_name(found.get(alarms.CLUSTER_NAME, references.DEFAULT_CLUSTER), found[alarms.SERVICE_NAME])
        known = subject.indexes.objects("Service")
        if name not in known:
            reason = f"there is no service {name!r} yet: it has no data until there is one"
            yield issue("Dimensions", reason, did_you_mean(name, known))


def of_service(config_path: str, names: list[str], indexes: Indexes) -> Iterator[Issue]:
    """Alarms that a service names and that are not there: AWS's file may well come without them."""
    known = indexes.objects("Alarm")
    for index, name in enumerate(names):
        if name not in known:
            reason = f"there is no alarm {name!r}: no deployment goes back by it, or waits for it"
            hint = did_you_mean(name, known, "`kind: Alarm` makes one")
            yield issue(f"{config_path}.alarmNames[{index}]", reason, hint)
