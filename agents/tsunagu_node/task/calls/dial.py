"""One TCP connection that is made in a task's network, for a caller over gRPC: as an app of the task would make it.

Rule: the last message says how it ended, refused or ended by the other side; a caller that goes away ends it at once. Nothing
is resolved here: names are the business of whoever asks.
"""

import asyncio
import os
import socket
from asyncio import TaskGroup
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from ipaddress import AddressValueError, IPv4Address
from typing import Final

from tsunagu.v1 import node_pb2
from tsunagu_node.runtime.contract import RunningTask

_CONNECT_SECONDS: Final = 5.0
_LONGEST_CONNECT: Final = 60.0
_PIECE: Final = 64 * 1024
_LAST_PORT: Final = 65535
CLOSED: Final = "closed"
RESET: Final = "reset"
Write = Callable[[node_pb2.DialResponse], Awaitable[None]]
Requests = AsyncIterator[node_pb2.DialRequest]


async def dial(task: RunningTask, start: node_pb2.DialStart, requests: Requests, write: Write) -> None:
    """Connect, then carry bytes both ways until the other side ends. Raises RuntimeFailed."""
    if refusal := _wrong(start):
        await write(node_pb2.DialResponse(refused=refusal))
        return
    with await task.outgoing() as connection:
        connection.setblocking(False)
        try:
            await _connect(connection, start)
        except TimeoutError:
            await write(node_pb2.DialResponse(refused=f"no answer from {start.ip}:{start.port} in time"))
            return
        except OSError as error:
            await write(node_pb2.DialResponse(refused=os.strerror(error.errno or 0)))
            return
        await write(node_pb2.DialResponse(connected=True))
        ended = await _carry(connection, requests, write)
        await write(node_pb2.DialResponse(ended=ended))


def _wrong(start: node_pb2.DialStart) -> str:
    """Return what is wrong with the request; empty when nothing is."""
    try:
        IPv4Address(start.ip)
    except AddressValueError:
        return f"{start.ip!r} is no IPv4 address"
    return "" if 0 < start.port <= _LAST_PORT else f"{start.port} is no port"


async def _connect(connection: socket.socket, start: node_pb2.DialStart) -> None:
    async with asyncio.timeout(min(start.timeout_seconds or _CONNECT_SECONDS, _LONGEST_CONNECT)):
        await asyncio.get_running_loop().sock_connect(connection, (start.ip, start.port))


async def _carry(connection: socket.socket, requests: Requests, write: Write) -> str:
    """Return how the other side ended."""
    async with TaskGroup() as group:
        sending = group.create_task(_send(connection, requests), name="dial: send")
        try:
            return await _receive(connection, write)
        finally:
            sending.cancel()


async def _receive(connection: socket.socket, write: Write) -> str:
    loop = asyncio.get_running_loop()
    try:
        while piece := await loop.sock_recv(connection, _PIECE):
            await write(node_pb2.DialResponse(received=piece))
    except OSError:
        return RESET
    return CLOSED


async def _send(connection: socket.socket, requests: Requests) -> None:
    loop = asyncio.get_running_loop()
    with suppress(OSError):  # what is wrong with the connection, the reader of it finds out
        async for request in requests:
            if request.eof:
                connection.shutdown(socket.SHUT_WR)
                return
            await loop.sock_sendall(connection, request.sent)
