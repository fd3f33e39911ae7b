"""What a machine refuses to one task is that task's failure, never its agent's."""

import asyncio
from pathlib import Path

import pytest

from tsunagu.v1 import objects_pb2
from tsunagu_node.task.controller import TaskController
from tsunagu_node.task.dependencies import Dependencies
from tsunagu_node.task.envoy import Proxy, Sidecar
from tsunagu_node.task.names import Names
from tsunagu_node.task.spec import TaskSpec
from tsunagu_sidecar.bootstrap import Settings


class Control:
    """A registry that keeps what it is told."""

    def __init__(self):
        self.told = []

    async def write_status(self, name, status):
        self.told.append(status)
        return len(self.told)


@pytest.mark.parametrize("file", ["task.pb", "grpc-bootstrap.json"])
async def test_a_task_whose_files_cannot_be_written_is_stopped_and_says_why(tmp_path, file):
    """A folder in a file's place refuses each write, as a full disk does."""
    control = Control()
    dependencies = Dependencies(tmp_path, None, control, Names(), {}, "envoy", b"key")
    (tmp_path / "tasks" / "web-1" / file).mkdir(parents=True)
    revision = objects_pb2.ServiceRevision(namespace="shop", connect=True)
    controller = TaskController(dependencies, TaskSpec("default/web-1", objects_pb2.Task(), revision))
    async with asyncio.timeout(5):
        await controller.run()
    last = control.told[-1]
    assert (last.last_status, last.stop_code) == ("STOPPED", "TaskFailedToStart")
    assert file in last.stopped_reason


class Task:
    """Starts everything at once."""

    id = "web-1"

    def __init__(self, directory: Path):
        self.directory = directory
        self.started = asyncio.Event()

    def processes(self):
        return {}

    async def start(self, process, streams=()):
        self.started.set()
        return 7

    async def host_pid(self, pid):
        return pid


async def test_an_envoy_whose_bootstrap_cannot_be_written_is_started_again(tmp_path):
    (tmp_path / "envoy.json").mkdir()
    task = Task(tmp_path)
    settings = Settings("default/web-1", "web", "token", "xds.sock", "admin.sock", "info")
    failed = asyncio.Event()
    proxy = Proxy(task, Sidecar("envoy", settings), failed.set)
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        work = group.create_task(proxy.run())
        await failed.wait()
        assert proxy.status().state == "RESTARTING"
        (tmp_path / "envoy.json").rmdir()
        await task.started.wait()
        work.cancel()
    proxy.close()
