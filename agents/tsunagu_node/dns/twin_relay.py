"""Relays what comes to a port of a twin to its task: connections of TCP, and datagrams of UDP.

Rule: bytes only, both ways; the end of one direction is passed on without ending the other, and a task that refuses is a reset for
the caller, in plaintext and with TLS. How a task is reached is asked anew for each connection (`Entrance`). Nothing grows without limit: `CONNECTIONS` of TCP, the next ones wait; `FLOWS` of UDP, of which the one that was silent
for longest makes room, and each ends after `IDLE` seconds of silence.
"""

import asyncio
import socket
from asyncio import TaskGroup
from collections import OrderedDict
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import Final, Protocol

from tsunagu.kit.accepting import accept
from tsunagu_node.dns.stream import PIECE, Plain, Stream, Target, Way, connected

CONNECTIONS: Final = 512
FLOWS: Final = 512
IDLE: Final = 60.0
_CONNECT: Final = 5.0


class Entrance(Protocol):
    """How one port of a task is reached."""

    async def way(self) -> Way:
        """Return how it is reached now, once that is known."""

    def failed(self, error: OSError) -> None:
        """Hear of a connection that could not be made, or ended in an error."""


async def tcp(listener: socket.socket, entrance: Entrance) -> None:
    """Relay connections until cancelled; they all end then."""
    await accept(listener, CONNECTIONS, lambda client: _connection(client, entrance), "connection through a twin")


async def _connection(client: socket.socket, entrance: Entrance) -> None:
    with ExitStack() as held:
        near = Plain(client)
        held.callback(near.close)
        try:
            async with asyncio.timeout(_CONNECT):
                far = await _reached(entrance)
        except OSError as error:
            entrance.failed(error)
            near.reset()
            return
        held.callback(far.close)
        try:
            await _both(near, far)
        except OSError as error:
            entrance.failed(error)
            for one in (near, far):  # neither side may take what it has for the whole
                one.reset()


async def _reached(entrance: Entrance) -> Stream:
    """Connect to the task; again where that fails and another way leads there meanwhile. Raises OSError."""
    way = await entrance.way()
    while True:
        try:
            return await connected(way)
        except OSError:
            now = await entrance.way()
            if now.target == way.target:
                raise
            way = now


async def _both(one: Stream, other: Stream) -> None:
    try:
        async with TaskGroup() as group:
            group.create_task(_copy(one, other), name="in")
            group.create_task(_copy(other, one), name="out")
    except* OSError as errors:
        raise errors.exceptions[0] from None  # the first is what happened, the others follow from it


async def _copy(source: Stream, target: Stream) -> None:
    while piece := await source.read():
        await target.write(piece)
    await target.end()


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
            piece, caller = self._datagrams.recvfrom(PIECE)
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
                self._datagrams.sendto(flow.recv(PIECE), caller)

        return take

    def _end(self) -> None:
        _, (flow, _) = self._flows.popitem(last=False)
        self._loop.remove_reader(flow)
        flow.close()
