"""A runtime without namespaces: a task is a folder, an address of the loopback network and plain processes of this machine.

It keeps the contract (test_fake_runtime.py), so that whatever runs over it knows the contract alone. What it lacks is
isolation: nat rules do nothing, tasks share the machine's ports, and only the relay looks at a task's names. A
`FakeMachine` outlives its runtimes, as a machine outlives its node agents.
"""

import asyncio
import errno
import fcntl
import itertools
import os
import shutil
import signal
import socket
import termios
import time
from asyncio import TaskGroup
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path
from typing import Self

from tests.contract.fake_usage import ports_of, used_by
from tests.contract.fake_way_out import FakeWayOut
from tsunagu_node.runtime import config_file, connecting, listener
from tsunagu_node.runtime.contract import (
    RELAY,
    AdminEndpoint,
    CannotStart,
    Event,
    Exec,
    Image,
    Listening,
    Network,
    PortTaken,
    Process,
    ProcessExited,
    ProcessState,
    Program,
    PublishedPort,
    RuntimeFailed,
    TaskGone,
)
from tsunagu_node.runtime.linux.init.log_writer import Writer

NETWORK = IPv4Network("127.88.0.0/16")


class FakeMachine:
    """The tasks, for as long as its context lasts. `images`: reference -> the command that the image runs."""

    def __init__(self, directory: Path, images: Mapping[str, Sequence[str]] | None = None) -> None:
        self.directory = directory
        self.images = images or {}
        self.tasks: dict[str, FakeTask] = {}
        self.states: dict[str, dict[str, ProcessState]] = {}
        self.group = TaskGroup()
        self.faults: dict[tuple[str, str], Exception] = {}  # (task ID, step): what that step raises each time
        self._addresses = itertools.count(2)
        self.way_out = FakeWayOut()

    def fault(self, task_id: str, step: str) -> None:
        if error := self.faults.get((task_id, step)):
            raise error

    def address(self) -> str:
        return str(NETWORK[next(self._addresses)])

    async def __aenter__(self) -> Self:
        await self.group.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        for task in list(self.tasks.values()):
            await task.kill()
        await self.group.__aexit__(*error)


class FakeRuntime:
    """A Runtime over `machine`."""

    kind, reason, task_cidr, has_images, problem = "fake", "a test wants no namespaces", str(NETWORK), False, ""

    def __init__(self, machine: FakeMachine) -> None:
        self._machine = machine
        self.xds_socket = str(machine.directory / "xds.sock")
        self.way_out = machine.way_out

    async def agent_pid(self) -> int:
        return os.getpid()

    def heartbeat(self) -> None:
        """Nobody supervises it."""

    async def machine_connection(self, protocol: str, host: str, port: int) -> socket.socket:
        return await connecting.connected(protocol, host, port)

    async def machine_socket(self, protocol: str, host: str, port: int) -> socket.socket:
        return listener.listen(host, port, protocol)

    async def start(self) -> "Sequence[FakeTask]":
        running = [task for task in self._machine.tasks.values() if not task.gone]
        for task in running:
            task.adopt()
        return running

    def validate(self, container: str, image: Image) -> None:
        if not self._machine.images.get(image.reference) and not (*image.entrypoint, *image.command):
            raise RuntimeFailed(f"container {container}: there is no image {image.reference!r} here")

    def preparing(self, task_id: str) -> str:
        return ""

    async def create(self, task_id: str, network: Network) -> "FakeTask":
        self._machine.fault(task_id, "create")
        task = self._machine.tasks[task_id] = FakeTask(task_id, self._machine, network)
        return task

    def remembered(self, task_id: str) -> Mapping[str, ProcessState]:
        self._machine.fault(task_id, "remembered")
        return self._machine.states.get(task_id, {})

    def log_directory(self, task_id: str) -> Path:
        return self._machine.directory / "tasks" / task_id / "log"

    async def forget(self, kept: Collection[str]) -> None:
        for path in (self._machine.directory / "tasks").glob("*"):
            if path.name not in kept and path.name not in self._machine.tasks:
                shutil.rmtree(path, ignore_errors=True)

    async def close(self) -> None:
        """Nothing is held."""


