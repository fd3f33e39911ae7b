"""A command run inside a task for somebody far away: its streams over gRPC.

Rule: what the command writes is read only as fast as it is taken, and nothing of it is lost: the exit code is the last
message. A caller that goes away takes its command along.
"""

import asyncio
import os
import pty
import termios
from asyncio import TaskGroup
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Final, Protocol

from tsunagu.v1 import node_pb2
from tsunagu_node.runtime.contract import RuntimeFailed
from tsunagu_node.task.container_group import ContainerGroup

_PIECE: Final = 32768
_LINGER: Final = 1.0
_END_OF_INPUT: Final = b"\x04"
_LONGEST: Final = 65535
_PLAINEST: Final = "dumb"
Write = Callable[[node_pb2.ExecResponse], Awaitable[None]]
Requests = AsyncIterator[node_pb2.ExecRequest]


class _Streams(Protocol):
    """`theirs`: the command's stdin, stdout and stderr. `outputs`: what is read from here. `input`: what is written to."""

    theirs: tuple[int, int, int]
    outputs: dict[int, str]
    input: int

    def end_input(self) -> bytes:
        """There is no more input; what must be written to say so."""
        ...

    def resize(self, size: node_pb2.TerminalSize) -> None:
        """The caller's terminal has this size."""
        ...

    def fds(self) -> set[int]: ...


class _Pipes:
    def __init__(self) -> None:
        (stdin, self.input), (out, stdout), (err, stderr) = (os.pipe2(os.O_CLOEXEC) for _ in range(3))
        self.theirs = (stdin, stdout, stderr)
        self.outputs = {out: "stdout", err: "stderr"}

    def end_input(self) -> bytes:
        os.close(self.input)
        self.input = -1
        return b""

    def resize(self, size: node_pb2.TerminalSize) -> None:
        """Pipes have none."""

    def fds(self) -> set[int]:
        return {*self.theirs, *self.outputs, self.input} - {-1}


class _Terminal:
    def __init__(self) -> None:
        self.input, slave = pty.openpty()
        self.theirs = (slave, slave, slave)
        self.outputs = {self.input: "stdout"}

    def end_input(self) -> bytes:
        return _END_OF_INPUT

    def resize(self, size: node_pb2.TerminalSize) -> None:
        # The kernel tells the command (SIGWINCH). Its numbers are 16 bits wide.
        termios.tcsetwinsize(self.input, (min(size.rows, _LONGEST), min(size.columns, _LONGEST)))

    def fds(self) -> set[int]:
        return {*self.theirs, self.input} - {-1}


async def execute(containers: ContainerGroup, start: node_pb2.ExecStart, requests: Requests, write: Write) -> None:
    """Runs `start.command` in the container's place, until it has ended and all that it wrote was told. Raises RuntimeFailed."""
    container = start.container or next(
        (plan.name for plan in containers.plans if plan.essential), containers.plans[0].name
    )
    if container not in {plan.name for plan in containers.plans}:
        raise RuntimeFailed(
            f"there is no container {container!r}; there are {', '.join(p.name for p in containers.plans)}"
        )
    streams: _Streams = _Terminal() if start.interactive else _Pipes()
    streams.resize(start.size)
    for fd in (*streams.outputs, streams.input):
        os.set_blocking(fd, False)
    try:
        code = await _attended(containers, (container, start), requests, (streams, write))
    finally:
        for fd in streams.fds():
            os.close(fd)
    await write(node_pb2.ExecResponse(exit_code=code))


async def _attended(
    containers: ContainerGroup,
    what: tuple[str, node_pb2.ExecStart],
    requests: Requests,
    ends: tuple[_Streams, Write],
) -> int:
    container, start = what
    streams, write = ends
    turn = asyncio.Lock()
    async with TaskGroup() as group:
        feeding = group.create_task(_feed(streams, requests), name="stdin")
        copies = [group.create_task(_copy(fd, field, write, turn), name=field) for fd, field in streams.outputs.items()]
        try:
            term = (start.term or _PLAINEST) if start.interactive else ""
            return await containers.run(container, list(start.command), streams.theirs, term=term)
        except RuntimeFailed as error:
            failure = error
        finally:
            feeding.cancel()
            await _finish(streams, copies)
    raise failure


async def _finish(streams: _Streams, copies: list[asyncio.Task[None]]) -> None:
    """The rest of the output. A child of the command may keep it open for ever, so not for long."""
    for fd in set(streams.theirs):
        os.close(fd)
    streams.theirs = (-1, -1, -1)
    _, open_ones = await asyncio.wait(copies, timeout=_LINGER)
    for copy in open_ones:
        copy.cancel()


async def _copy(fd: int, field: str, write: Write, turn: asyncio.Lock) -> None:
    while piece := await _read(fd):
        async with turn:
            await write(node_pb2.ExecResponse(**{field: piece}))  # type: ignore[arg-type]


async def _feed(streams: _Streams, requests: Requests) -> None:
    async for request in requests:
        if request.stdin_eof:
            await _write(streams.input, streams.end_input())
            return
        if request.HasField("size"):
            streams.resize(request.size)
        with suppress(BrokenPipeError):
            await _write(streams.input, request.stdin)


async def _read(fd: int) -> bytes:
    loop = asyncio.get_running_loop()
    while True:
        try:
            return os.read(fd, _PIECE)
        except BlockingIOError:
            await _ready(fd, loop.add_reader, loop.remove_reader)
        except OSError:
            return b""  # EIO: the terminal's other side is closed


async def _write(fd: int, piece: bytes) -> None:
    loop = asyncio.get_running_loop()
    while piece:
        try:
            piece = piece[os.write(fd, piece) :]
        except BlockingIOError:
            await _ready(fd, loop.add_writer, loop.remove_writer)


async def _ready(fd: int, add: Callable[..., None], remove: Callable[[int], bool]) -> None:
    ready = asyncio.Event()
    add(fd, ready.set)
    try:
        await ready.wait()
    finally:
        remove(fd)
