"""What a TrafficPolicy does to real requests and connections: seen in what callers got, and in Envoy's stats."""

import threading
import time
from collections import Counter

import pytest

from tests.e2e.traffic_lab import PATIENCE, apply, ask, clear, cluster, count, lab, policy, service, stat, told
from tsunagu.testing import Mesh

pytestmark = [pytest.mark.e2e, pytest.mark.envoy]

STATS = "cluster.svc/lab/blue"


@pytest.fixture(scope="module")
def mesh():
    with Mesh() as mesh:
        mesh.apply(text=lab(service("blue", count=3)))
        mesh.wait_steady()
        yield mesh


@pytest.fixture(autouse=True)
def clean(mesh):
    yield
    clear(mesh)


def hosts(mesh, number, **request):
    """Which tasks answered so many requests."""
    return Counter(told(mesh, "http://blue/", **request)["host"] for _ in range(number))


ALGORITHMS = [
    ("LEAST_REQUEST, choices: 3", "LEAST_REQUEST"),
    ("RANDOM", "RANDOM"),
    ("RING_HASH, hashKeys: [{header: x-user}]", "RING_HASH"),
    ("MAGLEV, hashKeys: [{header: x-user}]", "MAGLEV"),
]


@pytest.mark.parametrize(("members", "algorithm"), ALGORITHMS)
def test_an_algorithm_is_envoys(mesh, members, algorithm):
    apply(mesh, policy("blue", f"loadBalancing: {{algorithm: {members}}}"))
    assert cluster(mesh, "svc/lab/blue")["lb_policy"] == algorithm
    assert count(mesh, "http", 100, "http://blue/") == {"blue": 100}


@pytest.mark.parametrize("algorithm", ["RING_HASH", "MAGLEV"])
def test_what_has_the_same_hash_goes_to_the_same_task(mesh, algorithm):
    apply(mesh, policy("blue", f"loadBalancing: {{algorithm: {algorithm}, hashKeys: [{{header: x-user}}]}}"))
    # That all of so many users have the same of three tasks happens once in a thousand million runs.
    by_user = {number: hosts(mesh, 2, headers={"x-user": f"user {number}"}) for number in range(20)}
    assert all(len(found) == 1 for found in by_user.values())
    assert len({next(iter(found)) for found in by_user.values()}) > 1


def test_a_cookie_that_the_proxy_makes_keeps_a_caller_at_one_task(mesh):
    apply(
        mesh,
        policy(
            "blue", "loadBalancing: {algorithm: RING_HASH, hashKeys: [{cookie: s, cookieTtl: {unit: s, value: 60}}]}"
        ),
    )
    made = dict(ask(mesh, "http://blue/").headers)["set-cookie"]
    assert made.startswith("s=")
    assert "Max-Age=60" in made
    assert len(hosts(mesh, 8, headers={"cookie": made.partition(";")[0]})) == 1


def test_ejection_after_fewer_errors_and_never(mesh):
    apply(
        mesh,
        policy(
            "blue",
            "outlierDetection: {maxServerErrors: 2, interval: {unit: s, value: 1}, baseEjectionDuration: {unit: s, value: 1}}, retryPolicy: {maxRetries: 0}",
        ),
    )
    before = stat(mesh, f"{STATS}.outlier_detection.ejections_enforced_total")
    for _ in range(9):
        ask(mesh, "http://blue/status?code=500")
    assert stat(mesh, f"{STATS}.outlier_detection.ejections_enforced_total") > before
    apply(mesh, policy("blue", "outlierDetection: {maxServerErrors: 0}, retryPolicy: {maxRetries: 0}"))
    assert "outlier_detection" not in cluster(mesh, "svc/lab/blue")
    assert all(ask(mesh, "http://blue/status?code=500").status == 500 for _ in range(30))
    assert stat(mesh, f"{STATS}.outlier_detection.ejections_active") == 0


def test_a_full_pool_refuses_at_once(mesh):
    apply(
        mesh,
        policy(
            "blue", "connectionPool: {http: {maxConnections: 1, maxPendingRequests: 1}}, retryPolicy: {maxRetries: 0}"
        ),
    )
    before = stat(mesh, f"{STATS}.upstream_rq_pending_overflow")
    answers = []
    slow = [
        threading.Thread(target=lambda: answers.append(ask(mesh, "http://blue/slow?ms=1500").status)) for _ in range(8)
    ]
    for thread in slow:
        thread.start()
    for thread in slow:
        thread.join()
    assert Counter(answers)[503] >= 1
    assert stat(mesh, f"{STATS}.upstream_rq_pending_overflow") >= before + Counter(answers)[503]


