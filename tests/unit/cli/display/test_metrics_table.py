"""Numbers for people."""

import pytest

from tsunagu.cli.display.metrics_table import table
from tsunagu.v1 import inspector_pb2 as pb


def value(**fields):
    _, [row] = table([pb.Metric(name="m", help="of m", **fields)])
    return row[2]


@pytest.mark.parametrize(
    ("number", "unit", "shown"),
    [
        (1234567, "", "1,234,567"),
        (0.1234, "seconds", "0.123 s"),
        (999, "bytes", "999 B"),
        (2048, "bytes", "2.0 KiB"),
        (3 << 20, "bytes", "3.0 MiB"),
        (5 << 30, "bytes", "5.0 GiB"),
    ],
)
def test_a_number_has_its_unit(number, unit, shown):
    assert value(kind="gauge", value=number, unit=unit) == shown


def test_a_distribution_tells_its_mean_and_quantiles():
    histogram = pb.Histogram(bounds=[0.001, 0.01], counts=[98, 1, 1], sum=0.5)

    assert value(kind="histogram", histogram=histogram) == "100 of 5.0 ms in the mean, p50 <= 1 ms, p99 <= 10 ms"
    histogram.counts[:] = [1, 0, 99]
    assert value(kind="histogram", histogram=histogram).endswith("p50 > 10 ms, p99 > 10 ms")
    assert value(kind="histogram", histogram=pb.Histogram(bounds=[1], counts=[0, 0])) == "none"


def test_a_row_says_of_what_and_what_it_means():
    titles, [row] = table(
        [pb.Metric(name="xds_acks", kind="counter", value=3, help="accepted", labels={"type": "EDS"})]
    )

    assert titles == ["METRIC", "OF", "VALUE", "MEANING"]
    assert row == ["xds_acks", "EDS", "3", "accepted"]
