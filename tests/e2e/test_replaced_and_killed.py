"""Small forms of `benchmarks soak-replacements` and `soak-kills`: nothing fails of what a mesh can keep from failing.

Not counted are requests that the load itself did not send in time, since this machine may be busy.
"""

import pytest

from benchmarks import replaced

pytestmark = [pytest.mark.e2e, pytest.mark.envoy]

PROTOCOLS = ("http", "grpc", "tcp")


@pytest.mark.slow("nine tasks are replaced, three times")
def test_three_rolling_replacements_of_http_grpc_and_tcp():
    seen = replaced.replacements(3)
    assert {name: seen[name]["failed"] for name in PROTOCOLS} == dict.fromkeys(PROTOCOLS, 0)
    assert seen["tcp"]["accepted"] == 0  # no connection was lost with a task
    assert seen["streams"].keys() == {"whole"}
    assert all(seen[name]["requests"] > 500 for name in PROTOCOLS)


@pytest.mark.slow("nine tasks are killed, one after the other")
def test_three_killed_tasks_of_http_grpc_and_tcp():
    seen = replaced.kills(3)
    assert {name: seen[name]["failed"] for name in PROTOCOLS} == dict.fromkeys(PROTOCOLS, 0)
    assert seen["streams"]["whole"] > 0
    assert all(seen[name]["requests"] > 500 for name in PROTOCOLS)
