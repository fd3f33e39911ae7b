"""examples/07-outside-callers: a service is called through the mesh, and calls, while a program outside calls it by its DNS name;
and its tasks are replaced meanwhile.
"""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tsunagu.model.ids import task_id
from tsunagu.testing import Mesh, Plan

pytestmark = [pytest.mark.e2e, pytest.mark.envoy]

EXAMPLE = Path(__file__).parents[2] / "examples" / "07-outside-callers"


def outside(mesh, seconds: float, *more: str) -> subprocess.Popen[str]:
    server = mesh.get("Node", "laptop").node.dns
    command = [sys.executable, EXAMPLE / "outside.py", "--server", server, "--seconds", str(seconds), "--tell", *more]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([*command, "users.corp.internal"], **streams)


def reached(program, count: int) -> set[str]:
    """Wait until the program has reached so many tasks for the first time; their IDs."""
    return {program.stderr.readline().removeprefix("reached ").strip() for _ in range(count)}


def replaced(mesh, service: str) -> None:
    """Restart a service, and wait until none of its tasks is left."""
    before = {task.meta.name for task in mesh.tasks(service)}

    def change(obj):
        obj.service.forced_deployments += 1

    mesh.apis.update("Service", f"default/{service}", change)
    mesh.wait_until(lambda: not before & {task.meta.name for task in mesh.tasks(service)}, 60, f"{service} is replaced")


def test_a_service_is_called_from_within_and_from_outside_while_it_is_replaced():
    with Mesh(EXAMPLE / "mesh.yaml") as mesh:
        mesh.wait_steady()
        mesh.publish("users")
        with mesh.load("http://users/", Plan(late=60, rps=50)) as load:
            program = outside(mesh, 240)
            old = reached(program, 2)
            replaced(mesh, "users")
            new = reached(program, 2)
            program.send_signal(signal.SIGINT)
            report = json.loads(program.communicate(timeout=60)[0])
        assert load.report().failed == 0
        assert report["failed"] == 0, report
        assert report["answers"] > 1
        assert new == {task_id(task) for task in mesh.tasks("users")}
        assert set(report["tasks"]) == old | new, "it has called both tasks of both revisions"


def test_a_task_that_dies_leaves_answers_at_once_and_its_callers_are_refused_not_kept_waiting():
    with Mesh(EXAMPLE / "mesh.yaml") as mesh:
        mesh.wait_steady()
        victim = mesh.tasks("users")[0]
        twin = victim.task.status.twin
        assert twin.ip.startswith("127.88.")
        assert [(port.container_port, port.port) for port in twin.ports] == [(8080, 8080)]
        mesh.kill(f"app:{victim.meta.name.rpartition('/')[2]}")
        mesh.wait_until(lambda: twin.ip not in asked(mesh), 60, "the dead task is in no answer")
        report = json.loads(outside(mesh, 1).communicate(timeout=90)[0])
        assert report["failed"] == 0


def asked(mesh) -> set[str]:
    """The addresses that the machine's name server gives now."""
    import dns.message
    import dns.query

    host, _, port = mesh.get("Node", "laptop").node.dns.rpartition(":")
    answer = dns.query.udp(dns.message.make_query("users.corp.internal", "A"), host, port=int(port), timeout=20)
    return {record.address for one in answer.answer for record in one}
