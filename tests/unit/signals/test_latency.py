"""Histograms are merged as histograms; a percentile is never further off than its bucket is wide."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.signals.specimens import outward
from tsunagu.signals import latency
from tsunagu.v1 import signals_pb2


def bucket(milliseconds):
    """The lower bound of Envoy's bucket for a whole number of milliseconds, in microseconds."""
    width = 10 ** max(0, len(str(milliseconds)) - 2)
    return milliseconds // width * width * 1000


def histogram(values):
    counts = {}
    for value in values:
        counts[bucket(value)] = counts.get(bucket(value), 0) + 1
    return signals_pb2.Latency(lower_us=sorted(counts), counts=[counts[lower] for lower in sorted(counts)])


VALUES = st.lists(st.integers(0, 30_000), min_size=1, max_size=60)


@settings(max_examples=100, deadline=None)
@given(VALUES, VALUES)
def test_a_merged_histogram_is_that_of_all_values(first, second):
    assert latency.total((histogram(first), histogram(second))) == histogram([*first, *second])
    assert latency.difference(histogram([*first, *second]), histogram(first)) == histogram(second)


@settings(max_examples=100, deadline=None)
@given(VALUES, st.sampled_from([0.5, 0.9, 0.99]))
def test_a_percentile_is_in_the_bucket_of_the_value(values, share):
    ordered = sorted(values)
    exact = ordered[max(0, -(-int(share * 100) * len(ordered) // 100) - 1)]
    found = round(latency.percentile(histogram(values), share) * 1000)
    assert bucket(found) == bucket(exact)


def test_below_100_ms_a_percentile_is_exact():
    assert latency.percentile(outward(latency={7: 1, 42: 1}).latency, 1.0) == pytest.approx(0.042)


def test_prometheus_gets_cumulative_counts():
    found = latency.cumulative(outward(latency={0: 3, 5: 2, 40: 1, 400_000: 1}).latency)
    by_bound = dict(zip((*latency.BOUNDS, float("inf")), found, strict=True))
    assert (by_bound[0.001], by_bound[0.005], by_bound[0.05], by_bound[300.0], by_bound[float("inf")]) == (
        3,
        5,
        6,
        6,
        7,
    )


def test_an_empty_histogram_has_no_percentile_and_no_mean():
    assert latency.percentile(signals_pb2.Latency(), 0.5) is None
    assert latency.mean(signals_pb2.Latency()) is None


def test_a_histogram_that_began_anew_is_not_subtracted_from():
    assert latency.difference(histogram([5]), histogram([5, 5, 9])) == histogram([5])
