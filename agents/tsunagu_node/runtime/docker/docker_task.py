"""One task of the docker runtime: the container that holds its network, one container for each of its processes, its files.

Rule: what the task needs to live is in the engine; this object holds what another node agent finds again by labels, and by
the record in the task's directory. A task ends in two steps: `kill` ends all but pause, which answers callers with resets, and
`remove` takes pause away.
"""

import asyncio
import os
import signal as signals
import socket
import time
from asyncio import TaskGroup
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import ExitStack, suppress
from typing import Any, Final

from tsunagu.kit.log import get
from tsunagu_node.runtime import proc_net
from tsunagu_node.runtime.contract import (
    ENVOY_CONFIG,
    RELAY,
    AdminEndpoint,
    CannotStart,
    Event,
    Exec,
    Image,
    Process,
    ProcessState,
    Program,
    RuntimeFailed,
    TaskGone,
)
from tsunagu_node.runtime.docker.definition import bodies, container_definition, volumes
from tsunagu_node.runtime.docker.definition.container_definition import Asked
from tsunagu_node.runtime.docker.definition.site import APPS, HANDOVER, PAUSE, Site, bind
from tsunagu_node.runtime.docker.docker_relay import RELAY_SOCKET, DockerRelay
from tsunagu_node.runtime.docker.engine import errors
from tsunagu_node.runtime.docker.engine.engine import EngineError
from tsunagu_node.runtime.docker.executions import Executions
from tsunagu_node.runtime.docker.handover import handed_over
from tsunagu_node.runtime.docker.machine import Machine
from tsunagu_node.runtime.docker.process_table import ProcessTable
from tsunagu_node.runtime.docker.record import Record
from tsunagu_node.runtime.docker.task_containers import Containers
from tsunagu_node.runtime.hosts_file import HostsFile

_ADMIN: Final = "admin.sock"
_RESOLVER: Final = ("0B00007F",)  # 127.0.0.11: Docker's DNS listens there, at a port of its own choice
log = get("node.runtime")


