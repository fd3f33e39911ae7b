"""The store counts every request once, whatever dies: Envoy, the node agent, the control plane, or what was sent twice."""

import pytest

from tests.unit.signals.specimens import NOW, flag, given, inward, leaving, reading
from tsunagu.signals.store import SignalStore


def counted(store):
    """What the spans of the hour add up to, and what the totals say."""
    [view] = store.views()
    hour = sum(flow.requests for span in view.spans for flow in span.flows())
    [total] = store.totals(NOW + 100, 1e9)
    return hour, sum(flow.requests for flow in total.flows)


def store_with(*gifts):
    store = SignalStore()
    wanted = [store.accept(gift, NOW + 60) for gift in gifts]
    return store, wanted


def test_a_task_that_is_not_known_is_wanted_whole():
    store, wanted = store_with(given(reading(0, inward(requests=7))))
    assert wanted == [True]
    assert len(store) == 0


def test_a_new_envoy_s_first_reading_counts_from_its_start():
    store, wanted = store_with(given(reading(0, inward(requests=7), from_start=True, started=NOW - 5), whole=True))
    assert wanted == [False]
    assert counted(store) == (7, 7)
    [view] = store.views()
    assert [(span.start, span.end) for span in view.spans] == [(NOW - 5, NOW)]


def test_what_an_adopted_envoy_had_counted_before_is_in_no_span():
    store, _ = store_with(
        given(reading(0, inward(requests=7)), whole=True),
        given(reading(5, inward(requests=9))),
    )
    assert counted(store) == (2, 9)


def test_a_reading_that_came_twice_counts_once():
    again = given(reading(5, inward(requests=9)))
    store, _ = store_with(given(reading(0, inward(requests=7), from_start=True), whole=True), again, again)
    assert counted(store) == (9, 9)


def test_a_restarted_envoy_begins_at_zero():
    store, _ = store_with(
        given(reading(0, inward(requests=7), from_start=True), whole=True),
        given(reading(5, inward(requests=3), envoy="2")),
        given(reading(10, inward(requests=4), envoy="2")),
    )
    assert counted(store) == (11, 11)


def test_a_restarted_envoy_that_counted_more_than_the_last_is_seen_as_another():
    store, _ = store_with(
        given(reading(0, inward(requests=7), from_start=True), whole=True),
        given(reading(5, inward(requests=30), envoy="2")),
    )
    assert counted(store) == (37, 37)


def test_a_restarted_node_agent_changes_nothing():
    """It knows nothing of what was counted before; the last reading that came does."""
    store, _ = store_with(
        given(reading(0, inward(requests=7), from_start=True), whole=True),
        given(reading(20, inward(requests=12), from_start=False)),
    )
    assert counted(store) == (12, 12)


def test_a_restarted_control_plane_gets_the_hour_again():
    first = reading(0, inward(requests=7), from_start=True)
    then = reading(5, inward(requests=9))
    other = reading(10, inward(requests=2), envoy="2")
    store, wanted = store_with(given(other), given(first, then, other, whole=True))
    assert wanted == [True, False]
    assert counted(store) == (11, 11)


def test_totals_go_on_where_they_were_after_a_restart_of_the_control_plane():
    """Or Prometheus would take the smaller ones for counters that began anew, and count them again."""
    late = reading(10, inward(requests=2), envoy="2", carried=[inward(requests=9)])
    store, _ = store_with(given(late, whole=True))
    assert counted(store) == (0, 11)


def test_a_cluster_that_was_taken_away_and_came_back_counts_from_zero():
    store, _ = store_with(
        given(reading(0, inward(requests=70), from_start=True), whole=True),
        given(reading(5, inward(requests=4))),
    )
    assert counted(store) == (74, 74)


def test_flags_are_counted_as_numbers_are():
    store, _ = store_with(
        given(reading(0, inward(flags=[flag("UF", 503, 2)]), from_start=True), whole=True),
        given(reading(5, inward(flags=[flag("UF", 503, 5), flag("UT", 504, 1)]))),
    )
    [view] = store.views()
    [then] = view.spans[-1].flows()
    assert {(one.flags, one.count) for one in then.flags} == {("UF", 3), ("UT", 1)}


