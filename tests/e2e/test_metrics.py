"""The metrics of Service Connect against what a load generator has counted itself, on real Envoys, whatever is restarted meanwhile."""

import itertools
import signal
import sys
import time
from pathlib import Path

import pytest

from tests.e2e.next_agent import node_of, wait_next_agent
from tsunagu.signals import cloudwatch, flows, latency, made_by, windows
from tsunagu.testing import Mesh, Plan

pytestmark = [pytest.mark.e2e, pytest.mark.envoy]

APP = Path(__file__).with_name("echo_app.py")
PATIENCE = 60.0
numbers = itertools.count(1)
BETWEEN = 8.0  # seconds between two readings of one Envoy at most: 5, and 2 of spread, on a machine that is busy

MANIFEST = """
kind: TaskDefinition
family: {name}
networkMode: awsvpc
containerDefinitions:
- name: app
  image: {name}
  command: [{python}, {app}, "http:8080", "grpc:8090", "raw:9000"]
  portMappings:
  - {{name: http, containerPort: 8080, appProtocol: http}}
  - {{name: rpc, containerPort: 8090, appProtocol: grpc}}
  - {{name: raw, containerPort: 9000}}
---
kind: Service
serviceName: {name}
taskDefinition: {name}
desiredCount: {count}
serviceConnectConfiguration:
  enabled: true
  namespace: measured
  services:
  - {{portName: http, discoveryName: {name}-http, clientAliases: [{{port: 80, dnsName: {name}}}], timeout: {{perRequestTimeoutSeconds: {limit}}}}}
  - {{portName: rpc, discoveryName: {name}-rpc, clientAliases: [{{port: 90, dnsName: {name}}}]}}
  - {{portName: raw, discoveryName: {name}-raw, clientAliases: [{{port: 99, dnsName: {name}}}]}}
"""


@pytest.fixture(scope="module")
def mesh():
    with Mesh() as mesh:
        yield mesh


@pytest.fixture
def service(mesh, request):
    """A service of the test's own, with two tasks; its name. The parameter: after how many seconds a request is ended."""
    name = f"s{next(numbers)}"
    limit = getattr(request, "param", 15)  # as AWS has it; a shorter one ends requests on a busy machine
    mesh.apply(text=MANIFEST.format(name=name, python=sys.executable, app=APP, count=2, limit=limit))
    mesh.wait_steady()
    for port in (80, 90, 99):
        mesh.publish(name, port)
    yield name
    mesh.delete("Service", f"default/{name}")


def metrics(mesh, name, port):
    """The metrics of a discovery name over all of its callers, or all that serve it, by name."""
    found = mesh.apis.windows(service=f"default/{name}")
    dimension = f"{name}-{port}"
    return {
        one.metric.name: one.value
        for one in cloudwatch.data(found)
        if [value for _, value in one.dimensions] == [dimension]
    }


def flow(mesh, name, port, direction):
    """The sum of what was counted in that direction."""
    total = None
    for window in mesh.apis.windows(service=f"default/{name}"):
        if (window.flow.direction, window.flow.discovery_name) == (direction, f"{name}-{port}"):
            total = total or flows.empty(window.flow)
            flows.add(total, window.flow)
    return total


def wait_counted(mesh, name, expected, port="http", metric="HTTPCode_Target_2XX_Count"):
    """Wait until as many are counted; what is more never comes back."""
    mesh.wait_until(lambda: metrics(mesh, name, port).get(metric, 0) >= expected, PATIENCE, f"{expected} of {metric}")


def run(mesh, url, count, **plan):
    """A load of so many requests; its report."""
    rate = plan.pop("rps", 50.0)
    with mesh.load(url, Plan(late=60, rps=rate, seconds=count / rate, connections=8, **plan)) as load:
        return load.wait()


