"""Calls to what nobody offers, by the names that their addresses mean."""

from tsunagu.cli.unoffered import named


def test_an_address_is_told_by_its_name():
    stats = [
        {"name": "unoffered.calls.to.127.255.0.1:81", "value": 2},
        {"name": "unoffered.calls.to.127.255.0.1:82", "value": 7},
        {"name": "unoffered.calls.to.127.255.9.9:80", "value": 1},
        {"name": "cluster.blackhole.upstream_cx_none_healthy", "value": 10},
    ]
    assert list(named(stats, {"127.255.0.1": "api"}).items()) == [("api:82", 7), ("api:81", 2), ("127.255.9.9:80", 1)]
