"""Whose failures are counted as whose, on real Envoys: an app's, its proxy's, or the caller's proxy's; each once."""

import sys
from pathlib import Path

import pytest

from tsunagu.signals import flows, made_by, windows
from tsunagu.testing import Mesh, Plan

pytestmark = [pytest.mark.e2e, pytest.mark.envoy]

APP = Path(__file__).with_name("moody_app.py")
PATIENCE = 60.0
MANIFEST = f"""
kind: TaskDefinition
family: moody
networkMode: awsvpc
containerDefinitions:
- name: app
  image: moody
  command: ["{sys.executable}", "{APP}", "8080", "8090"]
  portMappings:
  - {{name: http, containerPort: 8080, appProtocol: http}}
  - {{name: rpc, containerPort: 8090, appProtocol: grpc}}
---
kind: Service
serviceName: moody
taskDefinition: moody
desiredCount: 1
serviceConnectConfiguration:
  enabled: true
  namespace: moods
  services:
  - {{portName: http, clientAliases: [{{port: 80, dnsName: moody}}]}}
  - {{portName: rpc, clientAliases: [{{port: 90, dnsName: moody}}]}}
"""


@pytest.fixture
def mesh():
    with Mesh() as mesh:
        mesh.apply(text=MANIFEST)
        mesh.wait_steady()
        mesh.publish("moody", 80)
        mesh.publish("moody", 90)
        yield mesh


def run(mesh, url, count):
    with mesh.load(url, Plan(late=60, rps=20, seconds=count / 20, connections=2)) as load:
        report = load.wait()
    assert report.requests == count
    return report


def flow(mesh, name, direction):
    total = None
    for window in mesh.apis.windows(service="default/moody"):
        if (window.flow.direction, window.flow.discovery_name) == (direction, name):
            total = total or flows.empty(window.flow)
            flows.add(total, window.flow)
    return total


def counted(mesh, name, direction, requests):
    """The flow, once it has so many requests that ended."""

    def found():
        seen = flow(mesh, name, direction)
        return seen if seen is not None and windows.ended(seen) >= requests else None

    return mesh.wait_until(found, PATIENCE, f"{requests} requests {direction} of {name}")


@pytest.mark.slow("readings come every 5 s")
def test_grpc_statuses_of_the_app(mesh):
    assert run(mesh, "grpc://moody:90/x.Y/OK", 20).failed == 0
    assert run(mesh, "grpc://moody:90/x.Y/NOT_FOUND", 10).failures == {"NOT_FOUND": 10}
    for direction in (flows.EGRESS, flows.INGRESS):
        seen = counted(mesh, "rpc", direction, 30)
        assert made_by.app_grpc_failures(seen) == windows.errors(seen) == 10
        assert made_by.proxy_errors(seen) == 0
        assert windows.ended(seen) == 30
    assert flow(mesh, "rpc", flows.INGRESS).grpc_requests == 30


@pytest.mark.slow("readings come every 5 s")
def test_an_app_that_is_dead_behind_its_proxy(mesh):
    assert run(mesh, "http://moody/status/503", 2).failures == {"503": 2}  # the app's own; each is retried twice
    assert run(mesh, "http://moody/deaf", 1).failed == 0
    assert run(mesh, "http://moody/", 3).failures == {"503": 3}
    assert run(mesh, "grpc://moody:90/x.Y/OK", 3).failures == {"UNAVAILABLE": 3}
    called = counted(mesh, "http", flows.EGRESS, 6)
    assert (made_by.app_responses(called, 2), made_by.app_responses(called, 5)) == (1, 2)
    assert made_by.proxy_errors(called) == 3
    assert windows.errors(called) == 5
    told = {flag.proxy_error for flag in called.flags if made_by.is_error(flag)}
    assert "connection_refused" in told or any(flag.flags.startswith("UH") for flag in called.flags), called
    by_rpc = counted(mesh, "rpc", flows.EGRESS, 3)
    assert made_by.app_grpc_failures(by_rpc) == 0, by_rpc
    assert made_by.proxy_errors(by_rpc) == windows.errors(by_rpc) == windows.ended(by_rpc) == 3


@pytest.mark.slow("readings come every 5 s")
def test_a_caller_learns_that_a_proxy_answered_and_not_the_app(mesh):
    assert "proxy-status" not in mesh.call("http://moody/status/500").headers
    mesh.call("http://moody/deaf")
    answer = mesh.call("http://moody/")
    assert (answer.status, answer.headers["proxy-status"]) == (503, "tsunagu; error=connection_refused")


@pytest.mark.slow("readings come every 5 s")
def test_an_ejection_is_seen_by_whoever_decides_by_traffic(mesh):
    mesh.scale("moody", 2)
    mesh.wait_steady()
    run(mesh, "http://moody/status/500", 20)  # five in a row of one endpoint
    seen = mesh.wait_until(lambda: ejected(mesh), PATIENCE, "an ejection")
    assert seen.ejections == seen.ejections_active == 1


def ejected(mesh):
    found = [one.flow for one in mesh.apis.windows(service="default/moody") if one.flow.direction == flows.EGRESS]
    return next((flow for flow in found if flow.ejections_active), None)
