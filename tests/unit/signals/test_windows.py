"""What follows from samples: rates, shares of errors, percentiles; and that no sample is no data."""

import pytest

from tests.unit.signals.specimens import NOW, flag, given, inward, leaving, outward, reading
from tsunagu.signals import windows
from tsunagu.signals.store import SignalStore


@pytest.fixture
def store():
    """Two tasks of `api`, of two revisions, and one of `web` that calls them; each has been there for 10 s."""
    store = SignalStore()

    def come(task, *flows, **more):
        store.accept(given(reading(0, from_start=True, started=NOW), task=task, whole=True, **more), NOW)
        store.accept(given(reading(10, *flows), task=task, **more), NOW + 10)

    come("default/api-1", inward(requests=60, responses_2xx=60, latency={4: 50, 20: 10}))
    come(
        "default/api-2",
        inward(requests=40, responses_2xx=30, responses_5xx=10, flags=[flag("UF", 503, 4)], latency={90: 36}),
        revision="default/api/2",
    )
    come(
        "default/web-1",
        outward(
            requests=100,
            responses_2xx=90,
            responses_5xx=10,
            flags=[flag("URX", 503, 4, "connection_refused")],
            ejections_active=1,
        ),
        service="web",
        revision="default/web/1",
    )
    return store


def of(store, revision="", ago=60.0):
    return windows.of_service(store.views(), "default/api", revision, NOW + 10 - ago, NOW + 10)


def test_a_service_s_rate_errors_and_latency(store):
    seen = of(store)
    assert seen.tasks == 2
    assert seen.request_rate == pytest.approx(100 / 10)  # by the time for which there are samples, not by the window
    assert seen.error_rate == pytest.approx(10 / 100)
    assert seen.latency(0.5) == pytest.approx(0.004)
    assert seen.latency(0.99) == pytest.approx(0.090)


def test_one_revision_is_told_from_another(store):
    assert of(store, "default/api/1").error_rate == 0
    assert of(store, "default/api/2").error_rate == pytest.approx(10 / 40)


def test_ejections_are_what_callers_see(store):
    assert of(store).ejections_active == 1
    assert (
        windows.of_service(store.views(), "default/web", "", NOW, NOW + 10) is None
    )  # nobody calls it, and it has no port


def test_no_sample_is_no_data(store):
    assert of(store, "default/api/3") is None
    assert windows.of_service(store.views(), "default/api", "", NOW + 10, NOW + 40) is None


def test_nothing_asked_has_no_error_rate_and_no_latency():
    store = SignalStore()
    store.accept(given(reading(5, inward(active_connections=0), from_start=True, started=NOW), whole=True), NOW + 5)
    seen = of(store)
    assert seen.request_rate == 0
    assert seen.error_rate is None
    assert seen.latency(0.5) is None


def test_a_window_without_a_sample_is_not_there(store):
    store.accept(given(reading(50, inward(requests=75, responses_2xx=75))), NOW + 50)
    found = windows.windows(store.views(), windows.Query(NOW, NOW + 60, 10.0, "default/api"))
    inward_of_first = [one for one in found if one.flow.direction == "ingress"]
    assert [round(one.start - NOW) for one in inward_of_first] == [10, 50]


def test_a_service_s_windows_hold_what_it_serves_and_who_calls_it(store):
    found = windows.windows(store.views(), windows.Query(NOW, NOW + 60, 0.0, "default/api"))
    assert [(one.source.service, one.flow.direction, one.tasks) for one in found] == [
        ("api", "ingress", 2),
        ("web", "egress", 1),
    ]


def test_each_task_has_windows_of_its_own_when_asked(store):
    found = windows.windows(store.views(), windows.Query(NOW, NOW + 60, by_task=True))
    assert [one.source.task for one in found] == ["default/api-1", "default/api-2", "default/web-1"]
    assert found[1].source.revision == "default/api/2"


def test_calls_to_one_revision_alone_are_calls_of_the_name():
    store = SignalStore()
    alone = outward(requests=3, responses_2xx=3, active_connections=1, target_revision="default/api/2")
    store.accept(given(reading(0, from_start=True, started=NOW), service="web", whole=True), NOW)
    store.accept(
        given(reading(5, outward(requests=4, responses_2xx=4, active_connections=2), alone), service="web"), NOW + 5
    )
    [found] = windows.windows(store.views(), windows.Query(NOW, NOW + 5))
    assert (found.flow.responses_2xx, found.flow.active_connections, found.tasks) == (7, 3, 1)


def test_a_route_to_one_revision_that_goes_takes_no_count_with_it():
    store = SignalStore()
    alone = outward(requests=300, target_revision="default/api/2")
    store.accept(
        given(reading(0, outward(requests=4), alone, from_start=True, started=NOW), service="web", whole=True), NOW
    )
    store.accept(given(reading(5, outward(requests=6)), service="web"), NOW + 5)
    [found] = windows.windows(store.views(), windows.Query(NOW - 1, NOW + 5))
    assert found.flow.requests == 306


def test_what_leaves_the_mesh_is_a_window_of_its_own_and_over_its_own_time(store):
    """Envoy was read for 10 s, the relay for 4: neither rate is by the other's time."""
    first = reading(6, from_start=True, started=NOW + 6, envoy="r")
    store.accept(given(first, whole=True, relay=True), NOW + 6)
    store.accept(given(reading(10, leaving(connections=8), envoy="r"), relay=True), NOW + 10)
    found = windows.windows(store.views(), windows.Query(NOW - 50, NOW + 10, service="default/api", by_task=True))
    mine = {one.flow.direction: one for one in found if one.source.task == "default/api-1"}
    assert windows.seen(mine["ingress"]).request_rate == pytest.approx(60 / 10)
    assert windows.seen(mine["outside"]).request_rate == pytest.approx(8 / 4)
    assert of(store).request_rate == pytest.approx(100 / 10)
