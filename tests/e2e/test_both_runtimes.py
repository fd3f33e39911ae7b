"""One mesh with nodes of both runtimes: processes and containers call each other by name, whatever is changed and whatever dies.

`boxed` runs in containers, `plain` as processes. Load comes in through a gateway to /other of each, so that every request goes
from one network to the other.
"""

import os
import signal
import socket
from contextlib import contextmanager

import pytest

from tests.e2e.both_runtimes import OTHER, RECIPE, manifests
from tests.e2e.commands import tsunagu
from tests.e2e.docker_shop import left
from tests.e2e.next_agent import kill_node_agent
from tests.e2e.shop import PATIENCE, running
from tsunagu.testing import CallFailed, Mesh, Plan
from tsunagu_node.runtime.docker.definition.site import MESH, PROCESS, ROUTER, mesh_name
from tsunagu_node.runtime.docker.engine import engine_api

pytestmark = [pytest.mark.e2e, pytest.mark.envoy]


@pytest.fixture(scope="module")
def files(engine, tmp_path_factory):
    """Manifests, whose image is there."""
    path = tmp_path_factory.mktemp("both") / "mesh.yaml"
    path.write_text(manifests(engine.image("both-boxed", RECIPE)))
    return path


@pytest.fixture(scope="module")
def mesh(engine, files):
    """A mesh of which nobody said how it is to run."""
    with Mesh(files, environment={"DOCKER_HOST": engine.host}) as running:
        running.wait_steady(90)
        for name in OTHER:
            running.publish(name)
        wait_joined(running)
        yield running


@contextmanager
def unharmed(mesh):
    """Load in both directions for the length of the block, and some more; no request may fail."""
    plan = Plan(late=60, rps=20, connections=10)
    with mesh.load("http://boxed/other", plan) as one, mesh.load("http://plain/other", plan) as other:
        for load in (one, other):
            load.wait_requests(40)
        yield
        for load in (one, other):
            load.wait_requests(60)
        reports = [load.stop() for load in (one, other)]
    assert [one.failed for one in reports] == [0, 0], "\n".join(map(str, reports))


def wait_joined(mesh):
    """Wait until tasks of each runtime reach all of the other's: a Node's status may be older than what has just died."""
    mesh.wait_until(lambda: not mesh.get("Node", "docker").node.reason, PATIENCE, "a link between the runtimes")

    def answered():
        try:
            return all(mesh.call(f"http://{service}/other").status == 200 for service in OTHER for _ in range(12))
        except CallFailed:  # a gateway that started anew with the sandbox
            return False

    mesh.wait_until(answered, PATIENCE, "answers from both runtimes")


def pid(engine, mesh):
    """The process of the mesh's router, as the engine tells; 0 while there is none."""
    labels = f"{MESH}={mesh_name(mesh.home.root)}"
    found = engine_api.call(str(engine.socket), "GET", engine_api.filtered("/containers/json", labels))
    for one in [one["Id"] for one in found if one["Labels"][PROCESS] == ROUTER]:
        return engine_api.call(str(engine.socket), "GET", f"/containers/{one}/json")["State"]["Pid"]
    return 0


def test_each_task_runs_where_it_can_and_the_nodes_say_why(mesh):
    nodes = {obj.meta.name: obj.node for obj in mesh.objects("Node")}
    assert {name: node.runtime for name, node in nodes.items()} == {"linux": "linux", "docker": "docker"}
    assert "Images say what this machine runs in the place of plain's" in nodes["linux"].runtime_reason
    assert "container 'app' of boxed has no command" in nodes["docker"].runtime_reason
    assert [node.reason for node in nodes.values()] == ["", ""]
    assert {task.task.spec.node for task in mesh.tasks("plain")} == {"linux"}
    assert {task.task.spec.node for task in mesh.tasks("boxed")} == {"docker"}


@pytest.mark.parametrize(("caller", "called"), OTHER.items())
def test_tasks_of_each_runtime_call_those_of_the_other_by_name(mesh, caller, called):
    assert mesh.call(f"http://{called}/", from_task=caller).text == called
    assert mesh.call(f"http://{called}/other", from_task=caller).text == caller