class FakeTask:
    """A RunningTask."""

    def __init__(self, task_id: str, machine: FakeMachine, network: Network) -> None:
        self.id = task_id
        self.ip = machine.address()
        self.network = network
        self.names: Mapping[str, str] = {}
        self.gone = False
        self._machine, self._directory = machine, machine.directory / "tasks" / task_id
        (self._directory / "log").mkdir(parents=True, exist_ok=True)
        self.admin_endpoint = AdminEndpoint("admin.sock", str(self._directory / "admin.sock"))
        self._states = machine.states[task_id] = {}
        self._live: dict[str, Child | Relay] = {}
        self.adopt()

    def adopt(self) -> None:
        """Events go to a new node agent from now on."""
        self._events: asyncio.Queue[Event] = asyncio.Queue()

    def processes(self) -> Mapping[str, ProcessState]:
        self._fault("processes")
        return self._states

    async def events(self):
        self._fault("events")
        while True:
            event = await self._events.get()
            yield event
            if isinstance(event, TaskGone):
                return

    async def start(self, process: Process) -> None:
        self._fault("start")
        self._check(process.name)
        self._keep(process.name, await spawn(process, self._argv(process.run), self._directory), process.run)

    async def signal(self, name: str, number: int, *, group: bool = False) -> None:
        self._fault("signal")
        if name in self._live:
            self._live[name].signal(number, group=group)

    async def host_pid(self, name: str) -> int:
        self._fault("host_pid")
        return self._live[name].pid if name in self._live else 0

    def config_path(self, name: str) -> str:
        self._fault("config_path")
        return str(self._directory / name)

    def write_config(self, name: str, text: str) -> None:
        self._fault("write_config")
        config_file.write(self._directory / name, text)

    def read_config(self, name: str) -> str:
        return Path(self.config_path(name)).read_text()

    async def set_hosts(self, names: Mapping[str, str]) -> None:
        self._fault("set_hosts")
        self.names = dict(names)

    def hosts(self) -> Mapping[str, str]:
        return self.names

    async def listening(self) -> frozenset[Listening]:
        self._fault("listening")
        pids = [child.pid for child in self._live.values() if isinstance(child, Child)]
        return frozenset(at for pid in pids for at in ports_of(pid))

    async def listen(self, port: int) -> socket.socket:
        self._fault("listen")
        return socket.create_server((self.ip, 0))  # a free port, since the tasks share the machine's

    async def outgoing(self) -> socket.socket:
        self._fault("outgoing")
        return socket.socket(socket.AF_INET, socket.SOCK_STREAM)

    async def datagrams(self, port: int) -> socket.socket:
        self._fault("datagrams")
        return listener.listen(self.ip, 0, "udp")

    async def stats(self, name: str):
        self._fault("stats")
        child = self._live.get(name)
        return used_by(name, child.pid) if isinstance(child, Child) else None

    async def start_relay(self) -> "Relay":
        self._fault("start_relay")
        self._check(RELAY)
        relay = Relay(self)
        self._keep(RELAY, relay, Program([]))
        return relay

    async def kill(self) -> None:
        self._fault("kill")
        self.gone = True
        ends = [child.ended for child in self._live.values()]
        for child in self._live.values():
            child.signal(signal.SIGKILL, group=True)
        if ends:
            await asyncio.wait(ends)
        self._events.put_nowait(TaskGone())

    async def remove(self) -> None:
        self._fault("remove")
        for path in self._directory.iterdir():
            if path.name != "log":
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        self._machine.tasks.pop(self.id, None)

    def _fault(self, step: str) -> None:
        self._machine.fault(self.id, step)

    def _check(self, name: str) -> None:
        if name in self._live:
            raise CannotStart(f"{name} is running, with pid {self._live[name].pid}")

    def _argv(self, run: Image | Program | Exec) -> Sequence[str]:
        if isinstance(run, Image):
            return (*run.entrypoint, *run.command) or self._machine.images[run.reference]
        return run.argv

    def _keep(self, name: str, child: "Child | Relay", run: Image | Program | Exec) -> None:
        self._live[name] = child
        if not isinstance(run, Exec):
            self._states[name] = ProcessState(None, time.time(), None)
        self._machine.group.create_task(self._attend(name, child), name=f"{self.id}/{name}")

    async def _attend(self, name: str, child: "Child | Relay") -> None:
        async with TaskGroup() as group:
            if isinstance(child, Child):
                group.create_task(child.reap(), name="reap")
                group.create_task(child.pump(), name="log")
            code = await asyncio.shield(child.ended)
            del self._live[name]
            if state := self._states.get(name):
                self._states[name] = replace(state, code=code, ended=time.time())
            if not self.gone:
                self._events.put_nowait(ProcessExited(name, code))


