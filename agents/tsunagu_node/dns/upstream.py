"""Asks the machine's own name servers for names that are not the mesh's.

Rule: quick or not at all: each server has `PATIENCE` seconds, all together `DEADLINE`; of those in flight there are `IN_FLIGHT` at
most, `PER_TASK` for one task. An answer counts only from the server that was asked, from a port of its own for each query, with
the query's ID and its question.
"""

import asyncio
import os
import secrets
import socket
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeAlias

from tsunagu_node.dns import packets

PATIENCE: Final = 1.5
DEADLINE: Final = 4.0
IN_FLIGHT: Final = 256
PER_TASK: Final = 64
RESOLV_CONF: Final = Path("/etc/resolv.conf")
_PORT: Final = 53
_MOST_SERVERS: Final = 3


class NoUpstream(Exception):
    """No server of the machine has answered. The message says why."""


#: Returns a socket of the machine's network, "tcp" or "udp", connected to host and port. Raises OSError.
Connect: TypeAlias = Callable[[str, str, int], Awaitable[socket.socket]]


class Upstream:
    """The servers that `path`, a resolv.conf, names when they are asked. `connect`: reaches them."""

    def __init__(self, connect: Connect, path: Path = RESOLV_CONF, port: int = _PORT) -> None:
        self._connect = connect
        self._path = path
        self._port = port
        self._in_flight: Counter[str] = Counter()  # by task

    async def ask(self, raw: bytes, task: str, *, tcp: bool) -> bytes:
        """Return the answer to the query `raw`, with its ID. Raises NoUpstream."""
        if self._in_flight[task] >= PER_TASK or self._in_flight.total() >= IN_FLIGHT:
            raise NoUpstream("too many queries are in flight")
        self._in_flight[task] += 1
        try:
            return await self._ask(raw, tcp=tcp)
        finally:
            self._in_flight[task] -= 1
            if not self._in_flight[task]:
                del self._in_flight[task]

    async def _ask(self, raw: bytes, *, tcp: bool) -> bytes:
        servers = self._servers()
        mine = secrets.token_bytes(2) + raw[2:]
        with suppress(TimeoutError):
            async with asyncio.timeout(DEADLINE):
                for server in servers:
                    with suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
                        async with asyncio.timeout(PATIENCE):
                            answer = await self._answer(mine, server, tcp=tcp)
                        return raw[:2] + answer[2:]
        raise NoUpstream(f"no server answers of {', '.join(servers)}" if servers else f"{self._path} names no server")

    async def _answer(self, query: bytes, server: str, *, tcp: bool) -> bytes:
        with await self._connect("tcp" if tcp else "udp", server, self._port) as asking:
            asking.setblocking(False)
            return await (_by_tcp if tcp else _by_udp)(query, asking)

    def _servers(self) -> Sequence[str]:
        try:
            return servers(self._path.read_text(errors="replace"))
        except OSError:
            return ()


def servers(resolv_conf: str) -> Sequence[str]:
    """Return the name servers of a resolv.conf, the first three, as the C library does."""
    words = (line.split() for line in resolv_conf.splitlines())
    return tuple(found[1] for found in words if len(found) > 1 and found[0] == "nameserver")[:_MOST_SERVERS]


async def _by_udp(query: bytes, asking: socket.socket) -> bytes:
    """Return the first answer to the query; the socket is connected, so that nobody else is heard."""
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(asking, query)
    while True:
        answer = await loop.sock_recv(asking, packets.LONGEST)
        if packets.answers(answer, query):
            return answer


async def _by_tcp(query: bytes, asking: socket.socket) -> bytes:
    reader, writer = await asyncio.open_connection(sock=asking)
    try:
        writer.write(len(query).to_bytes(2, "big") + query)
        answer = await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))
    finally:
        writer.transport.abort()
    if not packets.answers(answer, query):
        raise OSError(os.strerror(71))  # EPROTO
    return answer
