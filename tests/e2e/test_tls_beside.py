"""TLS beside everything else that changes how calls are led: Routes, roll-outs, deployments, zones, checks, ejection, traces.

Every namespace here is strict from its beginning, so what a test counts has gone over TLS: there is no other ingress.
"""

import contextlib
import signal
from collections import Counter

import pytest

from benchmarks.deployed import present
from tests.e2e.commands import tsunagu
from tests.e2e.test_mutual_tls import listeners
from tests.e2e.test_tracing import all_spans, app, trace_of
from tests.e2e.test_traffic_weights import revisions
from tests.e2e.traffic_lab import PATIENCE, apply, ask, clear, lab, policy, route, service, stat, told
from tsunagu.model.ids import task_id
from tsunagu.testing import Mesh, Plan

pytestmark = [pytest.mark.e2e, pytest.mark.envoy]

STRICT = "{{kind: Namespace, name: {}, tls: strict{}}}\n"
TRACED = "---".join(
    (
        STRICT.format("seen", ", tracing: {collector: otel:4317}"),
        app("front", ["relay", "8000", "http://back:8001/"], 8000, "http"),
        app("back", ["relay", "8001"], 8001, "http"),
        app("otel", ["collect", "4317"], 4317, "grpc"),
    )
)
PAUSED = "strategy: BLUE_GREEN, bakeTimeInMinutes: 0, lifecycleHooks: [{targetType: PAUSE, lifecycleStages: [POST_TEST_TRAFFIC_SHIFT]}]"
ROLLING = "minimumHealthyPercent: 100, maximumPercent: 150"
TEST = {"x-amzn-ecs-blue-green-test": "1"}
STATS = "cluster.svc/lab/blue"
PLANS = {
    "http://blue/": Plan(rps=100, late=60, label=lambda answer: answer.text),
    "grpc://blue:9000/tsunagu.test.Echo/Say": Plan(rps=60, late=60),
    "tcp://blue:7000": Plan(rps=60, late=60, send=b"hello\n"),
}


@pytest.fixture(scope="module")
def mesh():
    with Mesh(zones=("a", "b")) as mesh:
        strict = lab(service("blue", "1", count=2), service("green")).replace(
            "{kind: Namespace, name: lab}", STRICT.format("lab", "")
        )
        mesh.apply(text=f"{strict}\n---\n{TRACED}")
        mesh.wait_steady()
        for port in (80, 9000, 7000):
            mesh.publish("blue", port)
        mesh.publish("front", 8000)
        yield mesh


@pytest.fixture
def clean(mesh):
    yield
    clear(mesh)


@pytest.fixture(scope="module", autouse=True)
def traced(mesh):
    """A call's traceparents, which come first: Envoy keeps spans for five seconds."""
    return mesh.call("http://front:8000/").json()


@contextlib.contextmanager
def no_request_fails(mesh):
    """Three loads without retries for as long as the block lasts; yields that of http."""
    apply(mesh, *(policy(name, "retryPolicy: {maxRetries: 0}") for name in ("blue", "blue-rpc")))
    with contextlib.ExitStack() as stack:
        loads = {url: stack.enter_context(mesh.load(url, plan)) for url, plan in PLANS.items()}
        yield loads["http://blue/"]
        for load in loads.values():
            load.wait_requests(30)
        reports = {url: load.stop() for url, load in loads.items()}
    assert {url: (one.failed, one.first_failure) for url, one in reports.items()} == dict.fromkeys(reports, (0, ""))


def answers(load, number=40):
    """The answers of the next requests of a load."""
    load.wait_requests(10)  # those that were under way
    before = Counter(load.report().labels)
    return Counter(load.wait_requests(number).labels) - before


def split(*targets):
    return route("split", f"action: {{weightedTargets: [{', '.join(targets)}]}}", "'blue:80'")


def pinned(mesh, version):
    return f"{{target: blue, revision: {revisions(mesh)[version].rpartition('/')[2]}, weight: 1}}"


# -- a caller ---------------------------------------------------------------------------------------------------------


def test_a_call_stays_in_the_zone_of_its_caller(mesh):
    zone = mesh.task("caller").task.spec.zone
    [near] = [task for task in mesh.tasks("blue") if task.task.spec.zone == zone]
    [host] = {told(mesh, "http://blue/")["host"] for _ in range(8)}
    assert host == told_by(mesh, near)
    assert all(listeners(mesh, task) == {"tls"} for task in mesh.tasks("blue"))


def told_by(mesh, task):
    """The name that a task's app answers with."""
    return mesh.execute(task_id(task), "hostname").text.strip()


