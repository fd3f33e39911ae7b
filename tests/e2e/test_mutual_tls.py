"""TLS between tasks on real Envoys: the modes of a namespace, what is refused in which, and that a change of mode is not felt."""

import contextlib

import pytest

from tests.e2e.traffic_lab import PATIENCE, lab, service
from tsunagu.model.ids import task_id
from tsunagu.testing import Mesh, Plan

pytestmark = [pytest.mark.e2e, pytest.mark.envoy]

PORTS = {"blue", "blue-rpc", "blue-raw"}
RATE = 200 / 3  # requests a second of each protocol


@pytest.fixture(scope="module")
def mesh():
    with Mesh() as mesh:
        mesh.apply(text=lab(service("blue", count=2)))
        mesh.wait_steady()
        for port in (80, 9000, 7000):
            mesh.publish("blue", port)
        yield mesh


def say(mesh, mode):
    """Set the mode, and wait until it is in force."""
    mesh.apply(text=f"{{kind: Namespace, name: lab, tls: {mode}}}")
    mesh.wait_until(lambda: in_force(mesh, mode), PATIENCE, f"mode {mode} in force: {states(mesh)}")
    mesh.wait_converged()


def in_force(mesh, mode):
    ready = PORTS if mode != "off" else set()
    alone = PORTS if mode == "strict" else set()
    return all((set(one.ready), set(one.alone), one.waits_for) == (ready, alone, "") for one in states(mesh))


def states(mesh):
    return [task.task.status.tls for task in mesh.tasks("blue") if task.task.status.last_status == "RUNNING"]


def listeners(mesh, task):
    """The first words of the names of a task's ingress listeners."""
    answer = mesh.envoy(task_id(task), "/listeners?format=json").json()
    names = [one["name"] for one in answer.get("listener_statuses", ())]
    return {name.partition("/")[0] for name in names} & {"in", "tls"}


def listens_as(mesh, mode):
    expected = {"off": {"in"}, "permissive": {"in", "tls"}, "strict": {"tls"}}[mode]
    return all(listeners(mesh, task) == expected for task in mesh.tasks("blue"))


@pytest.mark.slow("three loads of 200 requests a second through eight changes of the mode")
def test_no_call_fails_while_the_mode_changes_to_strict_and_back(mesh):
    say(mesh, "off")
    plans = {
        "http://blue/": Plan(rps=RATE, late=20.0),
        "grpc://blue:9000/tsunagu.test.Echo/Say": Plan(rps=RATE, late=20.0),
        "tcp://blue:7000": Plan(rps=RATE, late=20.0, send=b"hello\n"),
    }
    with contextlib.ExitStack() as stack:
        loads = {url: stack.enter_context(mesh.load(url, plan)) for url, plan in plans.items()}
        for mode in ("permissive", "strict", "permissive", "off", "strict", "off"):
            for load in loads.values():
                load.wait_requests(60)
            say(mesh, mode)
            mesh.wait_until(lambda mode=mode: listens_as(mesh, mode), PATIENCE, f"the ingresses of mode {mode}")
        for load in loads.values():
            load.wait_requests(60)
        reports = {url: load.stop() for url, load in loads.items()}
    assert {url: (report.failed, report.first_failure) for url, report in reports.items()} == dict.fromkeys(
        reports, (0, "")
    )
