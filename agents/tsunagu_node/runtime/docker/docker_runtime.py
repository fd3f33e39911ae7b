"""The docker runtime: each task is a pause container that holds its network, and a container for each of its processes.

Rule: what runs is in the engine, found by labels, so that this object can be made again at any time (`start` adopts), and by an
ordinary user who may speak with the engine. Nothing of the machine but the engine is touched.
"""

import asyncio
import os
import shutil
import socket
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Network
from pathlib import Path
from typing import Final

from tsunagu.v1 import ecs_pb2
from tsunagu_node.runtime import connecting, listener
from tsunagu_node.runtime.addresses import SANDBOX, AddressPool
from tsunagu_node.runtime.contract import Image, Network, PortTaken, ProcessState, RuntimeFailed
from tsunagu_node.runtime.docker import adoption, creation, networks
from tsunagu_node.runtime.docker.definition import allowances
from tsunagu_node.runtime.docker.definition.site import ROUTER, Site, Traits, mesh_name
from tsunagu_node.runtime.docker.docker_task import OUTSIDE, DockerTask
from tsunagu_node.runtime.docker.engine import answers
from tsunagu_node.runtime.docker.engine.engine import Engine
from tsunagu_node.runtime.docker.engine.events import EngineEvent, EventStream
from tsunagu_node.runtime.docker.handover import ROUTE
from tsunagu_node.runtime.docker.images import images
from tsunagu_node.runtime.docker.images.builds import Builds
from tsunagu_node.runtime.docker.images.pulls import Pulls
from tsunagu_node.runtime.docker.jobs import Jobs
from tsunagu_node.runtime.docker.machine import Machine
from tsunagu_node.runtime.docker.process_table import saved
from tsunagu_node.runtime.docker.record import Record
from tsunagu_node.runtime.docker.routing.docker_way_out import DockerWayOut
from tsunagu_node.runtime.docker.routing.router import Router, address
from tsunagu_node.runtime.docker.settings import Settings
from tsunagu_node.runtime.folders import Folders

LAST: Final = "last-address.docker"
_UNKNOWN: Final = IPv4Network("10.96.0.0/20")  # until `start`
_CONNECT_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class Outside:
    """What the runtime finds around it. `envoy`: the program of which the sidecar's image is made. `environment`: where Docker's
    credentials are looked for. `beat`: called for each heartbeat.
    """

    envoy: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    beat: Callable[[], None] = lambda: None


