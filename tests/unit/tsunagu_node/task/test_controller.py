"""What a machine refuses to one task is that task's failure, never its agent's."""

import asyncio

from tests.contract.fake_way_out import FakeWayOut
from tsunagu.model.statuses import Status
from tsunagu.v1 import objects_pb2
from tsunagu_node.dns.name_server import NameServers
from tsunagu_node.identity.host_identity import HostIdentities
from tsunagu_node.identity.trust import Trust
from tsunagu_node.outside.relay.destinations import Policy
from tsunagu_node.runtime.contract import AdminEndpoint, RuntimeFailed
from tsunagu_node.runtime.folders import Folders
from tsunagu_node.signals.collector import Collector
from tsunagu_node.signals.relay_collector import RelayCollector
from tsunagu_node.task import controller
from tsunagu_node.task.controller import TaskController
from tsunagu_node.task.dependencies import Dependencies
from tsunagu_node.task.envoy import Proxy, Sidecar
from tsunagu_node.task.names import Names
from tsunagu_node.task.spec import TaskSpec
from tsunagu_sidecar.bootstrap import Settings


class Control:
    """A registry that keeps what is written to it."""

    def __init__(self):
        self.statuses = []

    async def issue(self, request):
        raise AssertionError("nobody speaks TLS here")

    async def write_status(self, name, status):
        self.statuses.append(status)
        return len(self.statuses)


class Task:
    """A task whose processes start at once, on a disk that refuses the file `full`."""

    id, ip = "web-1", "10.88.0.2"
    admin_endpoint = AdminEndpoint("admin.sock", "/no/such/admin.sock")

    def __init__(self, full):
        self.full = full
        self.started = asyncio.Event()
        self.calls = []

    def processes(self):
        return {}

    def config_path(self, name):
        return f"/tasks/{name}"

    def write_config(self, name, text):
        if name == self.full:
            raise OSError(28, "No space left on device", name)

    def read_config(self, name):
        raise FileNotFoundError(2, "No such file or directory", name)

    async def start(self, process):
        self.started.set()

    async def host_pid(self, name):
        return 7

    async def kill(self):
        self.calls.append("kill")

    async def remove(self):
        self.calls.append("remove")


class Runtime:
    """Creates the one task."""

    has_images, xds_socket = False, "/mesh/xds.sock"

    async def machine_connection(self, protocol, host, port):
        raise OSError("a test reaches nobody")

    def __init__(self, task):
        self.task = task

    async def create(self, task_id, network):
        return self.task

    def preparing(self, task_id):
        return ""


class Everything:
    """Lets every task reach everything."""

    async def begin(self, task, namespace):
        return Policy.ALLOW

    async def begun(self, task):
        """Nothing has changed."""

    def end(self, task):
        """Nothing is kept."""


class PullingRuntime(Runtime):
    """Pulls an image until it is told that the image is there."""

    def __init__(self):
        super().__init__(None)
        self.pulled = asyncio.Event()

    async def create(self, task_id, network):
        await self.pulled.wait()
        raise RuntimeFailed("it is enough")

    def preparing(self, task_id):
        return f"image shop:1 of {task_id} is pulled: 3 layers done, 12 of 40 MB"


async def no_control_plane(_push):
    return None


async def stopped(tmp_path, runtime):
    """Return the last status of a task of `runtime`."""
    control = Control()
    outside = Everything()
    servers = NameServers.of(runtime, names := Names(), outside)
    collector, folders = Collector(no_control_plane), Folders.of(tmp_path)
    left = RelayCollector(no_control_plane, FakeWayOut().counts)
    hosts = HostIdentities(Trust(), no_control_plane, b"key", folders.hosts)
    dependencies = Dependencies(
        folders, runtime, control, names, servers, outside, collector, left, {}, "envoy", b"key", hosts
    )
    revision = objects_pb2.ServiceRevision(namespace="shop", connect=True)
    async with asyncio.timeout(60):
        await TaskController(dependencies, TaskSpec("default/web-1", objects_pb2.Task(), revision)).run()
    return control.statuses[-1]


async def test_a_task_says_how_far_the_pull_of_its_image_is(tmp_path, monkeypatch):
    monkeypatch.setattr(controller, "_PATIENCE", 0.0)
    monkeypatch.setitem(controller._LOOKS, Status.PROVISIONING, 0.01)
    told, put = [], Control.write_status

    async def write_status(control, name, status):
        told.append((status.last_status, status.waits_for))
        if status.waits_for:
            runtime.pulled.set()
        return await put(control, name, status)

    monkeypatch.setattr(Control, "write_status", write_status)
    runtime = PullingRuntime()
    last = await stopped(tmp_path, runtime)
    assert ("PROVISIONING", "image shop:1 of web-1 is pulled: 3 layers done, 12 of 40 MB") in told
    assert (last.last_status, last.waits_for) == ("STOPPED", "")


async def test_a_task_whose_record_cannot_be_written_is_stopped_and_says_why(tmp_path):
    """A folder in the file's place refuses each write, as a full disk does."""
    (tmp_path / "tasks" / "web-1" / "task.pb").mkdir(parents=True)
    last = await stopped(tmp_path, Runtime(None))
    assert (last.last_status, last.stop_code) == ("STOPPED", "TaskFailedToStart")
    assert "task.pb" in last.stopped_reason


async def test_a_task_whose_configuration_cannot_be_written_is_removed_and_says_why(tmp_path):
    task = Task(full="grpc-bootstrap.json")
    last = await stopped(tmp_path, Runtime(task))
    assert (last.last_status, last.stop_code) == ("STOPPED", "TaskFailedToStart")
    assert "grpc-bootstrap.json" in last.stopped_reason
    assert task.calls == ["kill", "remove"]


async def test_an_envoy_whose_bootstrap_cannot_be_written_is_started_again():
    task = Task(full="envoy.json")
    settings = Settings("default/web-1", "web", "token", "xds.sock", "admin.sock")
    failed = asyncio.Event()
    proxy = Proxy(task, Sidecar("envoy", settings), failed.set)
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        work = group.create_task(proxy.run())
        await failed.wait()
        assert proxy.status().state == "RESTARTING"
        task.full = ""
        await task.started.wait()
        work.cancel()
