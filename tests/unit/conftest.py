"""A registry and an inspector on a real Unix socket, in a thread, for commands that run as their users run them."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import grpc
import grpc.aio
import pytest
from typer.testing import CliRunner, Result

from tsunagu.cli.main import main
from tsunagu.model.rules.validate import check_batch
from tsunagu.registry.informer import Informer
from tsunagu.registry.objects import Registry
from tsunagu.registry.stores.memory import MemoryStore
from tsunagu.serve.api import inspector, registry
from tsunagu.serve.api.server import ApiServer
from tsunagu.settings import Home
from tsunagu.v1 import inspector_pb2, inspector_pb2_grpc, node_pb2, node_pb2_grpc

Run = Callable[..., Result]


@pytest.fixture(scope="session", autouse=True)
def grpc_threads() -> None:
    """Keeps gRPC's own thread for asyncio until the end: without a user it is joined, and a call that a test has left waits for ever.

    That happened in the garbage collector, when it came upon a channel before its call: the run stood still until its timeout.
    """

    async def hold() -> None:
        grpc.aio.init_grpc_aio()

    asyncio.run(hold())


class CannedInspector(inspector_pb2_grpc.InspectorServicer):
    """Answers what a test has put into it."""

    def __init__(self) -> None:
        self.proxies: list[inspector_pb2.Proxy] = []
        self.events: list[inspector_pb2.TimelineEvent] = []
        self.missing: list[inspector_pb2.Unconverged] = []
        self.lacking: list[
            list[inspector_pb2.Unconverged]
        ] = []  # each is missing in one answer of Wait, before `missing`
        self.waited: list[inspector_pb2.WaitRequest] = []
        self.resources: list[inspector_pb2.ResourcesResponse] = []  # the last one stays
        self.metrics: list[inspector_pb2.Metric] = []
        self.holds: list[inspector_pb2.HoldRequest] = []
        self.message: inspector_pb2.MessageResponse | None = None

    async def Resources(self, request, context):
        return self.resources.pop(0) if len(self.resources) > 1 else self.resources[0]

    async def Hold(self, request, context):
        self.holds.append(request)
        return inspector_pb2.HoldResponse(streams=1)

    async def Message(self, request, context):
        if self.message is None or request.sequence != self.message.event.sequence:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"event {request.sequence} is no longer there")
        return self.message

    async def Info(self, request, context):
        return inspector_pb2.InfoResponse(version="1", synced=True)

    async def Proxies(self, request, context):
        return inspector_pb2.ProxiesResponse(proxies=self.proxies)

    async def Metrics(self, request, context):
        return inspector_pb2.MetricsResponse(metrics=self.metrics)

    async def Timeline(self, request, context):
        for event in self.events:
            if request.type in ("", event.type) and request.proxy in ("", event.proxy):
                yield event

    async def Wait(self, request, context):
        self.waited.append(request)
        if request.revision > 7:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"revision {request.revision} is yet to come")
        if request.timeout_seconds > inspector.MAX_WAIT:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "timeout_seconds may be from 0 to 600")
        if self.lacking:
            return inspector_pb2.WaitResponse(missing=self.lacking.pop(0), revision=7)
        return inspector_pb2.WaitResponse(converged=not self.missing, missing=self.missing, revision=7)


class CannedNode(node_pb2_grpc.NodeAgentServicer):
    """Answers what a test has put into it: of a task (`default/web-1`) its lines, or the status with which it refuses.

    `writing`: tasks that have not ended, so that who follows them gets lines that a test adds later.
    """

    def __init__(self) -> None:
        self.logs: dict[str, list[node_pb2.LogsResponse] | grpc.StatusCode] = {}
        self.writing: set[str] = set()
        self.asked: list[node_pb2.LogsRequest] = []

    async def Logs(self, request, context):
        self.asked.append(request)
        sent = 0
        while True:
            ended = not request.follow or request.task not in self.writing
            found = self.logs[request.task]
            if isinstance(found, grpc.StatusCode):
                await context.abort(found, f"no logs of {request.task}")
            new, sent = found[sent:], len(found)
            for line in new:
                if line.time >= request.since:
                    yield line
            if ended:
                return
            await asyncio.sleep(0.01)


class Server:
    """The control plane's APIs without a control plane."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.inspector = CannedInspector()
        self.node = CannedNode()  # at `api_socket`, too
        self.registry: Any = None
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._stop: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),))

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(60)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._stop is not None
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(60)
        self._loop.close()

    def do(self, work: Any) -> Any:
        """Awaits something in the server's loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        store = MemoryStore()
        self.registry = Registry(store)
        informer = Informer(self.registry)
        async with asyncio.TaskGroup() as group:
            following = group.create_task(informer.run(), name="informer")
            await informer.wait_synced()
            server = ApiServer(self.home.api_socket)
            api = registry.RegistryService(self.registry, informer, check_batch)
            server.add(registry.NAME, api.register, api.close)
            server.add(inspector.NAME, self._add_inspector)
            server.add("tsunagu.v1.NodeAgent", self._add_node)
            await server.start()
            self._ready.set()
            await self._stop.wait()
            await server.stop(0.1)
            following.cancel()
        await store.close()

    def _add_inspector(self, server: Any) -> None:
        inspector_pb2_grpc.add_InspectorServicer_to_server(self.inspector, server)

    def _add_node(self, server: Any) -> None:
        node_pb2_grpc.add_NodeAgentServicer_to_server(self.node, server)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with Server(Home(tmp_path)) as started:
        yield started


@pytest.fixture
def tsunagu() -> Run:
    """Runs a command line; its result has stdout, stderr and exit_code."""

    def run(*arguments: object, text: str | None = None) -> Result:
        result = CliRunner().invoke(main, [str(argument) for argument in arguments], input=text)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


SHOP = """
kind: TaskDefinition
family: web
networkMode: awsvpc
memory: "256"
containerDefinitions:
- name: app
  image: web:1
  command: [sleep, "1"]
  portMappings: [{name: http, containerPort: 80, appProtocol: http}]
---
kind: Service
serviceName: web
taskDefinition: web
desiredCount: 2
serviceConnectConfiguration:
  enabled: true
  namespace: shop
  services: [{portName: http, clientAliases: [{port: 80, dnsName: web}]}]
"""


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A manifest of one service."""
    path = tmp_path / "manifests" / "shop.yaml"
    path.parent.mkdir()
    path.write_text(SHOP)
    return path