class DockerRuntime:
    """Tasks of the node with these folders, by the engine at `settings.socket`."""

    kind = "docker"
    has_images = True

    def __init__(self, folders: Folders, settings: Settings, outside: Outside) -> None:
        self._folders = folders
        self._settings = settings
        self._outside = outside
        self._mesh = settings.composed.mesh if settings.composed else mesh_name(folders.mesh)
        self._machine = Machine(Engine(settings.socket), Jobs(), sees_processes=settings.composed is None)
        self._pulls = Pulls(self._machine.engine, settings.pull, outside.environment)
        self._builds = Builds(self._machine.engine, settings.socket, outside.environment)
        self._traits = Traits()
        self._pool = AddressPool(_UNKNOWN)
        self._tasks: dict[str, DockerTask] = {}
        composed = settings.composed is not None
        self._way_out = DockerWayOut(folders.node, self._inside, self._tasks, composed=composed)
        self._wanted: dict[str, list[str]] = {}  # task that waits for images -> all of its images
        self._router: Router | None = None
        self._name = "a container engine"

    @property
    def reason(self) -> str:
        return f"{self._name} answers at {self._settings.socket}"

    @property
    def problem(self) -> str:
        reason = self._router.problem if self._router else ""
        return (
            f"its tasks and those of node {self._settings.beside} do not reach each other: {reason}" if reason else ""
        )

    @property
    def task_cidr(self) -> str:
        return str(self._pool.network)

    @property
    def way_out(self) -> DockerWayOut:
        return self._way_out

    @property
    def xds_socket(self) -> str:
        return str(self._site("any").places.xds / "sock")

    async def agent_pid(self) -> int:
        return os.getpid()

    def heartbeat(self) -> None:
        self._outside.beat()

    async def machine_connection(self, protocol: str, host: str, port: int) -> socket.socket:
        return await connecting.connected(protocol, host, port)

    async def machine_socket(self, protocol: str, host: str, port: int) -> socket.socket:
        if self._settings.composed is not None:
            raise PortTaken(
                f"cannot listen at {host}:{port}: the node agent is in a container, with a loopback of its own"
            )
        return listener.listen(host, port, protocol)

    async def start(self) -> Sequence[DockerTask]:
        engine = self._machine.engine
        self._name = answers.described(await engine.negotiate())
        self._traits = Traits.of(await engine.call("GET", "/info"))
        subnet = await networks.ensured(engine, self._mesh, self._settings.labels or {})
        self._machine.own_image = await images.own(engine, self._outside.envoy)
        self._machine.sidecar_image = self._settings.sidecar_image or self._machine.own_image
        await self._machine.jobs.open()
        adopted = await self._adopt()
        last = self._folders.node / LAST
        used = [address(subnet)] if self._settings.beside else []
        used += [task.ip for task in adopted]
        self._pool = AddressPool(subnet, used, last.read_text() if last.exists() else None)
        await self._listen()
        if self._settings.beside:
            await self._join(subnet)
        return adopted

    def validate(self, container: str, image: Image) -> None:
        if image.definition is not None:
            allowances.check(container, image.definition)

    async def create(self, task_id: str, network: Network) -> DockerTask:
        if network.definition is not None:
            allowances.check_task(network.definition, self._settings, self._folders.mesh)
            await self._have_images(task_id, network.definition, network.builds)
        ip = self._pool.take()
        try:
            (self._folders.node / LAST).write_text(self._pool.last)
            wanted = replace(network, listened=(*network.listened, OUTSIDE))
            outside = self._way_out.first(network.egress)
            record = Record.of(ip, network)
            task = await creation.created(self._machine, self._site(task_id), record, wanted, outside)
            await self._way_out.begin(task, network.egress)
        except BaseException as error:
            self._pool.give_back(ip)
            if isinstance(error, OSError):
                raise RuntimeFailed(f"{error.strerror}: {error.filename or task_id}") from error
            raise
        return self._keep(task)

    async def _have_images(
        self, task_id: str, definition: ecs_pb2.RegisterTaskDefinitionRequest, builds: Mapping[str, str]
    ) -> None:
        self._wanted[task_id] = [one.image for one in definition.container_definitions]
        try:
            await self._builds.ensure(builds)
            await self._pulls.ensure(definition)
        finally:
            del self._wanted[task_id]

    def preparing(self, task_id: str) -> str:
        found = (self._pulls.states.get(one) or self._builds.states.get(one) for one in self._wanted.get(task_id, ()))
        return next(filter(None, found), "")

    def remembered(self, task_id: str) -> Mapping[str, ProcessState]:
        return saved(self._folders.task(task_id))

    def log_directory(self, task_id: str) -> Path:
        return self._folders.task(task_id) / "log"

    async def forget(self, kept: Collection[str]) -> None:
        await asyncio.to_thread(_remove_others, self._folders.tasks, {*kept, *self._tasks})

    async def close(self) -> None:
        self._way_out.close()
        await self._machine.jobs.close()
        for task in self._tasks.values():
            task.release()
        self._tasks.clear()

    async def _join(self, subnet: IPv4Network) -> None:
        """Begin to route to and from tasks of the linux runtime; wait for it, but not for ever."""
        self._machine.routes = (f"{ROUTE}{SANDBOX}:{address(subnet)}",)
        other = Folders.of(self._folders.mesh, self._settings.beside).node
        self._router = router = Router(self._machine, self._site("router"), subnet, other)
        self._machine.jobs.start(router.run(), "router")
        with suppress(TimeoutError):
            async with asyncio.timeout(_CONNECT_SECONDS):
                await router.linked.wait()

    async def _adopt(self) -> list[DockerTask]:
        found = await adoption.by_task(self._machine, self._mesh)
        tasks = [await adoption.adopted(self._machine, self._site(name), ours) for name, ours in sorted(found.items())]
        kept = [self._keep(task) for task in tasks if task is not None]
        for task in kept:
            self._machine.jobs.start(self._way_out.adopt(task), f"way out of {task.id}")
        return kept

    async def _listen(self) -> None:
        """Begin to hear of the engine's events; what happened until then is caught up with."""
        events = EventStream(self._machine.engine, self._mesh, self._hear, self._catch_up)
        self._machine.jobs.start(events.run(), "events of the engine")
        async with asyncio.timeout(_CONNECT_SECONDS):
            await events.connected.wait()

    async def _catch_up(self) -> None:
        """Learn what happened while the engine told nobody."""
        await adoption.caught_up(self._machine, self._mesh, self._tasks.values())
        if self._router:
            self._router.changed()

    def _hear(self, event: EngineEvent) -> None:
        if event.process == ROUTER and self._router:
            self._router.changed()
        task = self._tasks.get(event.task)
        if task is None:
            return
        match event.kind:
            case "die" | "destroy":
                task.ended(event.process, event.container, event.code, event.at)
            case "oom":
                task.table.out_of_memory(event.process, event.container)
            case "exec_die":
                task.command_ended(event.execution, event.code)

    def _site(self, task_id: str) -> Site:
        owner = f"{os.getuid()}:{os.getgid()}"
        folders, labels, composed = self._folders, self._settings.labels or {}, self._settings.composed
        return Site(self._mesh, task_id, folders.mesh, folders.node, owner, self._traits, labels, composed)

    def _keep(self, task: DockerTask) -> DockerTask:
        task.gone = self._forget
        self._tasks[task.id] = task
        return task

    def _forget(self, task: DockerTask) -> None:
        """Let the address of a removed task rest, until all others have been used."""
        self._tasks.pop(task.id, None)
        self._machine.jobs.start(self._way_out.end(task.id), f"way out of {task.id}")
        self._pool.give_back(task.ip)

    def _inside(self) -> Sequence[IPv4Network]:
        """Return the networks of tasks, that of this runtime's first."""
        return (self._pool.network, IPv4Network(SANDBOX)) if self._settings.beside else (self._pool.network,)


def _remove_others(folder: Path, kept: Collection[str]) -> None:
    """Remove every task's directory in `folder` but those that are called like one of `kept`."""
    for path in folder.iterdir():
        if path.name not in kept:
            shutil.rmtree(path, ignore_errors=True)
