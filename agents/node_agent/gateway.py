"""Ports of the machine that lead into a namespace: listened at outside, connected from inside a gateway's task.

Rule: bytes only, both ways, and an end of one direction is passed on without ending the other. What comes in is spread by
the task's Envoy, as a call of any other task would be.
"""

import asyncio
import contextlib
import socket
from asyncio import TaskGroup
from collections.abc import Callable, Sequence
from typing import Final

from tsunagu.v1 import objects_pb2

from controlplane.kit.log import get
from node_agent.names import Names
from node_agent.outside import PortTaken
from node_agent.runtime import RunningTask, Runtime

_PIECE: Final = 65536
_LOCAL: Final = "127.0.0.1"
log = get("node.gateway")


class Relays:
    """The published ports of one gateway's task in `namespace`."""

    def __init__(self, runtime: Runtime, names: Names, namespace: str) -> None:
        self._runtime = runtime
        self._names = names
        self._namespace = namespace
        self._accepting: list[asyncio.Task[None]] = []
        self._connections = 0
        self._idle = asyncio.Condition()
        self.open = False

    async def run(
        self, task: RunningTask, ports: Sequence[objects_pb2.PublishedPort], changed: Callable[[], None]
    ) -> None:
        """Listens and relays until cancelled or closed. Raises PortTaken, with nothing left open."""
        listeners = await self._listen(ports)
        self.open = True
        changed()
        async with TaskGroup() as group:
            self._accepting = [
                group.create_task(self._accept(group, listener, task, port), name=f"port {port.host_port}")
                for listener, port in zip(listeners, ports, strict=True)
            ]

    def close(self) -> None:
        """No new connections; those that there are go on."""
        self.open = False
        for accepting in self._accepting:
            accepting.cancel()

    async def drained(self) -> None:
        """Closes, and waits until no connection is left."""
        self.close()
        async with self._idle:
            await self._idle.wait_for(lambda: self._connections == 0)

    async def _listen(self, ports: Sequence[objects_pb2.PublishedPort]) -> list[socket.socket]:
        listeners: list[socket.socket] = []
        try:
            for port in ports:
                listeners.append(await self._runtime.listen(port.host or _LOCAL, port.host_port))  # noqa: PERF401 - closed below
        except PortTaken:
            for listener in listeners:
                listener.close()
            raise
        return listeners

    async def _accept(
        self, group: TaskGroup, listener: socket.socket, task: RunningTask, port: objects_pb2.PublishedPort
    ) -> None:
        loop = asyncio.get_running_loop()
        with listener:
            listener.setblocking(False)
            while True:
                client, peer = await loop.sock_accept(listener)
                group.create_task(self._relay(client, task, port), name=f"relay {peer}")

    async def _relay(self, client: socket.socket, task: RunningTask, port: objects_pb2.PublishedPort) -> None:
        self._connections += 1
        try:
            ip = self._names.of(self._namespace).get(port.alias, "")
            with client, await task.connect(ip, port.port) as server:
                await _pump(client, server)
        except OSError as error:
            log.debug("connection ended", port=port.host_port, reason=error.strerror or str(error))
        finally:
            client.close()
            async with self._idle:
                self._connections -= 1
                self._idle.notify_all()


async def _pump(one: socket.socket, other: socket.socket) -> None:
    """Bytes both ways until both ends have said that they are done."""
    one.setblocking(False)
    other.setblocking(False)
    try:
        async with TaskGroup() as group:
            group.create_task(_copy(one, other), name="in")
            group.create_task(_copy(other, one), name="out")
    except* OSError as errors:
        raise OSError(errors.exceptions[0]) from errors


async def _copy(source: socket.socket, target: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    while piece := await loop.sock_recv(source, _PIECE):
        await loop.sock_sendall(target, piece)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)
