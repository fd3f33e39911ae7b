"""Serves DNS at two sockets of one asker, UDP and TCP.

Rule: nothing grows or lasts without limit. `RATE` queries a second are answered, after a burst of as many; what exceeds that over
UDP is dropped, as the resolver of a VPC does, and waits over TCP. At most `CONNECTIONS` are open, and one that says nothing for
`IDLE` seconds is closed. At most `WAITING` queries wait for other servers; the next ones are dropped.
"""

import asyncio
import socket
from asyncio import TaskGroup
from collections.abc import Callable
from contextlib import closing, suppress
from functools import partial
from typing import Final

from tsunagu.kit.accepting import accept
from tsunagu.kit.log import get
from tsunagu_node.dns import packets
from tsunagu_node.dns.resolver import Asker, Elsewhere, Resolver

RATE: Final = 5000
CONNECTIONS: Final = 32
WAITING: Final = 64
IDLE: Final = 10.0
_AT_ONCE: Final = 32
log = get("node.dns")


class Bucket:
    """Allows `rate` a second, and as many at once after a second without any."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._left = float(rate)
        self._at = 0.0

    def take(self, now: float) -> bool:
        """Return whether one more is allowed now."""
        self._fill(now)
        if self._left < 1:
            return False
        self._left -= 1
        return True

    def delay(self, now: float) -> float:
        """Take one more, and return for how many seconds it has to wait."""
        self._fill(now)
        self._left -= 1
        return max(0.0, -self._left / self._rate)

    def _fill(self, now: float) -> None:
        self._left = min(self._rate, self._left + (now - self._at) * self._rate)
        self._at = now


class DnsServer:
    """Answers what comes to a pair of sockets, as `resolver` answers `asker`."""

    def __init__(self, resolver: Resolver, asker: Asker) -> None:
        self._resolver = resolver
        self._asker = asker
        self._bucket = Bucket(RATE)
        self._waiting = 0

    async def serve(self, udp: socket.socket, tcp: socket.socket) -> None:
        """Serve until cancelled; the sockets are then closed."""
        loop = asyncio.get_running_loop()
        for one in (udp, tcp):
            one.setblocking(False)
        with closing(udp), closing(tcp):
            async with TaskGroup() as group:
                loop.add_reader(udp, lambda: self._datagrams(udp, group))
                try:
                    await accept(tcp, CONNECTIONS, self._connection, "dns connection")
                finally:
                    loop.remove_reader(udp)

    def _datagrams(self, udp: socket.socket, group: TaskGroup) -> None:
        """Answer what has come, a few at once: other sockets have their turn, too."""
        now = asyncio.get_running_loop().time()
        for _ in range(_AT_ONCE):
            try:
                raw, peer = udp.recvfrom(packets.LONGEST_QUERY + 1)
            except OSError:  # nothing more has come, or an ICMP message has
                return
            if self._bucket.take(now):
                self._datagram(raw, partial(_send, udp, peer), group)

    def _datagram(self, raw: bytes, send: Callable[[bytes], None], group: TaskGroup) -> None:
        try:
            reply = self._local(raw, tcp=False)
        except Elsewhere as elsewhere:
            if self._waiting < WAITING:
                self._waiting += 1
                work = self._forward(raw, elsewhere, send)
                group.create_task(work, name=f"dns query of {self._asker.task or 'this machine'}")
            return
        if reply is not None:
            send(reply)

    async def _forward(self, raw: bytes, elsewhere: Elsewhere, send: Callable[[bytes], None]) -> None:
        try:
            send(await self._resolver.forwarded(raw, self._asker, elsewhere.query, tcp=False))
        finally:
            self._waiting -= 1

    def _local(self, raw: bytes, *, tcp: bool) -> bytes | None:
        try:
            return self._resolver.local(raw, self._asker, tcp=tcp)
        except Elsewhere:
            raise
        except Exception:
            # The top of this query: what fails in its answer must end neither the server nor the task.
            log.exception("a query is not answered", task=self._asker.task)
            return None

    async def _connection(self, client: socket.socket) -> None:
        with closing(client), suppress(OSError, TimeoutError):
            while (raw := await _query(client)) is not None:
                await asyncio.sleep(self._bucket.delay(asyncio.get_running_loop().time()))
                try:
                    reply = self._local(raw, tcp=True)
                except Elsewhere as elsewhere:
                    reply = await self._resolver.forwarded(raw, self._asker, elsewhere.query, tcp=True)
                if reply is None:
                    return
                async with asyncio.timeout(IDLE):
                    await asyncio.get_running_loop().sock_sendall(client, len(reply).to_bytes(2, "big") + reply)


async def _query(client: socket.socket) -> bytes | None:
    """Return the next query of a connection; None at its end, or when it is longer than any."""
    async with asyncio.timeout(IDLE):
        head = await _exactly(client, 2)
        length = int.from_bytes(head, "big")
        if len(head) < 2 or not 0 < length <= packets.LONGEST_QUERY:
            return None
        raw = await _exactly(client, length)
    return raw if len(raw) == length else None


async def _exactly(client: socket.socket, count: int) -> bytes:
    """Return so many bytes, or fewer at the end of the connection."""
    raw = b""
    while len(raw) < count and (piece := await asyncio.get_running_loop().sock_recv(client, count - len(raw))):
        raw += piece
    return raw


def _send(udp: socket.socket, peer: tuple[str, int], reply: bytes) -> None:
    with suppress(OSError):  # its buffer is full, or the asker is gone: it asks again
        udp.sendto(reply, peer)
