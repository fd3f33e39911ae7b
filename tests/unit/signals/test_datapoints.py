"""The data points of an alarm: by period, by revision, and that silence is no good news."""

import pytest

from tests.unit.signals.specimens import NOW, flag, given, inward, outward, reading
from tsunagu.model.deployments import alarms
from tsunagu.signals import datapoints
from tsunagu.signals.datapoints import Point, Scope
from tsunagu.signals.store import SignalStore
from tsunagu.v1 import alarms_pb2

OLD, NEW = "default/api/1", "default/api/2"


def spec(metric="ErrorRate", statistic="Average", periods=1, period=10, **more):
    return alarms_pb2.PutMetricAlarmInput(
        metric_name=metric, statistic=statistic, evaluation_periods=periods, period=period, **more
    )


class Traffic:
    """A store that is told what each Envoy has counted in all, every 10 s."""

    def __init__(self):
        self.store = SignalStore()

    def seen(self, at, *flows, task="default/api-1", **more):
        if task not in {view.source.task for view in self.store.views()}:
            whole = reading(0, *[type(flow)() for flow in ()], from_start=True, started=NOW)
            self.store.accept(given(whole, task=task, whole=True, **more), NOW)
        self.store.accept(given(reading(at, *flows), task=task, **more), NOW + at)

    def points(self, scope, asked, at):
        return datapoints.points(self.store.views(), scope, asked, NOW + at)

    def values(self, scope, asked, at):
        return [point.value for point in self.points(scope, asked, at)]


@pytest.fixture
def traffic():
    """Two revisions of `api`, and `web` that calls them, for 20 s."""
    made = Traffic()
    made.seen(10, inward(requests=90, responses_2xx=90, latency={4: 90}), revision=OLD)
    made.seen(20, inward(requests=180, responses_2xx=180, latency={4: 180}), revision=OLD)
    new = {"task": "default/api-2", "revision": NEW}
    made.seen(10, inward(requests=10, responses_2xx=10, latency={20: 10}), **new)
    made.seen(20, inward(requests=20, responses_2xx=18, responses_5xx=2, latency={20: 10, 90: 10}), **new)
    calls = {"task": "default/web-1", "service": "web", "revision": "default/web/1"}
    made.seen(10, outward(requests=100, responses_2xx=100, ejections_active=0), **calls)
    made.seen(20, outward(requests=200, responses_2xx=198, responses_5xx=2, ejections_active=0), **calls)
    return made


def test_there_is_a_value_for_each_period_of_one_revision_or_of_all(traffic):
    assert traffic.values(Scope("default/api", revision=NEW), spec(periods=2), 20) == [0.0, 20.0]
    assert traffic.values(Scope("default/api", revision=OLD), spec(periods=2), 20) == [0.0, 0.0]
    assert traffic.values(Scope("default/api"), spec(periods=2), 20) == [0.0, 2.0]


def test_no_sample_is_no_data_point(traffic):
    assert traffic.values(Scope("default/api"), spec(periods=3), 30) == [0.0, 2.0, None]
    assert traffic.values(Scope("default/none"), spec(), 20) == [None]


@pytest.mark.parametrize(
    ("metric", "statistic", "more", "value"),
    [
        ("RequestCount", "Sum", {}, 10.0),
        ("RequestCountPerTarget", "Average", {}, 10.0),
        ("HTTPCode_Target_2XX_Count", "Sum", {}, 8.0),
        ("HTTPCode_Target_5XX_Count", "Sum", {}, 2.0),
        ("HTTPCode_ELB_5XX_Count", "Sum", {}, 0.0),
        ("TargetResponseTime", "", {"extended_statistic": "p99"}, 90.0),
        ("TargetResponseTime", "Maximum", {"namespace": "AWS/ApplicationELB"}, 0.09),
        ("EjectionsActive", "Maximum", {}, 0.0),
    ],
)
def test_the_metrics_of_a_revision_in_the_last_period(traffic, metric, statistic, more, value):
    asked = spec(metric, statistic, **more)
    assert traffic.values(Scope("default/api", revision=NEW), asked, 20) == [pytest.approx(value)]


def test_callers_see_a_name_of_which_nobody_answers():
    made = Traffic()
    calls = {"task": "default/web-1", "service": "web", "revision": "default/web/1"}
    refused = outward(requests=10, responses_5xx=10, flags=[flag("UF", 503, 10)], connect_failures=10)
    made.seen(10, refused, **calls)
    assert made.values(Scope(name="api", calls=True), spec(), 10) == [100.0]
    assert made.values(Scope(name="api", calls=True), spec("TargetConnectionErrorCount", "Sum"), 10) == [10.0]
    assert made.values(Scope("default/other", "api", calls=True), spec(), 10) == [None]


def test_connections_of_tcp_that_find_no_target_are_errors():
    made = Traffic()
    made.seen(10, inward(connections=10, flags=[flag("UF", 0, 4)]))
    assert made.values(Scope("default/api"), spec(), 10) == [40.0]


@pytest.fixture
def ejected(traffic):
    """In the third period all 100 requests went to the old revision, with an endpoint ejected."""
    traffic.seen(30, inward(requests=280, responses_2xx=280), revision=OLD)
    new = {"task": "default/api-2", "revision": NEW}
    traffic.seen(30, inward(requests=20, responses_2xx=18, responses_5xx=2), **new)
    calls = {"task": "default/web-1", "service": "web", "revision": "default/web/1"}
    traffic.seen(30, outward(requests=300, responses_2xx=298, responses_5xx=2, ejections_active=1), **calls)
    return traffic


def test_a_revision_that_gets_none_of_its_share_since_it_is_ejected_fails(ejected):
    starved = Scope("default/api", revision=NEW, share=0.1)
    assert ejected.points(starved, spec(), 30) == (Point(starved=True),)
    assert ejected.points(starved, spec("HTTPCode_Target_5XX_Count", "Sum"), 30) == (Point(starved=True),)
    assert ejected.points(starved, spec("RequestCount", "Sum"), 30) == (Point(0.0),)
    assert ejected.values(starved, spec("EjectionsActive", "Maximum"), 30) == [1.0]


@pytest.mark.parametrize("share", [None, 0.0, 0.04])
def test_a_revision_of_which_nothing_could_be_expected_is_not_told_to_starve(ejected, share):
    """Before the shift, when the share is not known, and when so few requests may have missed it by chance."""
    assert ejected.points(Scope("default/api", revision=NEW, share=share), spec(), 30) == (Point(),)


def test_every_metric_has_a_reader():
    assert set(datapoints.READERS) == set(alarms.METRICS)
