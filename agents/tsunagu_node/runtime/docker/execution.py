"""A command in a running container, its streams pumped between the engine's connection and the caller's descriptors.

Rule: the command has ended when the engine says so, not when its streams end: a child of it may keep them open. And it does
not end with its streams, so that it has to be killed by whoever gives it up.
"""

import asyncio
import os
import termios
import tty
from asyncio import TaskGroup
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from tsunagu.kit.backoff import Backoff
from tsunagu_node import descriptors
from tsunagu_node.runtime.contract import CannotStart, Exec, Process
from tsunagu_node.runtime.docker.engine import errors
from tsunagu_node.runtime.docker.engine.engine import Engine, EngineError, EngineGone, Pair
from tsunagu_node.runtime.docker.engine.frames import Demultiplexer, Frame

_LINGER: Final = 1.0
_SIZE_SECONDS: Final = 0.2
_RETRY: Final = Backoff(base=0.01, cap=0.5)
_PID_TRIES: Final = 30
_NOT_STARTED: Final = frozenset({126, 127})
_OCI: Final = b"OCI runtime exec failed"
_LOST: Final = 137


class Execution:
    """The command of `process` in the container `container`. It owns copies of the caller's descriptors from `start` on."""

    def __init__(self, engine: Engine, container: str, process: Process, command: Exec) -> None:
        self._engine = engine
        self._container = container
        self._process = process
        self._command = command
        self._streams = [os.dup(fd) for fd in command.streams]
        self._first = b""  # what the command wrote before it was attended to
        self._pair: Pair | None = None
        self.id = ""
        self.ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def start(self) -> None:
        """Start it, `run` has to follow. Raises EngineError, EngineGone."""
        body = request(self._process, self._command)
        self.id = (await self._engine.call("POST", f"/containers/{self._container}/exec", None, body))["Id"]
        how = {"Detach": False, "Tty": self._command.tty}
        self._first, self._pair = await self._engine.upgrade(f"/exec/{self.id}/start", how)
        await self._check()

    async def run(self) -> int:
        """Attend to it until its end; return its exit code."""
        for fd in self._streams:
            os.set_blocking(fd, False)
        if self._command.tty:
            with suppress(termios.error):
                tty.setraw(self._streams[0])
        try:
            return await self._run()
        finally:
            self.release()

    async def pid(self) -> int:
        """Return its pid as the machine sees it, 0 when it has ended."""
        found = await self._inspect()
        return int(found.get("Pid") or 0) if found.get("Running") else 0

    def release(self) -> None:
        """Close its copies of the caller's descriptors, and the connection."""
        for fd in self._streams:
            os.close(fd)
        self._streams = []
        if self._pair is not None:
            self._pair[1].transport.abort()

    async def _check(self) -> None:
        """Wait until it runs, or has run. Raises CannotStart when it could not be started: the engine tells why as if the
        command had written it. Until an engine has begun, the command neither runs nor has an exit code.
        """
        for attempt in range(1, _PID_TRIES):
            found = await self._inspect()
            if found.get("Pid") or self.ended.done():
                return
            if not found.get("Running") and found.get("ExitCode") is not None:
                break
            await asyncio.sleep(_RETRY.delay(attempt))
        if found.get("ExitCode") in _NOT_STARTED:
            await self._check_words()

    async def _check_words(self) -> None:
        """Raise CannotStart when all that came is why it could not be started."""
        assert self._pair is not None
        self._first += await _read(self._pair[0])
        raw = self._first
        text = raw if self._command.tty else b"".join(frame.payload for frame in Demultiplexer().feed(raw))
        if text.startswith(_OCI):
            raise CannotStart(errors.plain(text.decode(errors="replace")))

    async def _run(self) -> int:
        assert self._pair is not None
        reader, writer = self._pair
        async with TaskGroup() as group:
            output = group.create_task(self._copy_out(self._first, reader), name="output")
            jobs = [output]
            if self._streams:
                jobs.append(group.create_task(self._copy_in(writer), name="input"))
            if self._command.tty:
                jobs.append(group.create_task(self._follow_size(), name="size"))
            code = await self.ended
            await asyncio.wait([output], timeout=_LINGER)
            for job in jobs:
                job.cancel()
        return code

    async def _copy_out(self, first: bytes, reader: asyncio.StreamReader) -> None:
        frames = Demultiplexer()
        piece = first or await _read(reader)
        while piece:
            for frame in [Frame("stdout", piece)] if self._command.tty else frames.feed(piece):
                await self._write(frame)
            piece = await _read(reader)
        code = await self._exit_code()
        if not self.ended.done():
            self.ended.set_result(code)

    async def _write(self, frame: Frame) -> None:
        if self._streams:
            with suppress(OSError):  # nobody reads it any more
                await descriptors.write(self._streams[2 if frame.stream == "stderr" else 1], frame.payload)

    async def _copy_in(self, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while piece := await descriptors.read(self._streams[0]):
                writer.write(piece)
                await writer.drain()
            writer.write_eof()

    async def _follow_size(self) -> None:
        """Give the command's terminal the size of the caller's, of whose changes nobody tells."""
        known: tuple[int, int] | None = None
        while True:
            with suppress(termios.error):
                size = termios.tcgetwinsize(self._streams[0])
                if size != known and all(size):
                    known = size
                    with suppress(EngineError, EngineGone):
                        await self._engine.call("POST", f"/exec/{self.id}/resize", {"h": size[0], "w": size[1]})
            await asyncio.sleep(_SIZE_SECONDS)

    async def _exit_code(self) -> int:
        """Return its exit code once the engine knows it; of an engine that has forgotten it, that of a killed one."""
        attempt = 0
        while True:
            attempt += 1
            try:
                found = await self._inspect()
            except EngineError:
                return _LOST
            except EngineGone:
                found = {"Running": True}
            if not found.get("Running"):
                code = found.get("ExitCode")
                return _LOST if code is None else int(code)
            await asyncio.sleep(_RETRY.delay(attempt))

    async def _inspect(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = await self._engine.call("GET", f"/exec/{self.id}/json")
        return found


def request(process: Process, command: Exec) -> dict[str, Any]:
    """Return the body of the request that makes the command known. Pure."""
    body: dict[str, Any] = {
        "Cmd": list(command.argv),
        "AttachStdin": bool(command.streams),
        "AttachStdout": True,
        "AttachStderr": True,
        "Tty": command.tty,
        "Env": [f"{name}={value}" for name, value in process.env.items()],
    }
    return {**body, "WorkingDir": process.cwd} if process.cwd else body


async def _read(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read(descriptors.PIECE)
    except OSError:
        return b""
