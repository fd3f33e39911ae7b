"""Ports of the machine that lead into a namespace: listened at outside, handed to a process of a gateway's task.

Rule: from then on they need nobody: the process (`relay`) accepts and relays while node agents come and go. It is started
again when it dies, and told to accept no more when the task is to end.
"""

import asyncio
import json
import os
import signal
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from tsunagu.kit.log import get
from tsunagu.v1 import objects_pb2
from tsunagu_node.runtime.contract import Process, RunningTask, Runtime
from tsunagu_node.runtime.linux import processes
from tsunagu_node.runtime.linux.host_helper import PortTaken

NAME: Final = "relay"
_LOCAL: Final = "127.0.0.1"
_RETRY: Final = 0.5
log = get("node.gateway")


class Relay:
    """The published ports of one gateway's task. `changed` is called when `open` is another."""

    def __init__(
        self, runtime: Runtime, ports: Sequence[objects_pb2.PublishedPort], changed: Callable[[], None]
    ) -> None:
        self._runtime = runtime
        self._ports = ports
        self._changed = changed
        self._ended = asyncio.Event()
        self._wanted = True
        self.open = False

    async def run(self, task: RunningTask, ready: asyncio.Event) -> None:
        """Until it was drained: from `ready` on the ports are open, whatever dies. Raises PortTaken at the first start."""
        adopted = runs(task)
        while self._wanted:
            if not adopted:
                await self._start(task, ready, patient=self.open)
            adopted = False
            self.open = True
            self._changed()
            await self._ended.wait()

    def exited(self, code: int) -> None:
        """Its process is gone."""
        log.info("relay ended", code=code)
        self._ended.set()

    async def drain(self, task: RunningTask) -> None:
        """No new connections; those that there are go on."""
        self._wanted = False
        await task.signal(NAME, signal.SIGTERM)

    async def _start(self, task: RunningTask, ready: asyncio.Event, *, patient: bool) -> None:
        self._ended.clear()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours:
            with theirs:
                await _spawn(task, theirs)
            await ready.wait()
            listeners = await self._listen(patient=patient)
            targets = json.dumps([[port.alias, port.port] for port in self._ports])
            with suppress(OSError):  # it has died meanwhile, and is started again
                socket.send_fds(ours, [targets.encode()], [listener.fileno() for listener in listeners])
            for listener in listeners:
                listener.close()

    async def _listen(self, *, patient: bool) -> list[socket.socket]:
        """A socket for each port. `patient`: they were ours a moment ago, so whoever has one now is waited for."""
        while True:
            listeners: list[socket.socket] = []
            try:
                for port in self._ports:
                    listeners.append(await self._runtime.listen(port.host or _LOCAL, port.host_port))  # noqa: PERF401 - closed below
            except PortTaken as error:
                for listener in listeners:
                    listener.close()
                if not patient:
                    raise
                log.warning("published port", reason=str(error))
            else:
                return listeners
            await asyncio.sleep(_RETRY)


def runs(task: RunningTask) -> bool:
    """Whether the process that a former agent started is there."""
    process = task.processes().get(NAME)
    return process is not None and process.code is None


async def _spawn(task: RunningTask, channel: socket.socket) -> None:
    output = os.open(_log(task), os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        command = processes.python("tsunagu_node.runtime.linux.init.relay")
        await task.start(Process(NAME, command, user="root"), (channel.fileno(), output, output))
    finally:
        os.close(output)


def _log(task: RunningTask) -> Path:
    return task.directory / "log" / f"{NAME}.err"
