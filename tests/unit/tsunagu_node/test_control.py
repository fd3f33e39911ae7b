"""The node agent's client of the control plane: it waits for what passes, and raises only what would be the same again."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from tests.unit.serve.conftest import serving
from tsunagu.model import ids
from tsunagu.model.statuses import Status
from tsunagu.registry.stores.memory import MemoryStore
from tsunagu.v1 import objects_pb2
from tsunagu_node.control import ControlPlane, Refused


@asynccontextmanager
async def connected(folder):
    """A registry behind its API, and the agent's client of it."""
    async with asyncio.timeout(60), serving(folder, MemoryStore()) as served:
        control = ControlPlane(folder / "api.sock")
        try:
            yield served, control
        finally:
            await control.close()


def task(status=""):
    return ids.make("Task", "default/web-1", objects_pb2.Task(status=objects_pb2.TaskStatus(last_status=status)))


async def test_a_status_is_written_over_what_others_have_changed_meanwhile(tmp_path, monkeypatch):
    async with connected(tmp_path) as (served, control):
        await served.registry.put(task())
        read = control.get

        async def outrun(kind, name):
            found = await read(kind, name)
            if found.meta.revision == 1:  # somebody stops the task between our reading and our writing
                await served.registry.update(kind, name, stop)
            return found

        def stop(obj):
            obj.task.spec.desired_status = Status.STOPPED

        monkeypatch.setattr(control, "get", outrun)
        revision = await control.write_status("default/web-1", task("RUNNING").task.status)
        written = await served.registry.get("Task", "default/web-1")
        assert written.meta.revision == revision == 3
        assert (written.task.spec.desired_status, written.task.status.last_status) == ("STOPPED", "RUNNING")


async def test_a_status_that_is_there_already_makes_no_revision(tmp_path):
    async with connected(tmp_path) as (served, control):
        revision = await served.registry.put(task("RUNNING"))
        assert await control.write_status("default/web-1", task("RUNNING").task.status) == revision


async def test_the_status_of_a_task_that_is_gone_is_nobodys(tmp_path):
    async with connected(tmp_path) as (_, control):
        assert await control.write_status("default/web-1", task("RUNNING").task.status) is None


async def test_what_would_be_refused_again_is_raised(tmp_path):
    async with connected(tmp_path) as (_, control):
        node = ids.make("Node", "one", objects_pb2.Node())
        node.meta.lease = "node/one"
        with pytest.raises(Refused, match="the control plane refused: there is no lease 'node/one'"):
            await control.put(node)


async def test_a_lease_is_kept_until_it_is_lost(tmp_path):
    async with connected(tmp_path) as (served, control):
        await control.lease("node/one", 10)
        assert await control.keep_lease("node/one")
        await served.registry.revoke("node/one")
        assert not await control.keep_lease("node/one")


async def test_a_call_outlives_a_restart_of_the_control_plane(tmp_path):
    async with connected(tmp_path) as (served, control):
        await served.registry.put(task("RUNNING"))
        await served.api.stop(0)
        async with asyncio.TaskGroup() as group:
            asked = group.create_task(control.get("Task", "default/web-1"))
            async with serving(tmp_path, served.registry.store):
                assert (await asked).task.status.last_status == "RUNNING"


async def test_an_informer_has_one_kind(tmp_path):
    async with connected(tmp_path) as (served, control), asyncio.TaskGroup() as group:
        tasks = control.informer("Task", lambda _: None)
        running = group.create_task(tasks.run())
        await tasks.wait_revision(await served.registry.put(task()))
        assert list(tasks.state) == ["Task"]
        running.cancel()