def test_active_checks_are_made_over_tls_and_leave_out_who_does_not_answer(mesh, clean):
    check = (
        "healthCheck: {path: /, intervalMillis: 200, timeoutMillis: 300, unhealthyThreshold: 1, healthyThreshold: 1}"
    )
    apply(mesh, policy("blue", check))
    mesh.wait_until(lambda: stat(mesh, f"{STATS}.health_check.success") >= 4, PATIENCE, "checks that succeed")
    assert stat(mesh, f"{STATS}.membership_healthy") == 2
    zone = mesh.task("caller").task.spec.zone
    [near] = [task for task in mesh.tasks("blue") if task.task.spec.zone == zone]
    [far] = [task for task in mesh.tasks("blue") if task.task.spec.zone != zone]
    hung = f"app:{task_id(near)}"
    mesh.kill(hung, signal.SIGSTOP)
    try:
        mesh.wait_until(lambda: stat(mesh, f"{STATS}.membership_healthy") == 1, PATIENCE, "one healthy endpoint")
        assert {told(mesh, "http://blue/")["host"] for _ in range(6)} == {told_by(mesh, far)}
    finally:
        mesh.kill(hung, signal.SIGCONT)
    mesh.wait_until(lambda: stat(mesh, f"{STATS}.membership_healthy") == 2, PATIENCE, "two healthy endpoints")
    assert stat(mesh, f"{STATS}.ssl.connection_error") == 0


def test_a_task_that_fails_is_ejected_and_the_other_serves(mesh, clean):
    base = "outlierDetection: {maxServerErrors: 2, interval: {unit: s, value: 1}, baseEjectionDuration: {unit: s, value: 30}}"
    apply(mesh, policy("blue", f"{base}, retryPolicy: {{maxRetries: 0}}"))
    ejections = f"{STATS}.outlier_detection.ejections_enforced_total"
    before = stat(mesh, ejections)
    near = told(mesh, "http://blue/")["host"]
    for _ in range(2):
        assert ask(mesh, "http://blue/status?code=500").status == 500
    assert stat(mesh, ejections) == before + 1
    assert near not in {told(mesh, "http://blue/")["host"] for _ in range(6)}


# -- what is called changes -------------------------------------------------------------------------------------------


@pytest.mark.slow("two tasks are replaced by turns, under three loads")
def test_a_rolling_deployment_behind_a_route_loses_no_request(mesh, clean):
    [old] = serving(mesh)
    with no_request_fails(mesh) as load:
        apply(mesh, split("{target: blue, weight: 2}", "{target: green, weight: 1}"))
        assert set(answers(load)) == {old, "green"}
        mesh.apply(text=service("blue", "2", count=2))
        mesh.wait_until(lambda: serving(mesh) == {"2": 2}, PATIENCE, "two new tasks, and no old one")
        mesh.wait_steady()
        assert set(answers(load)) == {"2", "green"}
    assert all(listeners(mesh, task) == {"tls"} for task in mesh.tasks("blue"))


def serving(mesh):
    """Version -> how many tasks of it there are."""
    tasks = mesh.tasks("blue")
    names = {revision: version for version, revision in revisions(mesh).items()}
    return Counter(names.get(task.task.spec.service_revision) for task in tasks)


@pytest.mark.slow("a deployment that is paused, under three loads")
def test_a_blue_green_deployment_loses_no_request_and_routes_lead_to_either_revision(mesh, clean):
    [old] = serving(mesh)
    with no_request_fails(mesh) as load:
        mesh.apply(text=service("blue", "3", count=2).replace(ROLLING, PAUSED))
        mesh.wait_until(lambda: stage(mesh) == "POST_TEST_TRAFFIC_SHIFT", PATIENCE, "the pause")
        mesh.wait_converged()
        assert {mesh.call("http://blue/", headers=TEST).text for _ in range(10)} == {"3"}
        assert set(answers(load)) == {old}
        apply(mesh, split(pinned(mesh, old), pinned(mesh, "3")))
        assert set(answers(load)) == {old, "3"}
        apply(mesh, split(pinned(mesh, "3")))
        assert set(answers(load)) == {"3"}
        clear_routes(mesh)
        tsunagu(mesh, "deployment", "continue", "blue")
        mesh.wait_until(lambda: serving(mesh) == {"3": 2}, PATIENCE, "two new tasks, and no old one")
        mesh.wait_steady()
        assert set(answers(load)) == {"3"}
    assert present(mesh, "blue").status == "SUCCESSFUL"


def stage(mesh):
    return present(mesh, "blue").lifecycle_stage


def clear_routes(mesh):
    mesh.delete("Route", "lab/split")
    mesh.wait_converged()


# -- traces -----------------------------------------------------------------------------------------------------------


def test_spans_reach_the_collector_over_tls_and_are_one_trace(mesh, traced):
    assert all(listeners(mesh, mesh.task(name)) == {"tls"} for name in ("front", "back", "otel"))
    first, second = traced["traceparent"], traced["next"]["traceparent"]
    assert trace_of(first) == trace_of(second)
    found = all_spans(mesh, trace_of(first))
    root, asks, asked = found["front", "server"], found["front", "client"], found["back", "server"]
    assert (root["parent"], asks["parent"], asked["parent"]) == ("", root["span"], asks["span"])
