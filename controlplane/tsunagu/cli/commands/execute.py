"""`tsunagu exec`: a command inside a task, with our standard streams and its exit code."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import sys
import termios
import tty
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Annotated, Any

import grpc.aio
import typer

from tsunagu.cli.command import command
from tsunagu.cli.errors import FAILED, NOT_FOUND, USAGE, CliError
from tsunagu.cli.output import notice
from tsunagu.client.connection import client_errors, connected, node_agent, short
from tsunagu.client.tasks import all_tasks
from tsunagu.kit.spelling import did_you_mean
from tsunagu.settings import Home
from tsunagu.v1 import node_pb2

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator

    from tsunagu.v1.objects_pb2 import Object


_CHUNK = 64 * 1024
_QUEUED = 4
_NOT_RUN = 127  # as shells have it
_USAGE = "tsunagu exec [-c CONTAINER] TASK -- COMMAND..."


@command
async def execute(
    home: Home,
    task: Annotated[str, typer.Argument(help="ID of a task, or a service: its oldest running task.")],
    program: Annotated[list[str], typer.Argument(metavar="[--] COMMAND...", help="What to run, with its arguments.")],
    container: Annotated[
        str, typer.Option("-c", "--container", help="Whose environment it gets [default: the first essential one].")
    ] = "",
) -> None:
    """Run a command inside a task, in its network; ends with the command's exit code."""
    program = wanted(program, _USAGE)
    async with connected(home) as link:
        choice = (await all_tasks(link)).choose(task)
        if choice.why:
            notice(choice.why)
        _check_container(choice.task, container)
        start = node_pb2.ExecStart(task=choice.task.meta.name, container=container, command=program)
        with client_errors(home), terminal(start):
            async with node_agent(link, choice.task) as agent:
                code = await attended(agent, start)
    raise typer.Exit(code)


def _check_container(task: Object, container: str) -> None:
    """Raises CliError when the task is known to have no container of that name."""
    known = [one.name for one in task.task.status.containers]
    if container and known and container not in known:
        hint = did_you_mean(container, known, f"it has {', '.join(known)}")
        raise CliError(f"{short(task.meta.name)} has no container {container!r}", NOT_FOUND, hint)


def wanted(words: list[str], usage: str) -> list[str]:
    """The command, without the dashes before it. Raises CliError."""
    if words[0] != "--" and words[0].startswith("-"):
        raise CliError(f"{words[0]} stands where the command is", USAGE, usage)
    program = words[1:] if words[0] == "--" else words
    if not program or not program[0]:
        raise CliError("there is no command", USAGE, usage)
    return program


@contextmanager
def terminal(start: node_pb2.ExecStart) -> Iterator[None]:
    """The command gets a terminal when we have one at both ends; ours then only passes on every key, Ctrl-C as well."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        yield
        return
    start.interactive, start.term = True, os.environ.get("TERM", "")
    start.size.CopyFrom(_size())
    before = termios.tcgetattr(0)
    tty.setraw(0)
    try:
        yield
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)


def _size() -> node_pb2.TerminalSize:
    rows, columns = termios.tcgetwinsize(0)
    return node_pb2.TerminalSize(rows=rows, columns=columns)


async def attended(agent: Any, start: node_pb2.ExecStart, passed: Iterable[signal.Signals] = ()) -> int:
    """Run the command with our standard streams; return its exit code. `passed`: signals of ours that are the command's."""
    queue: asyncio.Queue[node_pb2.ExecRequest] = asyncio.Queue(_QUEUED)
    loop, numbers = asyncio.get_running_loop(), tuple(passed)
    for number in numbers:
        loop.add_signal_handler(number, _enqueue, queue, node_pb2.ExecRequest(signal=number))
    async with asyncio.TaskGroup() as group:
        reading = group.create_task(_fill(_requests(start), queue), name="standard input")
        outcome = await _outcome(agent, queue)
        reading.cancel()
    for number in numbers:
        loop.remove_signal_handler(number)
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


