"""The node agent's connection to a task's init. Rule: when it breaks, the init is dead and with it the whole task."""

import asyncio
import errno
import json
import os
import socket
import struct
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from tsunagu_node.runtime.contract import (
    CannotStart,
    Event,
    Exec,
    Image,
    Process,
    ProcessExited,
    ProcessState,
    Program,
    RuntimeFailed,
    TaskGone,
)
from tsunagu_node.runtime.linux.init.pid1 import SOCKET

_MESSAGE: Final = 1 << 20


class InitGone(RuntimeFailed):
    """The task's init does not answer: everything in the task is dead."""


class Start(NamedTuple):
    """A request to start a process, as the init takes it (see `init.pid1`). `streams` are sent along."""

    name: str
    argv: list[str]
    env: dict[str, str]
    cwd: str
    user: str
    log: bool = True
    keep: bool = True
    tty: bool = False
    streams: tuple[int, ...] = ()


def start_request(process: Process, directory: str) -> Start:
    """Return the request for `process` of the task in `directory`."""
    env = dict(process.env)
    match process.run:
        case Image() as image:
            return Start(process.name, [*image.entrypoint, *image.command], env, process.cwd or "/", "app")
        case Program(argv):
            return Start(process.name, list(argv), env, process.cwd or directory, "root")
        case Exec() as command:
            quiet = Start(process.name, list(command.argv), env, process.cwd or "/", "app", log=False, keep=False)
            return quiet._replace(tty=command.tty, streams=tuple(command.streams))


def states(processes: Mapping[str, Mapping[str, Any]]) -> dict[str, ProcessState]:
    """Return the states that the init reported, as the contract has them."""
    return {name: ProcessState(one["code"], one["started"], one["ended"]) for name, one in processes.items()}


class InitClient:
    """A connection to the init of the task in `directory`; `pid` is the init's, in the sandbox."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self.pid: int = struct.unpack("=iII", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
        self.processes: dict[str, ProcessState] = {}
        self.pids: dict[str, int] = {}  # in the task, of each of `processes`
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._handed: dict[int, int] = {}  # number of a request -> the file descriptor that came with its answer
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        self._last = 0  # the number of the last request
        self._gone = False
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(connection, self._receive)

    @classmethod
    async def connect(cls, directory: Path) -> "InitClient":
        """Raises InitGone when nobody listens."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        connection.setblocking(False)
        try:
            _connect(connection, directory)
        except OSError as error:
            connection.close()
            raise InitGone(f"the init of {directory.name} is gone: {error.strerror}") from error
        client = cls(connection)
        await client.refresh()
        return client

    async def refresh(self) -> None:
        """Learn what has become of the processes that it keeps."""
        processes = (await self._ask({"op": "state"}))["processes"]
        self.processes = states(processes)
        self.pids = {name: one["pid"] for name, one in processes.items()}

    async def start(self, request: Start) -> None:
        """Raises CannotStart."""
        fields = request._asdict()
        streams = fields.pop("streams")
        answer = await self._ask({"op": "start", **fields}, streams)
        if "error" in answer:
            raise CannotStart(answer["error"])
        if request.keep:
            self.processes.setdefault(request.name, ProcessState(None, 0.0, None))
            await self.refresh()

    async def signal(self, name: str, number: int, *, group: bool) -> None:
        await self._ask({"op": "signal", "name": name, "signal": int(number), "group": group})

    async def keep(self, name: str, descriptor: int) -> None:
        """Have the init keep a file descriptor, so that the next node agent finds it."""
        await self._ask({"op": "keep", "name": name}, (descriptor,))

    async def kept(self, name: str) -> int:
        """Return a descriptor of what is kept under this name, -1 when nothing is. The caller owns it."""
        answer = await self._ask({"op": "kept", "name": name})
        return self._handed.pop(answer["id"], -1)

    async def events(self) -> AsyncIterator[Event]:
        """Yield what ends, TaskGone last."""
        while True:
            event = TaskGone() if self._gone and self._events.empty() else await self._events.get()
            yield event
            if isinstance(event, TaskGone):
                return

    def close(self) -> None:
        """Close the connection; the init goes on."""
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket)
            self._socket.close()

    async def _ask(self, request: Mapping[str, Any], fds: Sequence[int] = ()) -> dict[str, Any]:
        self._last += 1
        number = self._last
        answer = self._answers[number] = self._loop.create_future()
        try:
            await self._send(json.dumps({"id": number, **request}).encode(), fds)
            message: dict[str, Any] = await answer
        finally:
            del self._answers[number]
        return message

    async def _send(self, raw: bytes, fds: Sequence[int]) -> None:
        if self._gone or self._socket.fileno() < 0:
            raise InitGone("the task's init is gone")
        while True:
            try:
                socket.send_fds(self._socket, [raw], fds)
            except BlockingIOError:
                await self._writable()
            except OSError as error:
                if error.errno == errno.EMSGSIZE:
                    raise CannotStart(f"command and environment are {len(raw)} bytes, more than can be sent") from error
                raise InitGone(f"the task's init is gone: {error.strerror}") from error
            else:
                return

    async def _writable(self) -> None:
        writable = asyncio.Event()
        self._loop.add_writer(self._socket, writable.set)
        try:
            await writable.wait()
        finally:
            self._loop.remove_writer(self._socket)

    def _receive(self) -> None:
        fds: list[int] = []
        try:
            raw, fds, _, _ = socket.recv_fds(self._socket, _MESSAGE, 1)
        except BlockingIOError:
            return
        except OSError:
            raw = b""
        if not raw:
            self._lose()
            return
        message = json.loads(raw)
        if "event" in message:
            self._exited(ProcessExited(message["name"], message["code"]))
        elif (answer := self._answers.get(message["id"])) and not answer.done():
            for fd in fds:
                os.set_inheritable(fd, False)
                self._handed[message["id"]] = fd
            answer.set_result(message)
        else:  # nobody waits for it any more
            for fd in fds:
                os.close(fd)

    def _exited(self, event: ProcessExited) -> None:
        if before := self.processes.get(event.name):
            self.processes[event.name] = ProcessState(event.code, before.started, None)
        self._events.put_nowait(event)

    def _lose(self) -> None:
        self._gone = True
        self.close()
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(InitGone("the task's init is gone"))
        self._events.put_nowait(TaskGone())


def _connect(connection: socket.socket, directory: Path) -> None:
    # Through a descriptor of the directory: a service's name may make the path longer than a socket's may be.
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        connection.connect(f"/proc/self/fd/{fd}/{SOCKET}")
    finally:
        os.close(fd)
