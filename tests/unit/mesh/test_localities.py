"""How endpoints are divided into localities: by zone and revision, with the priorities and weights of one caller."""

from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tsunagu.mesh.localities import Caller, divide

ANYWHERE = Caller("", ())


def serving(**places):
    """zone_revision=count, e.g. a_old=9; `_old` has no zone."""
    found = {}
    for number, (name, count) in enumerate(places.items()):
        zone, _, revision = name.rpartition("_")
        found[zone, revision] = [(f"10.{number}.{one // 250}.{one % 250}", 80) for one in range(count)]
    return found


def caller(zone, zones="abc"):
    return Caller(zone, tuple(zones))


def ranks(localities):
    """[{zone_revision: weight} of each priority]."""
    found = []
    for one in localities:
        while len(found) <= one.priority:
            found.append({})
        found[one.priority][f"{one.zone}_{one.revision}"] = one.weight
    return found


def test_no_endpoint_no_locality():
    assert divide({}, {}, ANYWHERE) == ()
    assert divide({("", "r"): []}, {}, ANYWHERE) == ()


def test_outside_a_shift_a_locality_weighs_as_many_as_it_serves():
    assert ranks(divide(serving(_old=9, _new=1), {}, ANYWHERE)) == [{"_old": 9, "_new": 1}]


SHIFTS = [
    # shares in any unit; the number of tasks does not matter
    ({"old": 950, "new": 50}, {"_old": 950, "_new": 50}),
    ({"old": 500, "new": 500}, {"_old": 500, "_new": 500}),
    # without a share there is no weight: Envoy sends it nothing
    ({"old": 0, "new": 1000}, {"_old": 0, "_new": 1000}),
    ({"old": 1000}, {"_old": 1000, "_new": 0}),
    # of those that have a share nobody serves: better the others than a refusal
    ({"green": 1000}, {"_old": 9, "_new": 1}),
]


@pytest.mark.parametrize(("shares", "weights"), SHIFTS)
def test_in_a_shift_a_revision_has_its_share(shares, weights):
    assert ranks(divide(serving(_old=9, _new=1), shares, ANYWHERE)) == [weights]


PREFERRED = [
    # its own zone first, as long as it serves an even share; the others when it fails
    ("a", serving(a_r=2, b_r=2, c_r=2), [{"a_r": 2}, {"b_r": 2, "c_r": 2}]),
    ("b", serving(a_r=2, b_r=3, c_r=1), [{"b_r": 3}, {"a_r": 2, "c_r": 1}]),
    # nobody serves in its zone, or all do
    ("c", serving(a_r=3, b_r=1), [{"a_r": 3, "b_r": 1}]),
    ("a", serving(a_r=3), [{"a_r": 3}]),
    # c has one of six, where an even share were two: half of its callers' requests stay, half go to who has more than two
    ("c", serving(a_r=3, b_r=2, c_r=1), [{"c_r": 3, "a_r": 3}, {"b_r": 2}]),
    ("c", serving(a_r=5, b_r=4, c_r=0, _r=0), [{"a_r": 5, "b_r": 4}]),
    ("c", serving(a_r=5, b_r=3, c_r=1), [{"c_r": 3, "a_r": 6}, {"b_r": 3}]),
    # both revisions of its zone, in proportion to what they serve there
    ("a", serving(a_old=3, a_new=1, b_old=4), [{"a_old": 3, "a_new": 1}, {"b_old": 4}]),
    # tasks without a zone are elsewhere
    ("a", serving(a_r=2, _r=1), [{"a_r": 2}, {"_r": 1}]),
    # a proxy without a zone prefers none
    ("", serving(a_r=2, b_r=1), [{"a_r": 2, "b_r": 1}]),
]


@pytest.mark.parametrize(("zone", "places", "expected"), PREFERRED)
def test_the_callers_zone_is_preferred_as_far_as_its_capacity_goes(zone, places, expected):
    assert ranks(divide(places, {}, caller(zone))) == expected


def test_in_a_shift_each_revision_has_its_share_in_the_first_priority_wherever_it_serves():
    """`new` serves in b alone, and has its tenth of the requests of callers in a."""
    places = serving(a_old=2, b_old=2, b_new=1)
    assert ranks(divide(places, {"old": 900, "new": 100}, caller("a", "ab"))) == [
        {"a_old": 900, "b_new": 100},
        {"b_old": 450},
    ]


def test_a_revision_without_a_share_is_not_in_the_first_priority_if_there_is_a_second():
    """Envoy judges a priority by all of its endpoints: those that get nothing must not make it look healthy."""
    places = serving(a_old=2, a_new=1, b_new=1)
    assert ranks(divide(places, {"new": 1000}, caller("a", "ab"))) == [{"a_new": 1000}, {"b_new": 500, "a_old": 0}]


def test_endpoints_are_sorted():
    (one,) = divide({("", "r"): [("10.0.0.9", 80), ("10.0.0.10", 80)]}, {}, ANYWHERE)
    assert one.endpoints == (("10.0.0.10", 80), ("10.0.0.9", 80))


counts = st.dictionaries(
    st.tuples(st.sampled_from(["", "a", "b", "c"]), st.sampled_from(["old", "new", "third"])), st.integers(0, 40)
)
shares = st.dictionaries(st.sampled_from(["old", "new", "gone"]), st.integers(0, 1000))


#: Exact weights of which the sum is larger are rounded. Those that are exact may be as large by chance: then nothing is missed.
ROUNDED = 2**31


@given(counts, shares, st.sampled_from(["", "a", "b", "d"]))
@example(
    {
        ("", "old"): 30,
        ("", "new"): 30,
        ("a", "old"): 2,
        ("a", "new"): 27,
        ("b", "old"): 37,
        ("b", "new"): 36,
        ("c", "new"): 20,
    },
    {"old": 61, "new": 163},
    "a",
)
def test_what_always_holds(places, shift, zone):
    endpoints = {
        place: [(f"10.{index}.{number}.1", 80) for number in range(count)]
        for index, (place, count) in enumerate(sorted(places.items()))
    }
    localities = divide(endpoints, shift, caller(zone))
    # every endpoint is in one locality
    assert sorted(one for locality in localities for one in locality.endpoints) == sorted(
        one for found in endpoints.values() for one in found
    )
    by_priority = ranks(localities)
    # priorities have no gap, each has something to give requests to, and its weights fit
    for rank in by_priority:
        assert 0 < sum(rank.values()) < 2**32
    # the shares of a shift are exact in the first priority, as far as 32 bits go
    served = {place[1] for place, count in places.items() if count}
    asked = {revision: share for revision, share in shift.items() if share and revision in served}
    if asked:
        total = sum(by_priority[0].values())
        for revision in served:
            weight = sum(one.weight for one in localities if one.revision == revision and one.priority == 0)
            missed = abs(Fraction(weight, total) - Fraction(asked.get(revision, 0), sum(asked.values())))
            assert missed <= (Fraction(len(localities), total) if total > ROUNDED else 0)
