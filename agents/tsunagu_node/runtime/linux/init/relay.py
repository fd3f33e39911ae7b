"""Relays the published ports of a gateway's task. It is a process of the task, so that ports and connections survive the
node agent.

Rule: bytes only, both ways; the end of one direction is passed on without ending the other. The task's Envoy balances the
connections, as it does calls of any task. After SIGTERM it accepts no new connection and ends with the last open one.
Standard library only, since it starts without site-packages.

Standard input is a SOCK_SEQPACKET socket with one message: JSON [[alias, port], ...] and as many listening sockets.
"""

import asyncio
import json
import resource
import signal
import socket
import sys
from asyncio import TaskGroup
from contextlib import suppress

from tsunagu_node.runtime.linux.init import syscalls

HOSTS = "/etc/hosts"
_MESSAGE = 65536
_MAX_PORTS = 253  # SCM_MAX_FD: what the kernel passes at once
_PIECE = 65536
_CONNECT_TIMEOUT = 5.0
_PAUSE = 0.05


def main(_arguments: list[str]) -> None:
    """Takes no arguments. Ends at once when its input ends before a message."""
    syscalls.set_name("tsunagu-relay")
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # two for each connection
    with socket.socket(fileno=0) as channel:
        raw, listeners, _, _ = socket.recv_fds(channel, _MESSAGE, _MAX_PORTS)
    if raw:
        asyncio.run(_run(json.loads(raw), [socket.socket(fileno=fd) for fd in listeners]))


async def _run(targets: list[tuple[str, int]], listeners: list[socket.socket]) -> None:
    async with TaskGroup() as group:
        accepting = [
            group.create_task(_accept(group, listener, alias, port), name=f"{alias}:{port}")
            for listener, (alias, port) in zip(listeners, targets, strict=True)
        ]
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, lambda: [one.cancel() for one in accepting])


async def _accept(group: TaskGroup, listener: socket.socket, alias: str, port: int) -> None:
    loop = asyncio.get_running_loop()
    with listener:
        listener.setblocking(False)
        try:
            while True:
                try:
                    client, _ = await loop.sock_accept(listener)
                except OSError:  # no file descriptor is left, or the client is gone already
                    await asyncio.sleep(_PAUSE)
                else:
                    group.create_task(relay(client, alias, port), name=f"connection to {alias}:{port}")
        finally:
            # Clients whose connection the kernel has already accepted.
            with suppress(OSError):
                while True:
                    client, _ = listener.accept()
                    group.create_task(relay(client, alias, port), name=f"connection to {alias}:{port}")


async def relay(client: socket.socket, alias: str, port: int) -> None:
    """Relay between `client` and the alias until both directions have ended."""
    with suppress(OSError), client, socket.socket(socket.AF_INET, socket.SOCK_STREAM) as server:
        for connection in (client, server):
            connection.setblocking(False)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        async with asyncio.timeout(_CONNECT_TIMEOUT):
            await asyncio.get_running_loop().sock_connect(server, (address(alias), port))
        await pump(client, server)


def address(alias: str) -> str:
    """Return the IP of the alias by this task's hosts file, which follows the namespace. Raises OSError if it has none."""
    with open(HOSTS, encoding="utf-8") as hosts:  # noqa: PTH123 - read for each connection
        for line in hosts:
            ip, *names = line.split() or [""]
            if alias in names:
                return ip
    raise OSError(f"{alias} is not in {HOSTS}")


async def pump(one: socket.socket, other: socket.socket) -> None:
    """Copy both ways until both sides have ended."""
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
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


if __name__ == "__main__":
    main(sys.argv[1:])
