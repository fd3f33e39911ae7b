"""A task's status: made from what is known, and told when the registry can be told."""

import asyncio
from pathlib import Path

import pytest

from tsunagu.model.statuses import Status
from tsunagu.v1 import objects_pb2
from tsunagu_node.control import Refused
from tsunagu_node.runtime.contract import Capture, Image, Network, PublishedPort, Redirect
from tsunagu_node.task.containers import Container, State
from tsunagu_node.task.health import Check
from tsunagu_node.task.lifecycle import Stop
from tsunagu_node.task.report import report
from tsunagu_node.task.spec import DNS, DNS_PORT, METADATA, TaskSpec, load
from tsunagu_node.task.status_writer import StatusWriter

CONTAINERS = (
    (Container("app", Image("", command=("run",)), check=Check(("true",))),),
    {"app": State("RUNNING", health="HEALTHY", pid=77)},
)
STOP = Stop("UserInitiated", "asked")


def test_a_running_task():
    told = report(
        objects_pb2.TaskStatus(ip="10.88.0.2"), Status.RUNNING, None, CONTAINERS, objects_pb2.ProxyStatus(state="LIVE")
    )
    assert (told.last_status, told.health_status, told.ip, told.proxy.state) == (
        "RUNNING",
        "HEALTHY",
        "10.88.0.2",
        "LIVE",
    )
    assert told.HasField("started_at")
    assert told.HasField("created_at")
    assert not told.HasField("stopped_at")
    (container,) = told.containers
    assert (container.name, container.pid, container.HasField("exit_code")) == ("app", 77, False)


def test_the_reason_of_a_stop_is_told_when_it_begins_and_times_stay():
    running = report(objects_pb2.TaskStatus(), Status.RUNNING, STOP, CONTAINERS, None)
    assert running.stop_code == ""
    stopping = report(running, Status.DEACTIVATING, STOP, CONTAINERS, None)
    assert (stopping.stop_code, stopping.stopped_reason) == ("UserInitiated", "asked")
    stopped = report(stopping, Status.STOPPED, STOP, CONTAINERS, None)
    assert stopped.started_at == running.started_at
    assert stopped.HasField("stopped_at")


class Control:
    """A control plane that is `away` for a while; it keeps what it is told."""

    def __init__(self) -> None:
        self.there = asyncio.Event()
        self.told: list[str] = []
        self.answer: int | Refused | None = 7

    async def write_status(self, name: str, status: objects_pb2.TaskStatus) -> int | None:
        await self.there.wait()
        if isinstance(self.answer, Refused):
            raise self.answer
        self.told.append(status.last_status)
        return self.answer


@pytest.fixture
async def writing(tmp_path):
    control = Control()
    writer = StatusWriter(control, "default/web-1", tmp_path)
    async with asyncio.TaskGroup() as group:
        work = group.create_task(writer.run())
        yield control, writer
        work.cancel()


async def test_what_changed_while_nobody_listened_is_told_at_once(writing):
    control, writer = writing
    for status in ("PENDING", "ACTIVATING", "RUNNING"):
        writer.set(objects_pb2.TaskStatus(last_status=status))
        await asyncio.sleep(0)
    control.there.set()
    async with asyncio.timeout(60):
        assert await writer.written() == 7
    assert control.told == ["PENDING", "RUNNING"]


async def test_a_task_that_is_gone_is_not_told_of(writing):
    control, writer = writing
    control.answer = None
    control.there.set()
    writer.set(objects_pb2.TaskStatus(last_status="RUNNING"))
    async with asyncio.timeout(60):
        assert await writer.written() == 0
        writer.set(objects_pb2.TaskStatus(last_status="STOPPED"))
        assert await writer.written() == 0
    assert control.told == ["RUNNING"]


async def test_a_refusal_holds_up_nobody(writing):
    control, writer = writing
    control.answer = Refused("no")
    control.there.set()
    writer.set(objects_pb2.TaskStatus(last_status="RUNNING"))
    async with asyncio.timeout(60):
        assert await writer.written() == 0


async def test_a_status_that_cannot_be_kept_is_told_all_the_same(writing, tmp_path):
    """A folder in the file's place refuses each write, as a full disk does."""
    control, writer = writing
    (tmp_path / "status.new").mkdir()
    control.there.set()
    writer.set(objects_pb2.TaskStatus(last_status="RUNNING"))
    async with asyncio.timeout(60):
        assert await writer.written() == 7
    (tmp_path / "status.new").rmdir()
    writer.set(objects_pb2.TaskStatus(last_status="STOPPED"))
    assert objects_pb2.TaskStatus.FromString((tmp_path / "status.pb").read_bytes()).last_status == "STOPPED"


def spec(**spec) -> TaskSpec:
    port = objects_pb2.ServicePort(
        port_name="http", container_port=80, ingress_port=15100, app_protocol="http", intercept=True
    )
    raw = objects_pb2.ServicePort(port_name="raw", container_port=3306, ingress_port=15101, app_protocol="tcp")
    revision = objects_pb2.ServiceRevision(namespace="shop", ports=[port, raw], connect=True, drain_timeout_seconds=30)
    spec = {"cluster": "default", "service": "web", "service_revision": "default/web/abc", "namespace": "shop", **spec}
    return TaskSpec("default/web-1", objects_pb2.Task(spec=objects_pb2.TaskSpec(**spec)), revision)


def test_a_task_spec_says_what_a_task_s_network_and_proxy_need():
    one = spec()
    assert (one.id, one.namespace, one.has_proxy, one.drain_timeout) == ("web-1", "shop", True, 30.0)
    rules = (Capture("127.255.0.0", 16, 15001), METADATA, *DNS, Redirect(80, 15100))
    listened = ((METADATA.to, DNS_PORT), (DNS_PORT,), "169.254.169.253")
    assert one.network == Network(rules, (), one.revision.task_definition, one.revision.builds, *listened)
    assert one.listeners == tuple(
        (f"in/default/web/abc/{port}", f"tls/default/web/abc/{port}") for port in ("http", "raw")
    )
    assert [(port.name, port.port, port.http) for port in one.ingress] == [("http", 15100, True), ("raw", 15101, False)]
    assert one.app_ports == {80, 3306}


def test_a_gateway_s_task_spec():
    published = objects_pb2.PublishedPort(host_port=8080, alias="web", port=80)
    task = objects_pb2.Task(
        spec=objects_pb2.TaskSpec(cluster="default", gateway="front", namespace="shop", publish=[published])
    )
    one = TaskSpec("default/front-1", task, objects_pb2.ServiceRevision())
    assert (one.gateway, one.has_proxy, one.app_ports) == (True, True, frozenset())
    assert one.listeners == (("alias/shop/web:80",),)
    assert one.network == Network((Capture("127.255.0.0", 16, 15001),), (PublishedPort("127.0.0.1", 8080, "web", 80),))


def test_a_task_spec_is_kept_for_the_next_agent_with_the_last_status(tmp_path: Path):
    directory = tmp_path / "web-1"
    assert load(directory) is None
    one = spec()
    one.save(directory)
    assert load(directory) is None  # nothing was told of it yet: its making was cut short
    (directory / "status.pb").write_bytes(objects_pb2.TaskStatus(last_status="RUNNING").SerializeToString())
    found = load(directory)
    assert found is not None
    assert (found.name, found.task.status.last_status, found.revision) == (one.name, "RUNNING", one.revision)
    assert {path.stat().st_mode & 0o777 for path in (directory / "task.pb", directory / "revision.pb")} == {0o600}