class DockerTask:
    """A RunningTask. `pause`: the container that holds its network. `gone` is called by `remove`."""

    def __init__(self, machine: Machine, site: Site, record: Record, pause: str) -> None:
        self.id = site.task
        self.ip = record.ip
        self.directory = site.directory
        self.pause = pause
        self.pause_pid = 0
        self.table = ProcessTable()
        self.gone: Callable[[DockerTask], None] = lambda _: None
        self._machine = machine
        self._site = site
        self._record = record
        self._containers = Containers(machine, site, self.table)
        self._executions = Executions(machine, site, self._happened)
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        self._over = False  # TaskGone has been told
        with ExitStack() as held:
            folder = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            held.callback(os.close, folder)
            self._hosts = HostsFile(self.directory / "hosts", record.own_lines(self.id))
            held.callback(self._hosts.close)
            self._held = held.pop_all()
        self.admin_endpoint = AdminEndpoint(_ADMIN, f"/proc/self/fd/{folder}/{_ADMIN}")

    def processes(self) -> Mapping[str, ProcessState]:
        return self.table.states()

    async def events(self) -> AsyncIterator[Event]:
        while True:
            event = TaskGone() if self._over and self._events.empty() else await self._events.get()
            yield event
            if isinstance(event, TaskGone):
                return

    async def start(self, process: Process) -> None:
        if self._over:
            raise CannotStart("the container that holds the task's network is gone")
        try:
            match process.run:
                case Exec() as command:
                    await self._executions.start(self._container_of(command.container), process, command)
                case Image() as image:
                    asked = Asked(self._site, process, image, self.pause, self._record.definition, self._shown())
                    await self._started(process.name, container_definition.body(asked))
                case Program(argv):
                    program = self._machine.program(argv)
                    sidecar = self._machine.sidecar_image
                    await self._started(process.name, bodies.program(self._site, sidecar, self.pause, process, program))
        except EngineError as error:
            raise CannotStart(_words(error)) from error

    async def signal(self, name: str, number: int, *, group: bool = False) -> None:
        if name in self._executions:
            await self._executions.signal(name, number)
        elif (kept := self.table.get(name)) and kept.runs:
            asked = kept.stop_signal if number == signals.SIGTERM and kept.stop_signal else str(int(number))
            await self._containers.signal(kept.container, asked)

    async def host_pid(self, name: str) -> int:
        kept = self.table.get(name)
        return kept.pid if kept else 0

    def config_path(self, name: str) -> str:
        return str(self.directory / name if name == ENVOY_CONFIG else self.directory / APPS / name)

    def write_config(self, name: str, text: str) -> None:
        # Containers have users of their own; of the machine's, nobody else may pass the folders above.
        mode = 0o600 if name == ENVOY_CONFIG else 0o644
        fd = os.open(self.config_path(name), os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
        with os.fdopen(fd, "w") as file:
            file.write(text)

    async def set_hosts(self, names: Mapping[str, str]) -> None:
        self._hosts.set(names)

    async def listening(self) -> frozenset[int]:
        if self._machine.sees_processes:
            return proc_net.listening(proc_net.tables(self.pause_pid), _RESOLVER)
        return proc_net.listening(await self._containers.output(self.pause, bodies.inside("show_ports")), _RESOLVER)

    async def listen(self, port: int) -> socket.socket:
        folder = self.directory / HANDOVER
        (fd,) = await handed_over(self._containers, self.pause, folder, [f"listen:{port}"])
        return socket.socket(fileno=fd)

    async def stats(self, name: str) -> Mapping[str, Any] | None:
        kept = self.table.get(name)
        return await self._containers.stats(kept.container) if kept and kept.runs else None

    async def start_relay(self) -> DockerRelay:
        self.table.check_free(RELAY)
        channel = self.directory / RELAY_SOCKET
        relay = DockerRelay.listening(channel, self._record.published)
        try:
            await self._started(RELAY, bodies.relay(self._site, self._machine.own_image, self.pause, channel))
        except EngineError as error:
            relay.close()
            raise CannotStart(_words(error)) from error
        except BaseException:
            relay.close()
            raise
        return relay

    async def kill(self) -> None:
        self._record.killed(self.directory)
        async with TaskGroup() as group:
            for name, kept in self.table.running():
                group.create_task(self._end(name, kept.container), name=f"kill {self.id}/{name}")
        self._tell_gone()

    async def remove(self) -> None:
        await self._containers.remove(self.pause, volumes.of_task(self._site, self._record.definition))
        self.release()
        self._record.clean(self.directory)
        self.gone(self)

    def release(self) -> None:
        """Let go of it without touching it."""
        self._held.close()

    async def adopt(self, inspected: list[Mapping[str, Any]], ended: Mapping[str, ProcessState]) -> None:
        """Take over its containers as the engine describes them; `ended`: what was saved of them."""
        for one in inspected:
            name = self._containers.name_of(one)
            if name == PAUSE:
                self.pause_pid = int(one["State"]["Pid"])
                continue
            self.table.adopt(name, one)
            if (kept := self.table.get(name)) and not kept.runs and name in ended and not kept.state.reason:
                kept.state = ended[name] if ended[name].code == kept.state.code else kept.state
            self._containers.follow_log(name, one)
        self._save()

    def ended(self, name: str, container: str, code: int, at: float) -> None:
        """Take note that a container of the task has ended; with pause, all of the task has."""
        if name == PAUSE:
            if container == self.pause and not self._over:
                self._machine.jobs.start(self._collapse(), f"end of {self.id}")
        elif event := self.table.ended(name, container, code, at):
            self._executions.container_ended(container)
            self._save()
            self._happened(event)

    def command_ended(self, execution: str, code: int) -> None:
        """Take note that a command in one of its containers has ended."""
        self._executions.ended(execution, code)

    def _happened(self, event: Event) -> None:
        if not self._over:
            self._events.put_nowait(event)

    async def _collapse(self) -> None:
        """End what still runs of a task whose network is gone: nothing could be started beside it any more."""
        log.warning("the container that holds a task's network is gone", task=self.id)
        await self.kill()

    async def _started(self, name: str, body: dict[str, Any]) -> None:
        """Make and start the container of a process. Raises CannotStart, EngineError."""
        self.table.check_free(name)
        container = await self._containers.made(name, body)
        kept = self.table.begin(name, container, time.time())
        try:
            await self._containers.start(container)
        except BaseException:
            self.table.abandon(name)
            raise
        inspected = await self._containers.inspected(container)
        kept.learn(inspected)
        self._containers.follow_log(name, inspected)
        self._save()

    async def _end(self, name: str, container: str) -> None:
        code = await self._containers.kill(container)
        self.ended(name, container, code, time.time())

    def _tell_gone(self) -> None:
        if not self._over:
            self._over = True
            self._events.put_nowait(TaskGone())

    def _container_of(self, name: str) -> str:
        kept = self.table.get(name)
        if kept is None or not kept.runs:
            raise CannotStart(f"container {name} does not run")
        return kept.container

    def _shown(self) -> tuple[Mapping[str, Any], ...]:
        """Return what the containers see of the mesh's directory: their own configuration, and the socket that it names."""
        own, xds = self.directory / APPS, self._site.home / "xds"
        return (bind(own, own), bind(xds, xds)) if any(own.iterdir()) else ()

    def _save(self) -> None:
        with suppress(
            OSError
        ):  # it is for an agent that finds no containers any more; a full disk must not end this one
            self.table.save(self.directory)


def _words(error: RuntimeFailed) -> str:
    missing = errors.missing_image(str(error))
    return errors.ways_to_an_image(missing) if missing else errors.plain(str(error))