async def _outcome(agent: Any, queue: asyncio.Queue[node_pb2.ExecRequest]) -> int | Exception:
    """The command's exit code, or why there is none: raised, it would be one error of a group."""
    try:
        return await _exit_code(agent, queue)
    except (CliError, grpc.aio.AioRpcError, OSError) as error:
        return error


async def _exit_code(agent: Any, queue: asyncio.Queue[node_pb2.ExecRequest]) -> int:
    async for answer in agent.Exec(_each(queue)):
        match answer.WhichOneof("response"):
            case "stdout":
                _write(sys.stdout.fileno(), answer.stdout)
            case "stderr":
                _write(sys.stderr.fileno(), answer.stderr)
            case "exit_code":
                return int(answer.exit_code)
            case "refused":
                raise CliError(answer.refused, _NOT_RUN)
    raise CliError("the node agent ended the command without an exit code", FAILED)


def _write(descriptor: int, text: bytes) -> None:
    while text:
        text = text[os.write(descriptor, text) :]


async def _each(queue: asyncio.Queue[node_pb2.ExecRequest]) -> AsyncIterator[node_pb2.ExecRequest]:
    while True:
        yield await queue.get()


def _enqueue(queue: asyncio.Queue[node_pb2.ExecRequest], request: node_pb2.ExecRequest) -> None:
    with suppress(asyncio.QueueFull):  # so many keys wait that one signal more says nothing
        queue.put_nowait(request)


async def _fill(requests: AsyncIterator[node_pb2.ExecRequest], queue: asyncio.Queue[node_pb2.ExecRequest]) -> None:
    async for request in requests:
        await queue.put(request)


async def _requests(start: node_pb2.ExecStart) -> AsyncIterator[node_pb2.ExecRequest]:
    yield node_pb2.ExecRequest(start=start)
    if start.interactive:
        async for request in _typed():
            yield request
        return
    while chunk := await _piped():
        yield node_pb2.ExecRequest(stdin=chunk)
    yield node_pb2.ExecRequest(stdin_eof=True)


async def _typed() -> AsyncIterator[node_pb2.ExecRequest]:
    """Keys as they come, and each new size of our terminal."""
    loop, news, known = asyncio.get_running_loop(), asyncio.Event(), _size()
    loop.add_reader(0, news.set)
    loop.add_signal_handler(signal.SIGWINCH, news.set)
    try:
        while True:
            await news.wait()
            news.clear()
            if (size := _size()) != known:
                known = size
                yield node_pb2.ExecRequest(size=size)
            if not _has_come():
                continue
            if not (keys := _read()):
                break
            yield node_pb2.ExecRequest(stdin=keys)
        yield node_pb2.ExecRequest(stdin_eof=True)
    finally:
        loop.remove_reader(0)
        loop.remove_signal_handler(signal.SIGWINCH)


async def _piped() -> bytes:
    """The next bytes of a standard input that is no terminal of ours alone; empty at its end.

    Its mode stays as it is: O_NONBLOCK belongs to the open file, which our caller has as well, and often is our output.
    """
    loop = asyncio.get_running_loop()
    while True:
        readable = asyncio.Event()
        try:
            loop.add_reader(0, readable.set)
        except OSError:  # a file, which epoll does not take (epoll_ctl(2), EPERM) and whose reads end; or it is closed
            return await asyncio.to_thread(_read)
        try:
            await readable.wait()
        finally:
            loop.remove_reader(0)  # nobody is to be woken by it while we cannot pass it on
        if _has_come():
            return _read()


def _has_come() -> bool:
    """Whether a read would not block: who shares our standard input may have been faster."""
    return bool(select.select([0], [], [], 0)[0])


def _read() -> bytes:
    try:
        return os.read(0, _CHUNK)
    except OSError:  # the terminal is gone, or standard input is closed
        return b""
