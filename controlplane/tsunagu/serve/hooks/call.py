"""One call of a hook: the event goes to a command's stdin or is posted to a URL, and the reply comes back.

The one rule: a call ends. It has a limit of time and of bytes, its process group does not outlive it, nor the control plane
(`kit.tether`), and whatever goes wrong is an answer: FAILED, with the reason.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from tsunagu.kit import tether
from tsunagu.kit.http import HttpError, Request, ResponseTooLarge, ask
from tsunagu.serve.hooks.answer import answer, failed, shown
from tsunagu.serve.hooks.hook_map import Command

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tsunagu.serve.hooks.hook_map import Target, Url
    from tsunagu.v1.deployments_pb2 import HookAnswer

_CHUNK: Final = 16 * 1024
_END_SECONDS: Final = 2.0  # from SIGTERM to SIGKILL
_OK: Final = 200


@dataclass(frozen=True, slots=True)
class CallLimits:
    """`seconds`: of one call, Lambda's own limit; `reply_bytes`: of what it replies; `error_bytes`: kept of what it says on stderr."""

    seconds: float = 900.0
    reply_bytes: int = 64 * 1024
    error_bytes: int = 4 * 1024


@dataclass(frozen=True, slots=True)
class Caller:
    """Calls targets. `environment`: of the commands."""

    environment: Mapping[str, str]
    limits: CallLimits = field(default_factory=CallLimits)

    async def call(self, target: Target, event: bytes) -> HookAnswer:
        """Call it, and return what it answers. A call that is cancelled ends its command."""
        try:
            async with asyncio.timeout(self.limits.seconds):
                return await (self._run(target, event) if isinstance(target, Command) else self._post(target, event))
        except TimeoutError:
            return failed(f"{target} did not end within {self.limits.seconds:g} s")

    async def _post(self, url: Url, event: bytes) -> HookAnswer:
        host = url.url.split("://", 1)[1].split("/", 1)[0].rpartition("@")[2]
        request = Request(url.target, "POST", host, {"content-type": "application/json"}, event)
        try:
            reply = await ask(url.address, request, timeout=self.limits.seconds, max_body=self.limits.reply_bytes)
        except ResponseTooLarge as error:
            return failed(f"{url}: {error}")
        except (OSError, HttpError) as error:
            if isinstance(error, TimeoutError):
                raise
            return failed(f"{url} cannot be called: {error}")
        if reply.status != _OK:
            return failed(f"{url} answered {reply.status}: {shown(reply.body)}")
        return answer(reply.body)

    async def _run(self, command: Command, event: bytes) -> HookAnswer:
        words, directory = command.command, command.directory
        if not os.path.isdir(directory):  # noqa: PTH112 - one stat
            return failed(f"{command} cannot run: there is no directory {directory}")
        program = os.path.join(directory, words[0]) if "/" in words[0] else words[0]  # noqa: PTH118
        if shutil.which(program, path=self.environment.get("PATH")) is None:
            return failed(f"{command} cannot run: there is no program {program}")
        return await self._tethered(command, program, event)

    async def _tethered(self, command: Command, program: str, event: bytes) -> HookAnswer:
        release, held = os.pipe()
        try:
            try:
                process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-I", "-S", tether.__file__, str(release), str(_END_SECONDS), "--alone"),
                    *(program, *command.command[1:]),
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=asyncio.subprocess.PIPE,
                    cwd=command.directory,
                    env=dict(self.environment),
                    pass_fds=(release,),
                    start_new_session=True,
                )
            finally:
                os.close(release)
            try:
                return await self._exchange(command, process, event)
            finally:
                os.close(held)
                held = -1
                await _ended(process)
        finally:
            if held >= 0:
                os.close(held)

    async def _exchange(self, command: Command, process: asyncio.subprocess.Process, event: bytes) -> HookAnswer:
        """Give it the event, and read until it has ended; one that replies too much is ended at once."""
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        async with asyncio.TaskGroup() as group:
            said = group.create_task(_first(process.stdout, self.limits.reply_bytes + 1), name="hook's reply")
            told = group.create_task(_last(process.stderr, self.limits.error_bytes), name="hook's stderr")
            with suppress(BrokenPipeError, ConnectionResetError):  # it need not read the event
                process.stdin.write(event)
                await process.stdin.drain()
                process.stdin.close()
            reply = await said
            if len(reply) > self.limits.reply_bytes:
                told.cancel()
                return failed(f"{command} replied more than {self.limits.reply_bytes} bytes")
            code = await process.wait()
            line = (await told).strip().rpartition(b"\n")[2]
        if code:
            return failed(f"{command} ended with exit code {code}{f': {shown(line)}' if line else ''}")
        return answer(reply)


async def _ended(process: asyncio.subprocess.Process) -> None:
    """Wait until it is gone. What it still says is dropped: asyncio sees no end of a process whose output is not read."""
    assert process.stdout is not None
    assert process.stderr is not None
    async with asyncio.TaskGroup() as group:
        group.create_task(_last(process.stdout, 1), name="hook's last output")
        group.create_task(_last(process.stderr, 1), name="hook's last stderr")
        await process.wait()


async def _first(stream: asyncio.StreamReader, most: int) -> bytes:
    """What comes until the end, or the first bytes of more."""
    read = bytearray()
    while len(read) < most and (part := await stream.read(_CHUNK)):
        read += part
    return bytes(read)


async def _last(stream: asyncio.StreamReader, most: int) -> bytes:
    """The last bytes of what comes until the end."""
    kept = b""
    while part := await stream.read(_CHUNK):
        kept = (kept + part)[-most:]
    return kept
