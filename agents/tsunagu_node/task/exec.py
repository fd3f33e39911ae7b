"""A command in a container's place for a remote caller, with its streams over gRPC.

Rule: output is read only as fast as the caller takes it, and all of it is sent before the exit code, the last message. A
command ends with its caller.
"""

import asyncio
import os
import pty
import termios
from asyncio import TaskGroup
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Final, Protocol

from tsunagu.v1 import node_pb2
from tsunagu_node import descriptors
from tsunagu_node.runtime.contract import RuntimeFailed
from tsunagu_node.task.container_group import Beside, ContainerGroup

_LINGER: Final = 1.0
_END_OF_INPUT: Final = b"\x04"
_LONGEST: Final = 65535
_PLAINEST: Final = "dumb"
Write = Callable[[node_pb2.ExecResponse], Awaitable[None]]
Requests = AsyncIterator[node_pb2.ExecRequest]


class _Streams(Protocol):
    """Both ends of a command's streams, as file descriptors.

    `theirs`: its stdin, stdout and stderr; -1 once closed here. `outputs`: to read from, with the field of the message for
    each. `input`: to write to; -1 once closed.
    """

    theirs: tuple[int, int, int]
    outputs: dict[int, str]
    input: int

    def end_input(self) -> bytes:
        """End the input; return what has to be written for that."""
        ...

    def resize(self, size: node_pb2.TerminalSize) -> None:
        """Take the size of the caller's terminal over."""
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
        """Pipes have no size."""

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
        # The kernel signals the command (SIGWINCH). The kernel's numbers are 16 bits wide.
        termios.tcsetwinsize(self.input, (min(size.rows, _LONGEST), min(size.columns, _LONGEST)))

    def fds(self) -> set[int]:
        return {*self.theirs, self.input} - {-1}


async def execute(containers: ContainerGroup, start: node_pb2.ExecStart, requests: Requests, write: Write) -> None:
    """Run `start.command` in the container's place and send all of its output, then its exit code. Raises RuntimeFailed."""
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
        code = await _run(containers, (container, start), requests, (streams, write))
    finally:
        for fd in streams.fds():
            os.close(fd)
    await write(node_pb2.ExecResponse(exit_code=code))


async def _run(
    containers: ContainerGroup,
    what: tuple[str, node_pb2.ExecStart],
    requests: Requests,
    ends: tuple[_Streams, Write],
) -> int:
    container, start = what
    streams, write = ends
    turn = asyncio.Lock()
    names: list[str] = []
    async with TaskGroup() as group:
        signal = partial(_signal, containers, names)
        feeding = group.create_task(_forward_input(streams, requests, signal), name="stdin")
        copies = [group.create_task(_copy(fd, field, write, turn), name=field) for fd, field in streams.outputs.items()]
        try:
            term = (start.term or _PLAINEST) if start.interactive else ""
            more = Beside(dict(start.environment), start.directory, term, names.append)
            return await containers.run(container, list(start.command), streams.theirs, more)
        except RuntimeFailed as error:
            failure = error
        finally:
            feeding.cancel()
            await _finish(streams, copies)
    raise failure


async def _finish(streams: _Streams, copies: list[asyncio.Task[None]]) -> None:
    """Read the rest of the output, for _LINGER seconds at most: a child of the command may keep it open for ever."""
    for fd in set(streams.theirs):
        os.close(fd)
    streams.theirs = (-1, -1, -1)
    _, open_ones = await asyncio.wait(copies, timeout=_LINGER)
    for copy in open_ones:
        copy.cancel()


async def _copy(fd: int, field: str, write: Write, turn: asyncio.Lock) -> None:
    while piece := await descriptors.read(fd):
        async with turn:
            await write(node_pb2.ExecResponse(**{field: piece}))  # type: ignore[arg-type]


async def _signal(containers: ContainerGroup, names: list[str], number: int) -> None:
    for name in names:
        with suppress(RuntimeFailed):
            await containers.signal(name, number)


async def _forward_input(streams: _Streams, requests: Requests, signal: Callable[[int], Awaitable[None]]) -> None:
    """Pass on input and its end, and what may come after it."""
    async for request in requests:
        if request.stdin_eof and streams.input >= 0:
            await descriptors.write(streams.input, streams.end_input())
        if request.HasField("size"):
            streams.resize(request.size)
        if request.signal:
            await signal(request.signal)
        if request.stdin and streams.input >= 0:
            with suppress(BrokenPipeError):
                await descriptors.write(streams.input, request.stdin)
