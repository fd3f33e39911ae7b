"""One task of the docker runtime: the container that holds its network, one container for each of its processes, its files.

Rule: what the task needs to live is in the engine; this object holds what another node agent finds again by labels, and by
the record in the task's directory. A task ends in two steps: `kill` ends all but pause, which answers callers with resets, and
`remove` takes pause away.
"""

import asyncio
import signal as signals
import socket
import time
from asyncio import TaskGroup
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

from tsunagu.kit.log import get
from tsunagu_node.runtime import proc_net
from tsunagu_node.runtime.contract import (
    RELAY,
    CannotStart,
    Event,
    Exec,
    Image,
    Listening,
    Network,
    Process,
    ProcessExited,
    ProcessState,
    Program,
    RuntimeFailed,
    TaskGone,
)
from tsunagu_node.runtime.docker.definition import bodies, container_definition, volumes
from tsunagu_node.runtime.docker.definition.container_definition import Asked
from tsunagu_node.runtime.docker.definition.site import PAUSE, Site
from tsunagu_node.runtime.docker.docker_relay import DockerRelay
from tsunagu_node.runtime.docker.engine import errors
from tsunagu_node.runtime.docker.engine.engine import EngineError
from tsunagu_node.runtime.docker.executions import Executions
from tsunagu_node.runtime.docker.handover import handed_over, nat_word
from tsunagu_node.runtime.docker.machine import Machine
from tsunagu_node.runtime.docker.process_table import ProcessTable
from tsunagu_node.runtime.docker.record import Record
from tsunagu_node.runtime.docker.task_containers import Containers
from tsunagu_node.runtime.docker.task_files import TaskFiles

_AT_ONCE: Final = frozenset({"envoy", RELAY})  # somebody starts them again
_LOG_SECONDS: Final = 0.5
_RESOLVER: Final = ("0B00007F",)  # 127.0.0.11: Docker's DNS listens there, at a port of its own choice
OUTSIDE: Final = 15004
"""The port of a task's 127.0.0.1 at which the node takes what leaves the mesh."""
log = get("node.runtime")


class DockerTask:
    """A RunningTask. `pause`: the container that holds its network. `gone` is called by `remove`."""

    def __init__(self, machine: Machine, site: Site, record: Record, pause: str, files: TaskFiles) -> None:
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
        self._prepared: dict[
            str, socket.socket
        ] = {}  # listen:PORT, datagrams:PORT -> what is there, until somebody asks for it
        self._starting: dict[str, asyncio.Event] = {}  # process that is being started -> set when its log is followed
        self._telling: set[asyncio.Task[None]] = set()  # of ends that wait for the logs
        self._files = files
        self.admin_endpoint = files.admin_endpoint

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
                    called = replace(process, env=self._machine.environment(process.env))
                    sidecar = self._machine.sidecar_image
                    await self._started(process.name, bodies.program(self._site, sidecar, self.pause, called, program))
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
        return self._files.config_path(name)

    def write_config(self, name: str, text: str) -> None:
        self._files.write_config(name, text)

    def read_config(self, name: str) -> str:
        return self._files.read_config(name)

    async def set_hosts(self, names: Mapping[str, str]) -> None:
        self._files.set_hosts(names)

    def hosts(self) -> Mapping[str, str]:
        return self._files.shown_hosts()

    async def listening(self) -> frozenset[Listening]:
        if self._machine.sees_processes:
            tables = proc_net.tables(self.pause_pid)
        else:
            tables = await self._containers.output(self.pause, bodies.inside("show_ports"))
        return proc_net.listening(tables, _RESOLVER) - {Listening(OUTSIDE, "127.0.0.1")}

    async def listen(self, port: int) -> socket.socket:
        return await self._opened(f"listen:{port}")

    async def outgoing(self) -> socket.socket:
        return await self._listener("outgoing:")

    async def datagrams(self, port: int) -> socket.socket:
        return await self._opened(f"datagrams:{port}")

    async def prepare(self, rules: Sequence[str], wanted: Network) -> None:
        """Make nat rules and routes (`nat:...`, see `inside.hand_over`), and the sockets that `listen` and `datagrams` are going to
        return. Raises RuntimeFailed.
        """
        words = [*(f"listen:{port}" for port in wanted.listened), *(f"datagrams:{port}" for port in wanted.datagrams)]
        fds = await handed_over(self._containers, self.pause, self._site.places, [*rules, *words])
        self._prepared = {word: socket.socket(fileno=fd) for word, fd in zip(words, fds, strict=True)}

    async def lead(self, messages: Sequence[bytes]) -> None:
        """Apply a batch of rules in its network. Raises RuntimeFailed, OSError."""
        await handed_over(self._containers, self.pause, self._site.places, [nat_word(messages)])

    async def _opened(self, word: str) -> socket.socket:
        return self._prepared.pop(word, None) or await self._listener(word)

    async def stats(self, name: str) -> Mapping[str, Any] | None:
        kept = self.table.get(name)
        return await self._containers.stats(kept.container) if kept and kept.runs else None

    async def start_relay(self) -> DockerRelay:
        self.table.check_free(RELAY)
        listen = None if self._site.composed is None else self._listener
        relay = DockerRelay.waiting(self._files.channel, self._record.published, listen)
        try:
            await self._started(RELAY, bodies.relay(self._site, self._machine.own_image, self.pause))
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
        if self._telling:
            await asyncio.wait(self._telling)
        self._tell_gone()

    async def remove(self) -> None:
        await self._containers.remove(self.pause, volumes.of_task(self._site, self._record.definition))
        self.release()
        self._record.clean(self.directory)
        self.gone(self)

    def release(self) -> None:
        """Let go of it without touching it."""
        for listener in self._prepared.values():
            listener.close()
        self._prepared.clear()
        self._files.release()

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
            if name in _AT_ONCE:
                self._happened(event)
            else:
                self._telling.add(
                    job := self._machine.jobs.start(self._tell(event, container), f"end of {self.id}/{name}")
                )
                job.add_done_callback(self._telling.discard)

    async def _tell(self, event: ProcessExited, container: str) -> None:
        """Tell of the end of a container when its log is there, whose last line says why."""
        if starting := self._starting.get(event.name):  # it ended before anybody knew that it had begun
            await starting.wait()
        await self._containers.written(container, _LOG_SECONDS)
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
        followed = self._starting[name] = asyncio.Event()
        try:
            await self._start(name, body)
        finally:
            followed.set()
            self._starting.pop(name, None)

    async def _start(self, name: str, body: dict[str, Any]) -> None:
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

    async def _listener(self, wanted: str) -> socket.socket:
        (fd,) = await handed_over(self._containers, self.pause, self._site.places, [wanted])
        return socket.socket(fileno=fd)

    def _container_of(self, name: str) -> str:
        kept = self.table.get(name)
        if kept is None or not kept.runs:
            raise CannotStart(f"container {name} does not run")
        return kept.container

    def _shown(self) -> tuple[Mapping[str, Any], ...]:
        """Return what the containers see of the mesh's directory: their own configuration, and the socket that it names."""
        return self._site.places.container if self._files.containers_have_some() else ()

    def _save(self) -> None:
        with suppress(
            OSError
        ):  # it is for an agent that finds no containers any more; a full disk must not end this one
            self.table.save(self.directory)


def _words(error: RuntimeFailed) -> str:
    missing = errors.missing_image(str(error))
    return errors.ways_to_an_image(missing) if missing else errors.plain(str(error))