def test_more_grpc_calls_than_its_limit_are_refused_at_once(mesh):
    apply(mesh, policy("blue-rpc", "connectionPool: {grpc: {maxRequests: 3}}, retryPolicy: {maxRetries: 0}"))
    before = stat(mesh, f"{STATS}-rpc.upstream_rq_active_overflow")
    assert count(mesh, "grpc-together", 8, "blue:9000") == {"blue": 3, "UNAVAILABLE": 5}
    assert stat(mesh, f"{STATS}-rpc.upstream_rq_active_overflow") == before + 5
    clear(mesh)
    assert count(mesh, "grpc-together", 8, "blue:9000") == {"blue": 8}


def test_more_tcp_connections_than_its_limit_are_closed_at_once(mesh):
    apply(mesh, policy("blue-raw", "connectionPool: {tcp: {maxConnections: 3}}"))
    before = stat(mesh, f"{STATS}-raw.upstream_cx_overflow")
    assert count(mesh, "tcp-together", 8, "blue:7000") == {"blue": 3, "": 5}
    assert stat(mesh, f"{STATS}-raw.upstream_cx_overflow") > before
    clear(mesh)
    assert count(mesh, "tcp-together", 8, "blue:7000") == {"blue": 8}


def test_active_checks_take_an_endpoint_away_and_bring_it_back(mesh):
    bad = "healthCheck: {path: '/status?code=500', intervalMillis: 200, timeoutMillis: 500, unhealthyThreshold: 1, healthyThreshold: 1}"
    apply(mesh, policy("blue", bad))
    mesh.wait_until(lambda: stat(mesh, f"{STATS}.health_check.failure") >= 3, PATIENCE, "checks that fail")
    assert stat(mesh, f"{STATS}.membership_healthy") == 0
    apply(mesh, policy("blue", bad.replace("500'", "200'").replace("timeoutMillis: 500", "timeoutMillis: 20000")))
    mesh.wait_until(lambda: stat(mesh, f"{STATS}.membership_healthy") == 3, PATIENCE, "three healthy endpoints")
    assert stat(mesh, f"{STATS}.health_check.success") >= 3
    assert ask(mesh, "http://blue/").status == 200


def attempts(mesh, url):
    """How often one request of the caller is sent."""
    before = stat(mesh, f"{STATS}.upstream_rq_total")
    assert ask(mesh, url).status == 503
    return stat(mesh, f"{STATS}.upstream_rq_total") - before


def test_a_retry_budget_that_is_spent_lets_no_request_be_sent_again(mesh):
    never = "outlierDetection: {maxServerErrors: 0}"
    apply(mesh, policy("blue", never))
    assert attempts(mesh, "http://blue/status?code=503") == 3
    apply(mesh, policy("blue", f"{never}, retryBudget: {{percent: 0, minConcurrency: 0}}"))
    before = stat(mesh, f"{STATS}.upstream_rq_retry_overflow")
    assert attempts(mesh, "http://blue/status?code=503") == 1
    assert stat(mesh, f"{STATS}.upstream_rq_retry_overflow") == before + 1
    apply(mesh, policy("blue", f"{never}, retryBudget: {{percent: 0, minConcurrency: 1}}"))
    assert attempts(mesh, "http://blue/status?code=503") == 3


@pytest.mark.slow("the window of the tasks that are there has to end first")
def test_a_new_task_starts_slowly(mesh):
    apply(mesh, policy("blue", "loadBalancing: {slowStart: {window: {unit: s, value: 10}, minWeightPercent: 10}}"))
    begun = time.monotonic()
    known = count(mesh, "http", 40, "http://blue/host")
    assert sorted(known.values()) == pytest.approx([40 / 3] * 3, abs=4)
    mesh.wait_until(lambda: time.monotonic() > begun + 10, 60, "the window's end")
    mesh.scale("blue", 4)
    mesh.wait_until(lambda: stat(mesh, f"{STATS}.membership_healthy") == 4, PATIENCE, "a fourth endpoint")
    found = count(mesh, "http", 200, "http://blue/host")
    assert sum(number for host, number in found.items() if host not in known) <= 44, "round robin's share is 50"
    mesh.scale("blue", 3)
    mesh.wait_steady()


def test_timeouts_retries_and_faults_of_a_policy_hold_for_every_route(mesh):
    apply(mesh, policy("blue", "timeout: {perRequest: {unit: ms, value: 200}}, retryPolicy: {maxRetries: 0}"))
    assert ask(mesh, "http://blue/slow?ms=2000").status == 504
    apply(mesh, policy("blue", "fault: {abort: {percent: 100, httpStatus: 418}}"))
    assert ask(mesh, "http://blue/").status == 418
    clear(mesh)
    assert ask(mesh, "http://blue/").status == 200
