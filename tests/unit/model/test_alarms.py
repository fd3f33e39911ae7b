"""Alarms as manifests: AWS's own input and output are read, and what could never change its state is refused."""

import re
from pathlib import Path

import pytest

from tsunagu.model import ids
from tsunagu.model.deployments import alarms
from tsunagu.model.errors import ManifestError
from tsunagu.model.manifests import formats
from tsunagu.model.plan import plan

PAGE = (Path(__file__).parents[3] / "docs" / "alarms.md").read_text()
GOOD = {
    "AlarmName": "High 5xx / shop",
    "MetricName": "ErrorRate",
    "Statistic": "Average",
    "Dimensions": "[{Name: ServiceName, Value: web}]",
    "Period": "60",
    "EvaluationPeriods": "2",
    "Threshold": "5",
    "ComparisonOperator": "GreaterThanThreshold",
}


def text(kind="kind: Alarm\n", **members):
    written = {**GOOD, **members}
    return kind + "\n".join(f"{name}: {value}" for name, value in written.items() if value is not None)


def planned(written, state=None):
    return plan(formats.read([formats.Source("alarm.yaml", written)]), state or {})


def issues(**members):
    reading = formats.read_all([formats.Source("alarm.yaml", text(**members))])
    return [str(one) for one in plan(reading.documents, {}, faults=reading.issues).issues]


def test_an_alarm_is_named_by_its_own_member_with_or_without_a_kind():
    for written in (text(), text(kind="")):
        [change] = planned(written).changes
        assert (change.kind, change.name) == ("Alarm", "High 5xx / shop")
        assert ids.parse_key(ids.key("Alarm", change.name)) == ("Alarm", "High 5xx / shop")


def test_the_output_of_describe_alarms_is_read():
    told = "{MetricAlarms: [{AlarmArn: 'arn:aws:x', StateValue: OK, Newer: 1, " + ", ".join(
        f"{name}: {value}" for name, value in GOOD.items()
    )
    [change] = planned(told + "}], CompositeAlarms: []}").changes
    assert change.object.alarm.spec.threshold == 5


def test_what_calls_somebody_is_noted_and_a_service_that_is_not_there_warned_of():
    found = planned(text(AlarmActions="['arn:aws:sns:x']", ActionsEnabled="true"))
    assert any("an alarm calls nobody here" in note for note in found.notes)
    assert any("there is no service 'default/web' yet" in warning for warning in found.warnings)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"MetricName": "CPUUtilization"}, "MetricName: 'CPUUtilization' is not measured here"),
        ({"MetricName": "ErorRate"}, 'did you mean "ErrorRate"?'),
        ({"MetricName": None}, "MetricName is missing"),
        ({"Namespace": "AWS/EC2"}, "Namespace: nothing of 'AWS/EC2' is measured here"),
        ({"Statistic": "Sum"}, "Statistic: ErrorRate has no Sum here; write Average"),
        ({"Statistic": None}, "must have either Statistic or ExtendedStatistic"),
        ({"Statistic": None, "ExtendedStatistic": "p99"}, "ErrorRate has no percentiles"),
        ({"MetricName": "TargetResponseTime", "Statistic": None, "ExtendedStatistic": "p101"}, "'p101' is not valid"),
        ({"Unit": "Count"}, "Unit: ErrorRate is in Percent, not in Count"),
        ({"Period": "15"}, "Period: 15 is no period; write 10, 20, 30, a multiple of 60"),
        ({"Period": None}, "Period is missing"),
        ({"Period": "1"}, "1 is out of range"),
        ({"EvaluationPeriods": "61"}, "looks back 3660 s"),
        ({"Period": "10", "EvaluationPeriods": "61"}, "kept for 600 s; write at most 60"),
        ({"DatapointsToAlarm": "3"}, "is more than the 2 of EvaluationPeriods"),
        ({"Threshold": None}, "Threshold is missing"),
        ({"ComparisonOperator": "GreaterThanUpperThreshold"}, "is none of"),
        ({"TreatMissingData": "notbreaching"}, 'did you mean "notBreaching"?'),
        ({"Dimensions": "[]"}, "does not say of what"),
        ({"Dimensions": "[{Name: Service, Value: web}]"}, "there is no dimension 'Service' here"),
        ({"Dimensions": "[{Name: ServiceRevision, Value: TARGET}]"}, "does not say of what"),
        (
            {"Dimensions": "[{Name: DiscoveryName, Value: web}, {Name: ServiceRevision, Value: TARGET}]"},
            "does not say of which service",
        ),
        (
            {"Metrics": "[{Id: e1, Expression: m1/m2}]", "MetricName": None, "Period": None},
            "metric math is not evaluated",
        ),
        (
            {"MetricName": "TargetConnectionErrorCount", "Statistic": "Sum"},
            "is what callers see; name a TargetDiscoveryName",
        ),
        ({"AlarmName": '"a\\tb"'}, "is not valid"),
    ],
)
def test_an_alarm_that_could_never_change_its_state_is_refused(members, message):
    assert any(message in one for one in issues(**members)), issues(**members)


def test_one_fault_is_one_issue():
    assert issues() == []
    assert len(issues(Metrics="[{Id: e1}]", MetricName=None, Period=None, Statistic=None, Dimensions=None)) == 1


def applied(written):
    [change] = planned(written).changes
    return change.object


def test_an_alarm_that_is_applied_again_keeps_its_state_unless_it_asks_for_something_else():
    before = applied(text())
    before.alarm.status.state_value = "OK"
    state = {"Alarm": {before.meta.name: before}}
    assert planned(text(), state).changes == ()
    [change] = planned(text(Threshold="6"), state).changes
    assert not change.object.alarm.HasField("status")
    with pytest.raises(ManifestError):
        formats.read([formats.Source("alarm.yaml", "kind: Alarm\nAlarmname: x")])


def test_the_page_names_every_metric_dimension_and_member():
    members = (*alarms.METRICS, *alarms.DIMENSIONS, *alarms.WITHOUT_EFFECT, *alarms.REFUSED)
    assert [name for name in members if not re.search(rf"\b{name}\b", PAGE)] == []
