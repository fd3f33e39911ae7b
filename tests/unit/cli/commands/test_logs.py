"""What containers wrote, asked of the node agents of their tasks."""

import re
from datetime import UTC, datetime

import grpc
import pytest

from tsunagu.cli.commands.logs import parse_since
from tsunagu.cli.errors import CliError
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


def test_timestamps_are_of_this_machines_time_zone_with_milliseconds(mesh, tsunagu, monkeypatch):
    at = datetime(2025, 11, 22, 12, 0, 0, 123456, tzinfo=UTC)
    mesh.node.logs = {"default/web-11111111": [line("one", at.timestamp())], "default/web-22222222": []}
    for words, prefix in ((["web-1"], ""), (["web"], "web-11111111 | ")):
        shown = logs(tsunagu, mesh, "-t", *words).stdout
        stamp, text = shown.removeprefix(prefix).split(" ")
        assert text == "one\n"
        assert re.fullmatch(r"2025-11-2\dT\d\d:\d\d:\d\d\.123[+-]\d\d:\d\d", stamp)
        assert datetime.fromisoformat(stamp) == at.replace(microsecond=123000)


def test_since_leaves_older_lines_out_of_every_task(mesh, tsunagu):
    now = datetime.now(UTC).timestamp()
    mesh.node.logs = {
        "default/web-11111111": [line("old", now - 3600), line("new", now - 60)],
        "default/web-22222222": [line("older", now - 7200)],
    }
    assert logs(tsunagu, mesh, "--since", "10m", "web").stdout == "web-11111111 | new\n"
    assert logs(tsunagu, mesh, "--since", "1h30m", "web").stdout == "web-11111111 | old\nweb-11111111 | new\n"
    exactly = datetime.fromtimestamp(now - 60, UTC).isoformat()
    assert logs(tsunagu, mesh, "--since", exactly, "web-1").stdout == "new\n"
    assert logs(tsunagu, mesh, "--since", "1s", "web").stdout == ""


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("", 0.0), ("90s", 910.0), ("1h30m", -4400.0), ("1.5m", 910.0), ("250ms", 999.75), ("1d", -85400.0)],
)
def test_how_long_ago(text, seconds):
    assert parse_since(text, 1000.0) == seconds


@pytest.mark.parametrize(("text", "hour"), [("2025-11-22T12:00:00Z", 12), ("2025-11-22T12:00:00+02:00", 10)])
def test_a_time_with_its_zone(text, hour):
    assert parse_since(text, 0.0) == datetime(2025, 11, 22, hour, tzinfo=UTC).timestamp()


def test_a_time_without_zone_is_of_this_machine():
    assert parse_since("2025-11-22", 0.0) == datetime(2025, 11, 22).astimezone().timestamp()


@pytest.mark.parametrize("text", ["yesterday", "10", "-5m", "5 m", "m", "0001-01-01T00:00:00+14:00", "2025-13-01"])
def test_what_is_no_time_is_told_with_what_would_be(text):
    with pytest.raises(CliError, match="is no time") as caught:
        parse_since(text, 1000.0)
    assert "90s or 1h30m" in caught.value.right


@pytest.fixture
def stopped(mesh):
    """The older of both tasks has stopped."""

    def change(obj):
        obj.task.status.last_status = "STOPPED"

    mesh.do(mesh.registry.update("Task", "default/web-11111111", change))
    mesh.node.logs = {"default/web-11111111": [line("a", 1.0)], "default/web-22222222": [line("b", 2.0)]}
    return mesh


@pytest.mark.parametrize("names", [["web"], ["default/web"], []], ids=["a service", "in full", "the mesh"])
def test_of_tasks_that_have_stopped_only_with_all(stopped, tsunagu, names):
    assert [one[-1] for one in logs(tsunagu, stopped, *names).stdout.splitlines()] == ["b"]
    shown = logs(tsunagu, stopped, "--all", *names).stdout.splitlines()
    assert shown == ["web-11111111 | a", "web-22222222 | b"]


def test_one_that_has_stopped_is_shown_by_its_id_without_all(stopped, tsunagu):
    assert logs(tsunagu, stopped, "web-11111111").stdout == "a\n"


def test_what_is_followed_ends_when_every_task_that_was_named_has_ended(stopped, tsunagu):
    shown = logs(tsunagu, stopped, "-f", "web-1", "web-2").stdout.splitlines()
    assert sorted(shown) == ["web-11111111 | a", "web-22222222 | b"]


def test_the_node_is_asked_for_what_is_shown_and_no_more(mesh, tsunagu):
    mesh.node.logs = {"default/web-11111111": []}
    logs(tsunagu, mesh, "web-1", "-c", "envoy", "--tail", "7", "--since", "2025-11-22T12:00:00Z")
    [asked] = mesh.node.asked
    assert (asked.container, asked.tail, asked.follow, asked.rate) == ("envoy", 7, False, 0)
    assert asked.since == datetime(2025, 11, 22, 12, tzinfo=UTC).timestamp()


def test_lines_that_the_node_left_out_are_counted_in_their_place(mesh, tsunagu):
    late = line("late", 2.0)
    late.left_out = 1234
    mesh.node.logs = {"default/web-11111111": [line("early", 1.0), late]}
    assert logs(tsunagu, mesh, "web-1").stdout.splitlines() == [
        "early",
        "... 1,234 lines are left out here; 'tsunagu logs' shows them",
        "late",
    ]
