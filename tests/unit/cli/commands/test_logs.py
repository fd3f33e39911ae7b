"""What containers wrote, asked of the node agents of their tasks."""

import grpc
import pytest

from tsunagu.model import ids
from tsunagu.v1 import node_pb2, objects_pb2


def put_node(server, api):
    server.do(server.registry.put(ids.make("Node", "n1", objects_pb2.Node(runtime="linux", api=api))))


@pytest.fixture
def mesh(server, tsunagu, shop):
    """The service `web` with two tasks on the canned node."""
    tsunagu("apply", shop, "--home", server.home.root)
    put_node(server, f"unix:{server.home.api_socket}")
    for name in ("web-11111111", "web-22222222"):
        spec = objects_pb2.TaskSpec(cluster="default", service="web", desired_status="RUNNING", node="n1")
        server.do(server.registry.put(ids.make("Task", f"default/{name}", objects_pb2.Task(spec=spec))))
    return server


def line(text, time):
    return node_pb2.LogsResponse(container="app", stream="stdout", line=text.encode(), time=time)


def logs(tsunagu, mesh, *arguments):
    return tsunagu("logs", *arguments, "--home", mesh.home.root)


def test_the_lines_of_a_task(mesh, tsunagu):
    mesh.node.logs = {"default/web-11111111": [line("one", 1.0), line("two", 2.0)]}
    assert logs(tsunagu, mesh, "web-1").stdout == "one\ntwo\n"


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (grpc.StatusCode.NOT_FOUND, 4),
        (grpc.StatusCode.INVALID_ARGUMENT, 2),
        (grpc.StatusCode.FAILED_PRECONDITION, 1),
    ],
)
def test_what_a_node_agent_refuses_is_told_in_its_words(mesh, tsunagu, status, code):
    mesh.node.logs = {"default/web-11111111": status}
    result = logs(tsunagu, mesh, "web-1")
    assert (result.exit_code, result.stderr) == (code, "error: no logs of default/web-11111111\n")


def test_a_node_agent_that_does_not_answer_is_named(mesh, tsunagu):
    put_node(mesh, f"unix:{mesh.home.root}/nobody.sock")
    result = logs(tsunagu, mesh, "web-1")
    assert result.exit_code == 1
    assert result.stderr.startswith("error: the node agent 'n1' does not answer: ")
    assert result.stderr.endswith(f"see {mesh.home.root}/log/node.log\n")


def test_the_lines_of_several_tasks_are_merged_by_time(mesh, tsunagu):
    mesh.node.logs = {
        "default/web-11111111": [line("a", 1.0), line("d", 4.0)],
        "default/web-22222222": [line("b", 2.0), line("c", 3.0), line("e", 5.0)],
    }
    shown = logs(tsunagu, mesh, "web").stdout.splitlines()
    assert shown == [f"web-{task * 8} | {text}" for task, text in ("1a", "2b", "2c", "1d", "2e")]


@pytest.mark.parametrize(
    "command", [["web"], ["web-1", "web-2", "-f"]], ids=["a service", "tasks that are followed to their end"]
)
def test_a_task_without_logs_hides_no_others(mesh, tsunagu, command):
    mesh.node.logs = {
        "default/web-11111111": grpc.StatusCode.NOT_FOUND,
        "default/web-22222222": [line("b", 2.0)],
    }
    result = logs(tsunagu, mesh, *command)
    assert (result.exit_code, result.stdout) == (0, "web-22222222 | b\n")
    assert result.stderr == "no logs of default/web-11111111\n"


def test_tasks_that_all_have_no_logs_are_an_error(mesh, tsunagu):
    mesh.node.logs = dict.fromkeys(("default/web-11111111", "default/web-22222222"), grpc.StatusCode.NOT_FOUND)
    result = logs(tsunagu, mesh, "web")
    assert result.exit_code == 4
    assert "error: no logs of default/web-1" in result.stderr
