"""Relays what comes to a port of a twin to its task: connections of TCP, and datagrams of UDP.

Rule: bytes only, both ways; the end of one direction is passed on without ending the other, and a task that refuses is a reset for
the caller. Nothing grows without limit: `CONNECTIONS` of TCP, the next ones wait; `FLOWS` of UDP, of which the one that was silent
for longest makes room, and each ends after `IDLE` seconds of silence.
"""

import asyncio
import socket
import struct
from asyncio import TaskGroup
from collections import OrderedDict
from collections.abc import Callable
from contextlib import closing, suppress
from typing import Final

from tsunagu.kit.accepting import accept

CONNECTIONS: Final = 512
FLOWS: Final = 512
IDLE: Final = 60.0
_CONNECT: Final = 5.0
_PIECE: Final = 65536
_RESET: Final = struct.pack("ii", 1, 0)
Target = tuple[str, int]


async def tcp(listener: socket.socket, target: Target) -> None:
    """Relay connections until cancelled; they all end then."""
    name = f"connection to {target[0]}:{target[1]}"
    await accept(listener, CONNECTIONS, lambda client: _connection(client, target), name)


async def _connection(client: socket.socket, target: Target) -> None:
    with closing(client), socket.socket(socket.AF_INET, socket.SOCK_STREAM) as server:
        for one in (client, server):
            one.setblocking(False)
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            async with asyncio.timeout(_CONNECT):
                await asyncio.get_running_loop().sock_connect(server, target)
            await _both(client, server)
        except (OSError, TimeoutError):
            for one in (client, server):  # neither side may take what it has for the whole
                with suppress(OSError):
                    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)


async def _both(one: socket.socket, other: socket.socket) -> None:
    try:
        async with TaskGroup() as group:
            group.create_task(_copy(one, other), name="in")
            group.create_task(_copy(other, one), name="out")
    except* OSError as errors:
        raise OSError(str(errors.exceptions[0])) from errors


async def _copy(source: socket.socket, target: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    while piece := await loop.sock_recv(source, _PIECE):
        await loop.sock_sendall(target, piece)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


async def udp(datagrams: socket.socket, target: Target) -> None:
    """Relay datagrams until cancelled. Each caller has a socket of its own towards the task, so that answers find back."""
    loop = asyncio.get_running_loop()
    flows = Flows(datagrams, target)
    datagrams.setblocking(False)
    loop.add_reader(datagrams, flows.forward)
    try:
        while True:
            await asyncio.sleep(IDLE / 2)
            flows.expire(loop.time() - IDLE)
    finally:
        loop.remove_reader(datagrams)
        flows.close()


class Flows:
    """The flows of one port, those that were used last at the end. `_flows`: caller -> its socket, and when it was used."""

    def __init__(self, datagrams: socket.socket, target: Target) -> None:
        self._datagrams = datagrams
        self._target = target
        self._loop = asyncio.get_running_loop()
        self._flows: OrderedDict[Target, tuple[socket.socket, float]] = OrderedDict()

    def forward(self) -> None:
        """Take one datagram of a caller."""
        with suppress(OSError):
            piece, caller = self._datagrams.recvfrom(_PIECE)
            self._of(caller).send(piece)

    def expire(self, before: float) -> None:
        """End the flows that nobody has used since then."""
        while self._flows and next(iter(self._flows.values()))[1] < before:
            self._end()

    def close(self) -> None:
        while self._flows:
            self._end()

    def _of(self, caller: Target) -> socket.socket:
        known = self._flows.pop(caller, None)
        flow = known[0] if known else self._begin(caller)
        self._flows[caller] = flow, self._loop.time()
        return flow

    def _begin(self, caller: Target) -> socket.socket:
        if len(self._flows) >= FLOWS:
            self._end()
        flow = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        flow.setblocking(False)
        flow.connect(self._target)
        self._loop.add_reader(flow, self._backward(flow, caller))
        return flow

    def _backward(self, flow: socket.socket, caller: Target) -> Callable[[], None]:
        def take() -> None:
            with suppress(OSError):  # the task refuses, or the caller is gone: as if it had been lost
                self._datagrams.sendto(flow.recv(_PIECE), caller)

        return take

    def _end(self) -> None:
        _, (flow, _) = self._flows.popitem(last=False)
        self._loop.remove_reader(flow)
        flow.close()
