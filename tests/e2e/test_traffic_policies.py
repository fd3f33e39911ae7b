"""What a TrafficPolicy does to real requests and connections: seen in what callers got, and in Envoy's stats."""

import threading
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
    by_user = {user: hosts(mesh, 6, headers={"x-user": user}) for user in ("ada", "ben", "cyd", "dov", "eva", "fay")}
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


def test_a_limit_of_requests_is_of_grpc(mesh):
    apply(mesh, policy("blue-rpc", "connectionPool: {grpc: {maxRequests: 7}}"))
    (threshold,) = cluster(mesh, "svc/lab/blue-rpc")["circuit_breakers"]["thresholds"]
    assert threshold["max_requests"] == 7
    assert count(mesh, "grpc", 40, "blue:9000") == {"blue": 40}


def test_a_limit_of_connections_is_of_tcp(mesh):
    apply(mesh, policy("blue-raw", "connectionPool: {tcp: {maxConnections: 9}}"))
    (threshold,) = cluster(mesh, "svc/lab/blue-raw")["circuit_breakers"]["thresholds"]
    assert threshold["max_connections"] == 9
    assert count(mesh, "tcp", 40, "blue:7000") == {"blue": 40}


def test_active_checks_take_an_endpoint_away_and_bring_it_back(mesh):
    bad = "healthCheck: {path: '/status?code=500', intervalMillis: 200, timeoutMillis: 500, unhealthyThreshold: 1, healthyThreshold: 1}"
    apply(mesh, policy("blue", bad))
    mesh.wait_until(lambda: stat(mesh, f"{STATS}.health_check.failure") >= 3, PATIENCE, "checks that fail")
    assert stat(mesh, f"{STATS}.membership_healthy") == 0
    apply(mesh, policy("blue", bad.replace("500'", "200'")))
    mesh.wait_until(lambda: stat(mesh, f"{STATS}.membership_healthy") == 3, PATIENCE, "three healthy endpoints")
    assert stat(mesh, f"{STATS}.health_check.success") >= 3
    assert ask(mesh, "http://blue/").status == 200


def test_a_retry_budget_and_slow_start_are_envoys(mesh):
    apply(
        mesh,
        policy(
            "blue",
            "retryBudget: {percent: 25, minConcurrency: 4}, loadBalancing: {slowStart: {window: {unit: s, value: 30}, minWeightPercent: 20}}",
        ),
    )
    found = cluster(mesh, "svc/lab/blue")
    budget = found["circuit_breakers"]["thresholds"][0]["retry_budget"]
    assert (budget["budget_percent"]["value"], budget["min_retry_concurrency"]) == (25, 4)
    start = found["round_robin_lb_config"]["slow_start_config"]
    assert (start["slow_start_window"], start["min_weight_percent"]["value"]) == ("30s", 20)


def test_timeouts_retries_and_faults_of_a_policy_hold_for_every_route(mesh):
    apply(mesh, policy("blue", "timeout: {perRequest: {unit: ms, value: 200}}, retryPolicy: {maxRetries: 0}"))
    assert ask(mesh, "http://blue/slow?ms=2000").status == 504
    apply(mesh, policy("blue", "fault: {abort: {percent: 100, httpStatus: 418}}"))
    assert ask(mesh, "http://blue/").status == 418
    clear(mesh)
    assert ask(mesh, "http://blue/").status == 200
