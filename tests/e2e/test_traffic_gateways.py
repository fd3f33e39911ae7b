"""A gateway's port with routes by host and path, with and without TLS, from outside of the mesh."""

import http.client
import json
import ssl
from contextlib import closing

import pytest

from tests.e2e.traffic_lab import PATIENCE, apply, lab, service, stat
from tests.golden.test_golden import certify
from tsunagu.model.ids import task_id
from tsunagu.testing import Mesh, Plan
from tsunagu.testing.ports import free_port

pytestmark = [pytest.mark.e2e, pytest.mark.envoy]

ROUTES = """
{kind: Route, name: lab/find, gateway: front, hosts: [shop.example.com], match: {prefix: /find/},
 action: {weightedTargets: [{target: green}], rewrite: {prefix: /}}}
---
{kind: Route, name: lab/shop, gateway: front, hosts: [shop.example.com], action: {weightedTargets: [{target: blue}]}}
---
{kind: Route, name: lab/health, gateway: front, priority: 0, match: {path: {exact: /health}},
 action: {fixedResponse: {statusCode: 200, body: ok}}}
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("certificates")
    certify(folder / "shop.crt", folder / "shop.key")
    return folder


@pytest.fixture(scope="module")
def ports():
    return free_port(), free_port()


@pytest.fixture(scope="module")
def mesh(files, ports):
    plain, secure = ports
    tls = f"tls: {{certificateChain: {files}/shop.crt, privateKey: {files}/shop.key}}"
    listening = f"[{{hostPort: {plain}}}, {{hostPort: {secure}, {tls}}}]"
    front = f"{{kind: Gateway, name: front, namespace: lab, accessLog: {{format: JSON}}, ports: {listening}}}"
    with Mesh() as mesh:
        mesh.apply(text="\n---\n".join((lab(service("blue"), service("green")), front, ROUTES)))
        mesh.wait_steady()
        mesh.wait_until(lambda: gateway_of(mesh), PATIENCE, "the gateway's task")
        mesh.wait_converged()
        yield mesh


def gateway_of(mesh):
    """ID of the gateway's task, once it is RUNNING."""
    tasks = (task for task in mesh.tasks() if task.task.spec.gateway == "front")
    return next((task_id(task) for task in tasks if task.task.status.last_status == "RUNNING"), "")


def ask(port, path, host="shop.example.com", context=None, **headers):
    made = http.client.HTTPConnection if context is None else http.client.HTTPSConnection
    more = {} if context is None else {"context": context}
    connection = made("127.0.0.1", port, timeout=20, **more)
    with closing(connection):
        connection.request("GET", path, headers={"host": host, **headers})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


def test_routes_by_host_and_path(mesh, ports):
    port = ports[0]
    assert ask(port, "/") == (200, "blue")
    assert ask(port, "/find/x") == (200, "green")
    assert ask(port, "/health", host="anything.test") == (200, "ok")
    assert ask(port, "/", host="anything.test")[0] == 404
    assert ask(port, "/", host=f"shop.example.com:{port}") == (200, "blue")


def test_tls_with_a_certificate_from_files(mesh, ports, files):
    trusting = ssl.create_default_context(cafile=files / "shop.crt")
    trusting.check_hostname = False  # one calls 127.0.0.1 here
    assert ask(ports[1], "/find/x", context=trusting) == (200, "green")
    told = json.loads(ask(ports[1], "/?tell=1", context=trusting)[1])
    assert {name.lower(): value for name, value in told["headers"].items()}["x-forwarded-proto"] == "https"
    with pytest.raises(ssl.SSLError):
        ask(ports[1], "/", context=ssl.create_default_context())


def test_what_comes_in_is_forwarded_with_where_it_came_from(mesh, ports):
    told = json.loads(ask(ports[0], "/?tell=1", **{"x-forwarded-for": "192.0.2.7"})[1])
    headers = {name.lower(): value for name, value in told["headers"].items()}
    assert headers["x-forwarded-for"].startswith("192.0.2.7,")
    assert headers["x-forwarded-proto"] == "http"
    assert headers["x-request-id"]


def test_the_gateway_logs_what_it_answers(mesh, ports):
    ask(ports[0], "/find/logged")
    task = gateway_of(mesh)
    mesh.wait_until(
        lambda: any('"/find/logged"' in line for line in mesh.logs(task, "envoy")), PATIENCE, "a line of the access log"
    )


def test_routes_change_under_load_without_a_loss_and_no_listener_is_touched(mesh, ports):
    task = gateway_of(mesh)
    updates = ("listener_modified", "listener_removed", "listener_in_place_updated")
    before = [stat(mesh, f"listener_manager.{name}", task) for name in updates]
    lead(mesh, "blue")
    with mesh.load(f"http://127.0.0.1:{ports[0]}/", Plan(late=60, rps=100, connections=10)) as on:
        for target in ("green", "blue", "green", "blue"):
            lead(mesh, target)
            on.wait_requests(40)
        report = on.stop()
    assert report.failed == 0, report
    assert [stat(mesh, f"listener_manager.{name}", task) for name in updates] == before


def lead(mesh, target):
    """Have every request of every host go there."""
    apply(mesh, f"{{kind: Route, name: lab/all, gateway: front, action: {{weightedTargets: [{{target: {target}}}]}}}}")
