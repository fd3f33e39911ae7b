"""`freeze: deployment` is AWS's behaviour: a task sees the names that there were at its own deployment. Beside it, live names.

Two namespaces of one mesh are treated alike; they differ in `freeze` alone.
"""

import json
import sys
from pathlib import Path

import pytest

from tests.e2e.commands import tsunagu
from tests.e2e.connect_manifests import definition, offer, service, text
from tsunagu.model.ids import task_id
from tsunagu.testing import CallFailed, Mesh

pytestmark = [pytest.mark.e2e, pytest.mark.envoy]

COLD, WARM = "cold", "warm"
HTTP, RPC = ("http", "http", 8080), ("rpc", "grpc", 8081)
PROGRAM = str(Path(__file__).parent / "grpc_client.py")


def client(namespace):
    return service(f"{namespace}-web", {"namespace": namespace})


def server(namespace, name):
    offers = [offer("http", name, discoveryName=name), offer("rpc", f"{name}-rpc", discoveryName=f"{name}-rpc")]
    return service(f"{namespace}-{name}", {"namespace": namespace, "services": offers})


def definitions(*names):
    return [definition(f"{namespace}-{name}", HTTP, RPC) for namespace in (COLD, WARM) for name in names]


@pytest.fixture(scope="module")
def mesh():
    with Mesh() as running:
        namespaces = [{"kind": "Namespace", "name": COLD, "freeze": "deployment"}, {"kind": "Namespace", "name": WARM}]
        servers = [server(namespace, "orders") for namespace in (COLD, WARM)]
        clients = [client(namespace) for namespace in (COLD, WARM)]
        running.apply(text=text(*namespaces, *definitions("web", "orders"), *servers, *clients))
        running.wait_steady()
        late = [server(namespace, "late") for namespace in (COLD, WARM)]
        running.apply(text=text(*definitions("late"), *late))
        running.wait_steady()
        yield running


def answers(mesh, task, name):
    """The name of the task that answers; None when the name is not known there."""
    if mesh.execute(task, "getent", "hosts", name).exit_code:
        return None
    return mesh.call(f"http://{name}/", from_task=task).json()["task"]


def vip(mesh, namespace, name):
    return mesh.get("VirtualAddress", f"{namespace}/{name}").virtual_address.ip


def ids(mesh, service):
    return [task_id(task) for task in mesh.tasks(service) if task.task.status.last_status == "RUNNING"]


def test_what_was_applied_together_is_seen_by_all(mesh):
    assert answers(mesh, "cold-web", "orders") == ids(mesh, "cold-orders")[0]
    assert answers(mesh, "warm-web", "orders") == ids(mesh, "warm-orders")[0]


def test_a_name_that_came_later_is_seen_where_names_are_live_and_only_there(mesh):
    assert answers(mesh, "warm-web", "late") == ids(mesh, "warm-late")[0]
    assert answers(mesh, "cold-web", "late") is None
    assert answers(mesh, "cold-late", "late") == ids(mesh, "cold-late")[0]  # it was deployed with it
    assert answers(mesh, "cold-late", "orders") == ids(mesh, "cold-orders")[0]


def test_describe_says_what_is_not_seen_and_what_aws_would_not_show(mesh):
    assert "its tasks do not see late-rpc:80, late:80" in tsunagu(mesh, "describe", "service", "cold-web")
    assert "its tasks would not see late-rpc:80, late:80, which came after its deployment" in tsunagu(
        mesh, "describe", "service", "warm-web"
    )
    assert "late:80, which" not in tsunagu(mesh, "describe", "service", "warm-late")


def test_the_proxy_does_not_know_the_name_either(mesh):
    listeners = {task: mesh.envoy(task, "/listeners?format=text").text for task in ("cold-web", "warm-web")}
    assert "alias/warm/late:80" in listeners["warm-web"]
    assert "alias/cold/orders:80" in listeners["cold-web"]
    assert "late" not in listeners["cold-web"]
    with pytest.raises(CallFailed):  # accepted by the capture listener, and closed
        mesh.call(f"http://{vip(mesh, COLD, 'late')}/", from_task="cold-web")
    assert mesh.call(f"http://{vip(mesh, WARM, 'late')}/", from_task="warm-web").status == 200


def test_a_grpc_client_in_a_task_sees_what_the_task_sees(mesh):
    def code(task, target, seconds=60):
        done = mesh.execute(task, sys.executable, PROGRAM, target, stdin=f"{seconds}\n".encode(), timeout=90)
        return json.loads(done.stdout)[target]["code"]

    assert code("warm-web", "xds:///late-rpc:80") == "OK"
    assert code("cold-web", "xds:///late-rpc:80", 3) == code("cold-web", "xds:///nobody:80", 3) != "OK"
    assert code("cold-web", "xds:///orders-rpc:80") == "OK"


def test_a_task_that_is_added_within_the_deployment_has_the_same_names(mesh):
    first = set(ids(mesh, "cold-web"))
    mesh.scale("cold-web", 2)
    mesh.wait_steady()
    [added] = set(ids(mesh, "cold-web")) - first
    assert answers(mesh, added, "late") is None
    assert answers(mesh, added, "orders") is not None
    mesh.scale("cold-web", 1)


def test_the_tasks_behind_a_known_name_are_live(mesh):
    mesh.scale("cold-orders", 2)
    mesh.wait_steady()
    seen = {answers(mesh, "cold-web", "orders") for _ in range(4)}
    assert seen == set(ids(mesh, "cold-orders"))


def test_a_new_deployment_of_the_caller_sees_the_names_that_there_are_by_then(mesh):
    assert answers(mesh, "cold-web", "late") is None
    tsunagu(mesh, "restart", "cold-web")
    mesh.wait_steady()
    assert answers(mesh, "cold-web", "late") == ids(mesh, "cold-late")[0]


def test_the_control_plane_s_restart_changes_nothing_of_what_is_seen(mesh):
    before = {(task, name): answers(mesh, task, name) for task in ("cold-orders", "warm-web") for name in ("late",)}
    assert before["cold-orders", "late"] is None
    mesh.kill("serve")
    mesh.wait_until(mesh.answers, 60, "the control plane")
    mesh.wait_converged()
    after = {key: answers(mesh, *key) for key in before}
    assert after == before
    assert "late" not in mesh.envoy("cold-orders", "/listeners?format=text").text
