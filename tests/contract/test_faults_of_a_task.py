"""Whatever raises while a task is made, watched or ended, it is that task's failure: the agent and its other tasks go on.

`FakeMachine.faults` says which step of which task raises what; the errors are none that the contract of runtimes names.
"""

import os

import grpc
import pytest

from tests.contract.fake_mesh import app, container, exec_
from tsunagu.v1 import node_pb2, objects_pb2
from tsunagu_node.task import controller, drain
from tsunagu_node.task.output import logs
from tsunagu_node.task.status_writer import StatusWriter

CRASH = ZeroDivisionError("a mistake of ours")
ERRORS = [CRASH, OSError(36, "File name too long", "x" * 300), MemoryError()]
MAKING = ["create", "start", "host_pid", "write_config", "processes", "config_path"]
ENDING = ["signal", "kill", "remove"]


async def healthy(mesh, before):
    """The other task is as it was, and new ones can be had."""
    now = await mesh.status("web-2")
    assert (now.last_status, container(now).pid) == ("RUNNING", container(before).pid)
    os.kill(container(now).pid, 0)
    await mesh.task(app(), name="web-3")
    await mesh.reaches("RUNNING", "web-3")


async def other(mesh):
    await mesh.task(app(), name="web-2")
    return await mesh.reaches("RUNNING", "web-2")


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("step", MAKING)
async def test_while_it_is_made(mesh, step, error):
    mesh.proxies_have()
    async with mesh.agent():
        before = await other(mesh)
        mesh.fake.faults["web-1", step] = error
        await mesh.task(app(), connect=True, namespace="shop")
        if step == "start" and isinstance(error, OSError):
            await says_that_its_envoy_does_not_start(mesh)
            await mesh.stop(code="TaskFailedToStart")
        stopped = await mesh.reaches("STOPPED")
        assert stopped.stop_code == "TaskFailedToStart"
        await healthy(mesh, before)


async def says_that_its_envoy_does_not_start(mesh):
    """It is tried again and again: a disk that is full, say, will have room again."""

    async def said():
        return "its Envoy does not start: [Errno 36] File name too long" in (await mesh.status()).waits_for

    await mesh.until(said, "why it waits")


@pytest.mark.parametrize("step", ENDING)
async def test_while_it_ends(mesh, step):
    async with mesh.agent():
        before = await other(mesh)
        await mesh.task(app())
        await mesh.reaches("RUNNING")
        mesh.fake.faults["web-1", step] = CRASH
        await mesh.stop()
        stopped = await mesh.reaches("STOPPED")
        assert (stopped.stop_code, stopped.stopped_reason) == ("ServiceSchedulerInitiated", "scaled in")
        await healthy(mesh, before)
        mesh.fake.faults.clear()


async def test_while_it_drains(mesh, monkeypatch):
    async def broken(*_):
        raise CRASH

    monkeypatch.setattr(drain, "acknowledged_by_all", broken)
    mesh.proxies_have()
    async with mesh.agent():
        before = await other(mesh)
        await mesh.task(app(), connect=True, namespace="shop", drain_timeout_seconds=5)
        await mesh.reaches("RUNNING")
        await mesh.stop()
        assert (await mesh.reaches("STOPPED")).stop_code == "ServiceSchedulerInitiated"
        await healthy(mesh, before)


async def test_while_it_is_reported(mesh, monkeypatch):
    real = controller.report

    def report(before, *rest):
        if before.created_at.seconds == 1:
            raise CRASH
        return real(before, *rest)

    monkeypatch.setattr(controller, "report", report)
    async with mesh.agent():
        before = await other(mesh)
        spec = objects_pb2.TaskSpec(
            cluster="default",
            service="web",
            service_revision="default/web/web-2",
            node="laptop",
            desired_status="RUNNING",
        )
        task = objects_pb2.Task(spec=spec)
        task.status.created_at.seconds = 1
        await mesh.put("Task", "default/web-1", task)
        stopped = await mesh.reaches("STOPPED")
        assert stopped.stopped_reason == "The node agent could not go on with it: a mistake of ours"
        await healthy(mesh, before)


async def test_while_its_status_is_written(mesh, monkeypatch):
    real = StatusWriter.run

    async def run(self):
        if self._name == "default/web-1":
            raise CRASH
        await real(self)

    monkeypatch.setattr(StatusWriter, "run", run)
    async with mesh.agent():
        before = await other(mesh)
        await mesh.task(app())
        assert (await mesh.reaches("STOPPED")).stop_code == "TaskFailedToStart"
        assert "web-1" not in mesh.fake.tasks
        await healthy(mesh, before)


async def test_once_while_it_runs_costs_nothing(mesh, monkeypatch):
    """Another controller adopts the task: its processes never notice."""
    crashes = []
    real = controller.TaskController._observe

    async def observe(self):
        if self.spec.name == "default/web-1" and self.status == "RUNNING" and not crashes:
            crashes.append(self)
            raise CRASH
        await real(self)

    monkeypatch.setattr(controller.TaskController, "_observe", observe)
    async with mesh.agent() as agent:
        await mesh.task(app())
        running = await mesh.reaches("RUNNING")

        async def another():
            return crashes and agent.find("web-1") not in (None, crashes[0])

        await mesh.until(another, "another controller")
        assert await exec_(mesh, "true") == (0, b"", b"")
        assert container(await mesh.status()).pid == container(running).pid
        await mesh.stop()
        assert (await mesh.reaches("STOPPED")).stopped_reason == "scaled in"


@pytest.mark.parametrize("spoiled", ["task.pb", "status.pb", "revision.pb"])
async def test_while_it_is_adopted(mesh, spoiled):
    async with mesh.agent():
        before = await other(mesh)
        await mesh.task(app())
        await mesh.reaches("RUNNING")
    (mesh.home / "tasks" / "web-1" / spoiled).write_bytes(b"\xff" * 10)
    async with mesh.agent():
        await mesh.reaches("STOPPED")
        await healthy(mesh, before)


async def test_while_it_is_recorded_as_lost(mesh):
    async with mesh.agent():
        before = await other(mesh)
        await mesh.task(app())
        await mesh.reaches("RUNNING")
    await mesh.fake.tasks["web-1"].kill()
    mesh.fake.faults["web-1", "remembered"] = CRASH
    async with mesh.agent():
        assert (await mesh.reaches("STOPPED")).stop_code == "EssentialContainerExited"
        await healthy(mesh, before)


async def test_of_a_command_or_a_log(mesh, monkeypatch):
    async def broken(*_, **__):
        raise CRASH
        yield

    async with mesh.agent():
        before = await other(mesh)
        await mesh.task(app())
        await mesh.reaches("RUNNING")
        mesh.fake.faults["web-1", "start"] = CRASH
        with pytest.raises((grpc.aio.AioRpcError, AssertionError)):
            await exec_(mesh, "true")
        monkeypatch.setattr(logs, "read", broken)
        async with mesh.node() as node:
            with pytest.raises(grpc.aio.AioRpcError):
                _ = [line async for line in node.Logs(node_pb2.LogsRequest(task="default/web-1"))]
        assert (await mesh.status()).last_status == "RUNNING"
        await healthy(mesh, before)