def test_the_hour_passes_and_minutes_are_added_up():
    store = SignalStore()
    store.accept(given(reading(0, inward(requests=0), from_start=True, started=NOW), whole=True), NOW)
    for at in range(5, 7200, 5):
        store.accept(given(reading(at, inward(requests=at))), NOW + at)
    [view] = store.views()
    assert view.spans[0].end >= NOW + 7200 - 3600 - 90
    assert 160 <= len(view.spans) <= 190  # ten minutes of five seconds, fifty of one minute
    assert (
        sum(flow.requests for span in view.spans for flow in span.flows()) == view.spans[-1].end - view.spans[0].start
    )
    assert all(before.end == after.start for before, after in zip(view.spans, view.spans[1:], strict=False))


def test_a_task_of_which_nothing_comes_for_an_hour_is_forgotten():
    store, _ = store_with(given(reading(0, inward(requests=7)), whole=True))
    store.accept(given(task="default/other"), NOW + 3700)
    assert len(store) == 0


def test_the_bytes_of_all_tasks_are_bounded_and_the_oldest_go_first():
    store = SignalStore(most_bytes=20_000)
    for task in ("default/api-1", "default/api-2"):
        store.accept(given(reading(0, inward(), from_start=True), task=task, whole=True), NOW)
    for at in range(5, 1000, 5):
        for task in ("default/api-1", "default/api-2"):
            store.accept(given(reading(at, inward(requests=at)), task=task), NOW + at)
    assert store.bytes < 20_000 + 30 * 400  # what comes between two looks
    first, second = store.views()
    assert abs(first.spans[0].start - second.spans[0].start) <= 5
    assert first.spans[-1].end == NOW + 995


def test_gauges_are_shown_only_while_they_are_known():
    store, _ = store_with(given(reading(0, inward(active_connections=4)), whole=True))
    [fresh] = store.totals(NOW + 10, 300)
    [stale] = store.totals(NOW + 20, 300)
    assert fresh.flows[0].active_connections == 4
    assert not stale.flows[0].HasField("active_connections")
    assert list(store.totals(NOW + 400, 300)) == []


@pytest.mark.parametrize("wrong", [-7200, 7200])
def test_a_reading_of_another_time_is_not_taken(wrong):
    store, _ = store_with(given(reading(wrong, inward(requests=7)), whole=True))
    assert len(store) == 0


def test_what_the_relay_counts_of_a_task_is_beside_what_its_envoy_counts():
    """Each has its own incarnations: a restarted Envoy has nothing that left the mesh counted again."""
    left = leaving(connections=4, refused={"unreachable": 1})
    more = leaving(connections=6, refused={"unreachable": 3, "not-named": 2}, active_connections=1)
    store, wanted = store_with(
        given(reading(0, inward(requests=7), from_start=True), whole=True),
        given(reading(1, left, envoy="r"), relay=True),
        given(reading(1, left, envoy="r", from_start=True), whole=True, relay=True),
        given(reading(5, inward(requests=3), envoy="2")),
        given(reading(6, more, envoy="r"), relay=True),
    )
    assert wanted == [False, True, False, False, False]
    assert len(store) == 1
    hour = [flow for view in store.views() if view.source.relay for span in view.spans for flow in span.flows()]
    assert [(flow.connections, dict(flow.refused)) for flow in hour] == [
        (4, {"unreachable": 1}),
        (2, {"unreachable": 2, "not-named": 2}),
    ]
    [total] = [flow for task in store.totals(NOW + 10, 60) if task.source.relay for flow in task.flows]
    assert (total.connections, dict(total.refused)) == (6, {"unreachable": 3, "not-named": 2})
    assert total.active_connections == 1


def test_a_relay_that_was_started_anew_counts_from_zero():
    store, _ = store_with(
        given(
            reading(0, leaving(connections=4, refused={"own-port": 2}), envoy="r", from_start=True),
            whole=True,
            relay=True,
        ),
        given(reading(5, leaving(connections=5, refused={"own-port": 1}), envoy="s"), relay=True),
    )
    [total] = [flow for task in store.totals(NOW + 10, 60) for flow in task.flows]
    assert (total.connections, dict(total.refused)) == (9, {"own-port": 3})
