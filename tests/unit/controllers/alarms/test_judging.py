"""An alarm's state by its data points: CloudWatch's table of missing data, and what the reason says."""

import pytest

from tsunagu.controllers.alarms.judging import judge
from tsunagu.model.statuses import AlarmState
from tsunagu.signals.datapoints import Point
from tsunagu.v1 import alarms_pb2

OK, ALARM, NO_DATA = AlarmState.OK, AlarmState.ALARM, AlarmState.INSUFFICIENT_DATA
KEPT = "kept"


def spec(treated="", wanted=None, periods=3, comparison="GreaterThanThreshold", **more):
    made = alarms_pb2.PutMetricAlarmInput(
        metric_name="ErrorRate",
        statistic="Average",
        period=10,
        evaluation_periods=periods,
        threshold=5,
        comparison_operator=comparison,
        treat_missing_data=treated,
        **more,
    )
    if wanted:
        made.datapoints_to_alarm = wanted
    return made


def points(text):
    """`X` breaches a threshold of 5, `0` does not, `-` is missing, `S` is starved; oldest first."""
    values = {"X": Point(9.0), "0": Point(1.0), "-": Point(), "S": Point(starved=True)}
    return [values[one] for one in text]


@pytest.mark.parametrize(
    ("given", "missing", "ignore", "breaching", "not_breaching"),
    [
        # three of three
        ("0X0", OK, OK, OK, OK),
        ("XXX", ALARM, ALARM, ALARM, ALARM),
        ("---", NO_DATA, KEPT, ALARM, OK),
        ("--0", OK, OK, OK, OK),
        ("-X-", NO_DATA, KEPT, ALARM, OK),
        ("X--", ALARM, KEPT, ALARM, OK),
        ("X-X", ALARM, KEPT, ALARM, OK),
        ("--X", NO_DATA, KEPT, ALARM, OK),
        ("0-X", OK, OK, OK, OK),
        ("XSX", ALARM, ALARM, ALARM, ALARM),
    ],
)
def test_three_of_three(given, missing, ignore, breaching, not_breaching):
    wanted = {"": missing, "missing": missing, "ignore": ignore, "breaching": breaching, "notBreaching": not_breaching}
    for before in AlarmState:
        for treated, state in wanted.items():
            found, _ = judge(points(given), spec(treated), before)
            assert found == (before if state == KEPT else state), (treated, before)


@pytest.mark.parametrize(
    ("given", "missing", "ignore", "breaching", "not_breaching"),
    [
        ("X0X", ALARM, ALARM, ALARM, ALARM),
        ("X00", OK, OK, OK, OK),
        ("-X-", ALARM, KEPT, ALARM, OK),
        ("--X", NO_DATA, KEPT, ALARM, OK),
        ("-0X", OK, KEPT, ALARM, OK),
    ],
)
def test_two_of_three(given, missing, ignore, breaching, not_breaching):
    wanted = {"missing": missing, "ignore": ignore, "breaching": breaching, "notBreaching": not_breaching}
    for before in AlarmState:
        for treated, state in wanted.items():
            found, _ = judge(points(given), spec(treated, wanted=2), before)
            assert found == (before if state == KEPT else state), (treated, before)


@pytest.mark.parametrize(
    ("comparison", "breaching"),
    [
        ("GreaterThanThreshold", (False, False, True)),
        ("GreaterThanOrEqualToThreshold", (False, True, True)),
        ("LessThanThreshold", (True, False, False)),
        ("LessThanOrEqualToThreshold", (True, True, False)),
    ],
)
def test_the_comparisons(comparison, breaching):
    for value, alarmed in zip((4.0, 5.0, 6.0), breaching, strict=True):
        state, _ = judge([Point(value)], spec(comparison=comparison, periods=1), OK)
        assert (state == ALARM) == alarmed


def test_the_reason_has_the_values_and_the_threshold():
    assert judge(points("0XX"), spec(wanted=2), OK)[1] == (
        "ErrorRate was 1 %, 9 %, 9 %: 2 of the last 3 periods of 10 s were more than 5 %"
    )
    assert judge(points("S"), spec(periods=1), OK)[1] == (
        "ErrorRate was starved: 1 of the last 1 period of 10 s was more than 5 %; its endpoints are ejected, "
        "so that it gets none of its requests"
    )
    assert judge(points("---"), spec(), OK)[1] == "there is no data of ErrorRate for the last 3 periods of 10 s"
