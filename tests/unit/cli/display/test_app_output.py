"""What containers write, in a foreground `up`: all of it that can be shown, and never at the cost of the mesh."""

import asyncio
import os
from contextlib import asynccontextmanager

import grpc
import pytest

from tsunagu.cli.display import app_output, dashboard
from tsunagu.cli.display.app_output import AppOutput, Outbox, shortened
from tsunagu.client.connection import connected
from tsunagu.client.source import registry_informer
from tsunagu.model import ids
from tsunagu.v1 import node_pb2, objects_pb2

ONE, TWO, FRONT = "default/web-11111111", "default/web-22222222", "default/front-33333333"


class Seen(dashboard.PlainView):
    """A view that takes as many lines as a test allows."""

    def __init__(self, room=10**6):
        self.lines, self.room = [], room

    def show_lines(self, lines):
        taken = list(lines)[: self.room]
        self.lines += taken
        self.room -= len(taken)
        return len(taken)


def line(text, time, container="app"):
    return node_pb2.LogsResponse(container=container, stream="stdout", line=text.encode(), time=time)


def task(name, status="RUNNING", containers=("app",), **spec):
    spec = {"service": "web"} | spec
    made = objects_pb2.Task(spec=objects_pb2.TaskSpec(cluster="default", desired_status="RUNNING", node="n1", **spec))
    made.status.last_status = status
    for container in containers:
        made.status.containers.add(name=container, last_status="RUNNING" if status == "RUNNING" else "PENDING")
    return ids.make("Task", name, made)


@pytest.fixture
def mesh(server):
    node = objects_pb2.Node(runtime="linux", api=f"unix:{server.home.api_socket}")
    server.do(server.registry.put(ids.make("Node", "n1", node)))
    return server


def put(mesh, *objects):
    for obj in objects:
        mesh.do(mesh.registry.put(obj))


def stop(mesh, name):
    def change(obj):
        obj.task.status.last_status = "STOPPED"

    mesh.do(mesh.registry.update("Task", name, change))
    mesh.node.writing.discard(name)


async def until(condition):
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - another thread makes it so
            await asyncio.sleep(0.01)


@asynccontextmanager
async def shown(mesh, output):
    async with connected(mesh.home) as link, asyncio.TaskGroup() as group:
        informer = registry_informer(link.registry)
        running = group.create_task(informer.run())
        async with output.shown(link, informer):
            yield
        running.cancel()


async def test_the_lines_of_every_task_also_of_those_that_come_later_and_not_of_gateways(mesh):
    mesh.node.logs = {ONE: [line("a", 1.0)], TWO: [line("b", 2.0)], FRONT: [line("access", 1.0)]}
    mesh.node.writing = {ONE, TWO}
    put(mesh, task(ONE), task(TWO, "PENDING"), task(FRONT, gateway="front", service=""))
    view = Seen()
    async with shown(mesh, AppOutput(view)):
        await until(lambda: view.lines == ["web-11111111 | a"])
        await asyncio.to_thread(put, mesh, task(TWO, containers=("app", "sidecar")))
        await until(lambda: view.lines[1:] == ["web-22222222 | app: b"])
        mesh.node.writing.clear()
    assert {request.rate for request in mesh.node.asked} == {100}


async def test_it_goes_on_where_it_was_when_a_node_agent_is_started_again(mesh):
    mesh.node.logs, mesh.node.writing = {ONE: [line("a", 1.0), line("b", 2.0)]}, {ONE}
    put(mesh, task(ONE))
    view = Seen()
    async with shown(mesh, AppOutput(view)):
        await until(lambda: len(view.lines) == 2)
        mesh.node.logs[ONE] = grpc.StatusCode.UNAVAILABLE
        await until(lambda: len(mesh.node.asked) > 1)
        mesh.node.logs[ONE] = [line("a", 1.0), line("b", 2.0), line("c", 3.0)]
        await until(lambda: len(view.lines) == 3)
        mesh.node.writing.clear()
        await asyncio.to_thread(stop, mesh, ONE)
    assert view.lines == [f"web-11111111 | {text}" for text in "abc"]


async def test_while_tasks_drain_their_last_lines_are_shown_and_no_line_twice(mesh):
    """`up` shows lines in two blocks: until it is asked to end, and while it drains."""
    mesh.node.logs, mesh.node.writing = {ONE: [line("a", 1.0)]}, {ONE}
    put(mesh, task(ONE))
    view, interrupted = Seen(), asyncio.Event()
    output = AppOutput(view)

    async def until_asked():
        async with shown(mesh, output):
            await until(lambda: len(view.lines) == 1)
            interrupted.set()
            await asyncio.Event().wait()

    first = asyncio.create_task(until_asked())
    await interrupted.wait()
    first.cancel()
    await asyncio.wait([first])
    asked = len(mesh.node.asked)
    async with shown(mesh, output):
        await until(lambda: len(mesh.node.asked) > asked)
        mesh.node.logs[ONE].append(line("bye", 2.0))
        await asyncio.to_thread(stop, mesh, ONE)
    assert view.lines == ["web-11111111 | a", "web-11111111 | bye"]


def test_what_a_slow_reader_does_not_take_is_bounded_and_counted():
    view = Seen(room=0)
    outbox = Outbox(view)
    for number in range(app_output._MOST_WAITING + 5):
        outbox.put(f"line {number}")
    outbox.flush()
    assert view.lines == []
    view.room = 3
    outbox.flush()
    assert view.lines == ["... 5 lines are left out here; 'tsunagu logs' shows them", "line 5", "line 6"]
    view.room = 10**6
    outbox.flush()
    assert view.lines[-1] == f"line {app_output._MOST_WAITING + 4}"
    assert len(view.lines) == app_output._MOST_WAITING + 1


def test_a_long_line_is_cut():
    assert shortened("x" * 4000) == "x" * 4000
    assert shortened("ä" * 3000) == "ä" * 2000 + " ... (2,000 bytes more)"


def test_a_pipe_that_nobody_reads_holds_nobody_up(monkeypatch):
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as full:
        monkeypatch.setattr(dashboard.sys, "stdout", full)
        lines = ["x" * 1000] * 1000
        taken = dashboard.PlainView().show_lines(lines)
        assert 0 < taken < len(lines)
        assert dashboard.PlainView().show_lines(lines) == 0
        os.read(reader, 65536)
        assert dashboard.PlainView().show_lines(lines) > 0
    os.close(reader)


def test_on_a_terminal_an_apps_colours_are_kept_and_nothing_else_that_moves_the_cursor(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    dashboard.LiveView().show_lines(["web-1 | \x1b[31mred\x1b[0m \x1b[2J\x1b[10Aup", "10%\r20%"])
    shown = capsys.readouterr().out
    assert "\x1b[31mred\x1b[0m" in shown
    assert "\x1b[2J" not in shown
    assert "\x1b[10A" not in shown
    assert shown.endswith("20%\n")
    assert "10%" not in shown