@pytest.mark.slow("five loads")
def test_requests_codes_and_latency_are_those_that_the_load_generator_counted(mesh, service):
    ok = run(mesh, f"http://{service}/", 150)
    moved = run(mesh, f"http://{service}/status/301", 40)
    missing = called(mesh, f"http://{service}/status/404", 30)
    broken = called(mesh, f"http://{service}/status/500", 3)  # five in a row would eject the endpoint
    slow = run(mesh, f"http://{service}/slow/0.2", 30, rps=10)
    assert (ok.succeeded, moved.succeeded, slow.succeeded) == (150, 40, 30)
    assert ({status for status, _ in missing}, {status for status, _ in broken}) == ({404}, {500})
    requests = ok.requests + moved.requests + len(missing) + len(broken) + slow.requests
    wait_counted(mesh, service, 180)
    wait_counted(mesh, service, requests, metric="RequestCount")
    mesh.wait_until(lambda: timed(mesh, service) >= requests, PATIENCE, "the time of each request")
    found = metrics(mesh, service, "http")
    assert {name: found[f"HTTPCode_Target_{name}_Count"] for name in ("2XX", "3XX", "4XX", "5XX")} == {
        "2XX": ok.succeeded + slow.succeeded,
        "3XX": moved.succeeded,
        "4XX": 30,
        "5XX": 3,
    }
    assert found["RequestCount"] == requests
    assert found["RequestCountPerTarget"] == requests / 2
    assert "GrpcRequestCount" not in found
    seen = flow(mesh, service, "http", flows.EGRESS).latency
    assert latency.count(seen) == requests
    # More than a hundredth of them wait for 0.2 s in the app, and to Envoy none takes longer than to whoever sent it; a bucket is at
    # most a tenth as wide as its value.
    longest = max(*(load.latency(100) for load in (ok, moved, slow)), *(seconds for _, seconds in (*missing, *broken)))
    assert 0.2 <= latency.percentile(seen, 0.99) <= 1.1 * longest + 0.001


def called(mesh, url, count):
    """Status and seconds of so many calls, one after the other."""
    found = []
    for _ in range(count):
        begun = time.monotonic()
        found.append((mesh.call(url).status, time.monotonic() - begun))
    return found


def timed(mesh, name):
    return latency.count(flow(mesh, name, "http", flows.EGRESS).latency)


@pytest.mark.slow("a reading comes every 5 s")
def test_grpc_requests(mesh, service):
    report = run(mesh, f"grpc://{service}:90/test.Echo/Say", 60)
    assert report.failed == 0, report
    wait_counted(mesh, service, report.requests, "rpc", "GrpcRequestCount")
    wait_counted(mesh, service, report.requests, "rpc", "RequestCount")
    found = metrics(mesh, service, "rpc")
    assert found["GrpcRequestCount"] == found["RequestCount"] == report.requests
    assert not any(name.startswith("HTTPCode_Target") for name in found)


@pytest.mark.slow("a reading comes every 5 s")
def test_connections_and_bytes_of_tcp(mesh, service):
    sent = b"twelve bytes\n"
    with mesh.load(
        f"tcp://{service}:99", Plan(late=60, rps=50, seconds=1, send=sent, label=lambda answer: str(len(answer.body)))
    ) as load:
        report = load.wait()
    assert report.failed == 0, report
    received = sum(int(size) * count for size, count in report.labels.items())
    wait_counted(mesh, service, report.requests, "raw", "NewConnectionCount")
    processed = report.requests * len(sent) + received
    for metric in ("ProcessedBytes", "TargetProcessedBytes"):
        wait_counted(mesh, service, processed, "raw", metric)
    found = metrics(mesh, service, "raw")
    assert found["NewConnectionCount"] == report.requests
    assert found["ProcessedBytes"] == processed
    assert found["TargetProcessedBytes"] == processed
    assert "RequestCount" not in found


@pytest.mark.slow("four requests time out")
@pytest.mark.parametrize("service", [2], indirect=True)
def test_what_a_proxy_answers_is_no_response_of_a_target(mesh, service):
    mesh.scale(service, 1)
    mesh.wait_steady()
    mesh.wait_until(lambda: len(mesh.tasks(service)) == 1, PATIENCE, "one task")
    mesh.kill(f"app:{service}", signal.SIGSTOP)
    try:
        report = run(mesh, f"http://{service}/", 4, rps=4)
    finally:
        mesh.kill(f"app:{service}", signal.SIGCONT)
    assert report.failures == {"504": 4}
    mesh.wait_until(lambda: errors(mesh, service) >= 4, PATIENCE, "the timeouts")
    assert errors(mesh, service) == 4
    assert metrics(mesh, service, "http")["HTTPCode_Target_5XX_Count"] == 0


