"""The node agent keeps an hour of readings, few enough; and what it leaves out costs no count."""

from tests.unit.signals.specimens import NOW, given, inward, reading
from tsunagu.signals.store import SignalStore
from tsunagu_node.signals.kept import KeptReadings


def kept_of(*readings):
    kept = KeptReadings()
    for one in readings:
        kept.add(one)
    return kept


def test_what_was_taken_is_not_pending():
    kept = kept_of(reading(0, from_start=True), reading(5))
    kept.taken(NOW)
    assert [one.time for one in kept.pending()] == [NOW + 5]
    assert len(kept.whole()) == 2


def test_hours_without_a_control_plane_are_bounded():
    kept = kept_of(*(reading(at, inward(requests=at)) for at in range(0, 3 * 3600, 5)))
    assert len(kept) <= 75
    assert kept.whole()[0].time >= NOW + 2 * 3600 - 60


def test_a_control_plane_that_comes_back_counts_all_of_it():
    kept = kept_of(
        *(reading(at, inward(requests=at), envoy="1", from_start=True, started=NOW) for at in range(5, 305, 5)),
        *(reading(at, inward(requests=at - 300), envoy="2", from_start=True) for at in range(305, 605, 5)),
    )
    store = SignalStore()
    store.accept(given(*kept.whole(), whole=True), NOW + 600)
    [view] = store.views()
    assert sum(flow.requests for span in view.spans for flow in span.flows()) == 300 + 300


def test_after_an_hour_only_what_is_known_is_sent():
    kept = kept_of(*(reading(at, inward(requests=at), from_start=True) for at in range(5, 2 * 3600, 5)))
    first = kept.whole()[0]
    assert not first.from_start
    assert first.flows[0].requests > 3000


def test_what_earlier_envoys_counted_goes_with_the_first():
    kept = kept_of(
        reading(0, inward(requests=7), envoy="1"), reading(5, inward(requests=9), envoy="1"), reading(3700, envoy="2")
    )
    [only] = kept.whole()
    assert [flow.requests for flow in only.carried] == [9]


def test_a_clock_that_was_set_back_adds_nothing():
    assert len(kept_of(reading(5), reading(3))) == 1