async def spawn(process: Process, argv: Sequence[str], directory: Path) -> "Child":
    """Start it in a session of its own. Raises CannotStart."""
    run, logged = process.run, not isinstance(process.run, Exec)
    # Pipes of our own: asyncio would wait for those of a child of the process as well.
    pipes = [os.pipe2(os.O_CLOEXEC), os.pipe2(os.O_CLOEXEC)] if logged else []
    streams = (asyncio.subprocess.DEVNULL, *(write for _, write in pipes)) if logged else run.streams
    stdin, stdout, stderr = streams or (asyncio.subprocess.DEVNULL,) * 3
    try:
        made = await asyncio.create_subprocess_exec(
            *argv,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            env=dict(process.env),
            cwd=process.cwd or (directory if isinstance(run, Program) else "/"),
            start_new_session=True,
            preexec_fn=take_terminal if isinstance(run, Exec) and run.tty else None,
        )
    except OSError as error:
        for read, _ in pipes:
            os.close(read)
        raise CannotStart(f"{error.strerror}: {error.filename}") from error
    finally:
        for _, write in pipes:
            os.close(write)
    return Child(made, directory / "log" / f"{process.name}.log", [read for read, _ in pipes])


def take_terminal() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


class Child:
    """A process of this machine. `ended`: its exit code."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path, outputs: Sequence[int]) -> None:
        self._process = process
        self._log = log
        self._outputs = outputs
        self.pid = process.pid
        self.ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def signal(self, number: int, *, group: bool) -> None:
        with suppress(ProcessLookupError):
            (os.killpg if group else os.kill)(self.pid, number)

    async def reap(self) -> None:
        code = await self._process.wait()
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)  # a container ends with its first process
        self.ended.set_result(128 - code if code < 0 else code)

    async def pump(self) -> None:
        """Write what it writes to its log, until it and its children have ended."""
        if not self._outputs:
            return
        writer = Writer(str(self._log))
        async with TaskGroup() as group:
            for name, fd in zip(("stdout", "stderr"), self._outputs, strict=True):
                group.create_task(self._copy(writer, name, fd), name=name)
        writer.close()

    async def _copy(self, writer: Writer, name: str, fd: int) -> None:
        reader = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(reader)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, os.fdopen(fd, "rb", 0))
        while piece := await reader.read(65536):
            writer.write(name, piece)
        writer.end(name)
        transport.close()


class Relay:
    """A PortRelay, and the process that it stands for: connections in this process, by the names of `task`."""

    pid = os.getpid()

    def __init__(self, task: FakeTask) -> None:
        self._task = task
        self._servers: list[asyncio.Server] = []
        self.ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def open(self) -> None:
        opened = []
        for port in self._task.network.published:
            try:
                opened.append(await asyncio.start_server(self._relaying(port), port.host, port.host_port))
            except OSError as error:
                for server in opened:
                    server.close()
                why = "another process listens there" if error.errno == errno.EADDRINUSE else error.strerror
                raise PortTaken(f"cannot listen at {port.host}:{port.host_port}: {why}") from error
        self._servers = opened

    def close(self) -> None:
        if not self._servers:
            self._end(0)

    def signal(self, number: int, *, group: bool) -> None:
        self._end(0 if number == signal.SIGTERM else 128 + number)

    def _end(self, code: int) -> None:
        for server in self._servers:
            server.close()
        if not self.ended.done():
            self.ended.set_result(code)

    def _relaying(self, port: PublishedPort):
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            there, back = await asyncio.open_connection(self._task.names[port.alias], port.port)
            async with TaskGroup() as group:
                group.create_task(copy(reader, back), name="in")
                group.create_task(copy(there, writer), name="out")

        return serve


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while piece := await reader.read(65536):
        writer.write(piece)
        await writer.drain()
    writer.close()
