"""The xDS server's own numbers."""

import pytest

from tsunagu.serve.xds.metrics import Counters, Histogram
from tsunagu.xds.resources import EDS


def test_a_histogram_counts_by_upper_bound():
    histogram = Histogram((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 3.0):
        histogram.observe(value)

    assert (histogram.counts, histogram.count, histogram.sum) == ([2, 1, 1], 4, 6.0)


@pytest.mark.parametrize(("share", "bound"), [(0.0, 1.0), (0.5, 1.0), (0.75, 2.0), (1.0, float("inf"))])
def test_a_quantile_is_the_bound_below_which_it_lies(share, bound):
    histogram = Histogram((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 3.0):
        histogram.observe(value)

    assert histogram.quantile(share) == bound


def test_without_values_there_is_no_quantile():
    assert Histogram().quantile(0.99) == 0.0


def test_types_that_a_client_makes_up_are_counted_together():
    counters = Counters()
    for number in range(100):
        counters.of(f"type.googleapis.com/made.up.{number}").responses += 1
    counters.of(EDS).responses += 1

    assert {short: counts.responses for short, counts in counters.types.items()} == {"other": 100, "EDS": 1}


def test_everything_has_a_name_a_unit_and_a_meaning():
    counters = Counters()
    counters.of(EDS).latency.observe(0.1)
    counters.refused["UNAUTHENTICATED"] += 1

    for metric in counters.all():
        assert metric.name.startswith("xds_")
        assert metric.help
        assert metric.kind in {"counter", "histogram"}
        assert (metric.kind == "histogram") == (metric.histogram is not None)