def errors(mesh, name):
    counted = flow(mesh, name, "http", flows.EGRESS)
    return made_by.proxy_errors(counted) if counted else 0


@pytest.mark.slow("it is loaded before and after, and read again")
@pytest.mark.parametrize("what", ["node", "serve"])
def test_a_killed_process_of_the_mesh_costs_no_count(mesh, service, what):
    with mesh.load(f"http://{service}/", Plan(late=60, rps=50, connections=8)) as load:
        load.wait_requests(300, PATIENCE)  # over more than one reading
        before, node = getattr(mesh.processes(), what).pid, node_of(mesh)
        mesh.kill(what)
        mesh.wait_until(lambda: is_back(mesh, what, before), PATIENCE, f"another {what}")
        if what == "node":
            wait_next_agent(mesh, node)
        load.wait_requests(300, PATIENCE)
        report = load.stop()
    assert report.failed == 0, report
    wait_counted(mesh, service, report.succeeded)
    wait_counted(mesh, service, report.requests, metric="RequestCount")
    found = metrics(mesh, service, "http")
    assert found["HTTPCode_Target_2XX_Count"] == report.succeeded
    assert found["RequestCount"] == report.requests


def is_back(mesh, what, before):
    process = getattr(mesh.processes(), what)
    return process is not None and process.pid != before and mesh.answers()


@pytest.mark.slow("it is loaded before and after, and read again")
def test_a_killed_envoy_costs_its_last_seconds_and_its_callers_nothing(mesh, service):
    """Of the target's Envoy what it counted since it was read; the metrics of targets are counted by callers."""
    rate = 50
    with mesh.load(f"http://{service}/", Plan(late=60, rps=rate, connections=8)) as load:
        load.wait_requests(400, PATIENCE)
        mesh.kill(f"envoy:{service}")
        load.wait_requests(400, PATIENCE)
        report = load.stop()
    wait_counted(mesh, service, report.succeeded)
    broken_off = report.failures.get("connection lost", 0)  # answers that had begun: the app gave them
    assert 0 <= metrics(mesh, service, "http")["HTTPCode_Target_2XX_Count"] - report.succeeded <= broken_off
    ended = time.time()
    mesh.wait_until(lambda: read_after(mesh, service, ended), PATIENCE, "the last readings")
    served = metrics(mesh, service, "http")["RequestCount"]
    attempts = flow(mesh, service, "http", flows.EGRESS).attempts
    assert attempts - rate * BETWEEN <= served <= attempts


def read_after(mesh, name, moment):
    """Whether both tasks of the service were read after that moment (seconds since the epoch)."""
    found = mesh.apis.windows(service=f"default/{name}", by_task=True, step=1.0, since=60.0)
    served = {one.source.task for one in found if one.flow.direction == flows.INGRESS and one.start > moment}
    return len(served) == 2


@pytest.mark.slow("a reading comes every 5 s")
def test_a_task_that_stops_in_order_is_read_to_the_end(mesh, service):
    report = run(mesh, f"http://{service}/", 200, rps=100)
    mesh.delete("Service", f"default/{service}")
    mesh.wait_until(lambda: not mesh.tasks(service), PATIENCE, "the end of its tasks")
    mesh.wait_until(
        lambda: metrics(mesh, service, "http").get("RequestCount") == report.requests, PATIENCE, "all requests"
    )


def test_a_service_without_samples_has_no_data(mesh):
    found = mesh.apis.windows(service="default/nobody")
    assert found == []
    assert cloudwatch.data(found) == []


def test_each_edge_tells_of_its_caller(mesh, service):
    report = run(mesh, f"http://{service}/", 20)
    wait_counted(mesh, service, report.succeeded)
    callers = {
        windows.service_of(one.source)
        for one in mesh.apis.windows(service=f"default/{service}")
        if one.flow.direction == flows.EGRESS
    }
    assert callers
    assert all(name.startswith("gateway:") for name in callers)