@pytest.mark.parametrize("service", OTHER)
def test_commands_find_the_node_of_a_task(mesh, service):
    assert tsunagu(mesh, "exec", service, "--", "sh", "-c", "echo $NAME").splitlines()[0] == service
    assert "lds: add/update listener" in tsunagu(mesh, "logs", service, "-c", "envoy", "--tail", "500")
    assert f"alias/shop/{OTHER[service]}:80" in tsunagu(mesh, "envoy", service, "/listeners")


def test_a_task_of_processes_reaches_tasks_in_containers_and_not_the_machine(mesh):
    """The containers' network leads to the machine; what is not of the mesh stays as it is in the linux runtime."""
    (gateway,) = {task.task.status.ip.rpartition(".")[0] + ".1" for task in mesh.tasks("boxed")}
    with socket.create_server(("0.0.0.0", 0)) as server:
        port = server.getsockname()[1]
        code = f"""
import socket
try:
    with socket.create_connection(('{gateway}', {port}), 5) as one:
        print(one.recv(1) or "closed")
except ConnectionError:
    print("refused")
"""
        assert mesh.execute("plain", "python3", "-c", code).text == "refused"


@pytest.mark.slow("it starts and drains containers under load")
@pytest.mark.parametrize("service", OTHER)
def test_a_service_is_scaled_and_replaced_under_load(mesh, service):
    before = running(mesh, service)
    with unharmed(mesh):
        mesh.scale(service, 3)
        mesh.wait_until(lambda: len(running(mesh, service)) == 3, PATIENCE, "a third task")
        tsunagu(mesh, "restart", service)
        mesh.wait_until(lambda: len(running(mesh, service) - before) == 3, 60, "three new tasks")
        mesh.scale(service, 2)
        mesh.wait_until(lambda: len(mesh.tasks(service)) == 2, 60, "two tasks")


@pytest.mark.slow("load before, while and after it starts anew")
@pytest.mark.parametrize("name", ["linux", "docker"])
def test_either_node_agent_dies_and_nobody_notices(mesh, name):
    tasks = {service: running(mesh, service) for service in OTHER}
    with unharmed(mesh):
        kill_node_agent(mesh, name)
    assert {service: running(mesh, service) for service in OTHER} == tasks


def test_both_nodes_take_new_tasks_afterwards_and_give_up_what_is_left_of_old_ones(mesh):
    """Neither takes the folders of the other's tasks for what is left of its own."""
    for service in OTHER:
        mesh.scale(service, 3)
    mesh.wait_until(lambda: all(len(running(mesh, service)) == 3 for service in OTHER), 60, "a third task of each")
    for service in OTHER:
        mesh.scale(service, 2)
    mesh.wait_until(lambda: all(len(mesh.tasks(service)) == 2 for service in OTHER), 60, "two tasks of each")
    for service in OTHER:
        for task in running(mesh, service):
            assert mesh.logs(task, "envoy", tail=1)


@pytest.mark.slow("load, after another router is there")
def test_the_router_dies_and_there_is_another(mesh, engine):
    before = pid(engine, mesh)
    os.kill(before, signal.SIGKILL)

    mesh.wait_until(lambda: pid(engine, mesh) not in (0, before), PATIENCE, "another router")
    wait_joined(mesh)
    with unharmed(mesh):
        pass


@pytest.mark.slow("all tasks of one runtime start anew")
def test_the_sandbox_dies_and_its_new_tasks_are_joined_to_the_containers(mesh):
    before = running(mesh, "plain")
    mesh.kill("sandbox")
    mesh.wait_until(lambda: len(running(mesh, "plain") - before) == 2, 90, "two new tasks of processes")
    mesh.wait_steady(60)
    wait_joined(mesh)
    with unharmed(mesh):
        pass


@pytest.mark.slow("it is started and ended by commands")
def test_both_are_had_by_name_and_leave_nothing_behind(engine, files, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", engine.host)
    with Mesh(files, runtime="linux,docker") as mesh:
        mesh.wait_steady(90)
        listed = tsunagu(mesh, "get", "nodes")
        assert listed.count("it was asked for (--runtime linux,docker)") == 2
        root = mesh.home.root
        mesh.kill("up")
        assert mesh.left_behind(PATIENCE) == []
        assert left(engine, root) == []
