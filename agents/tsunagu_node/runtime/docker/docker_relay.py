"""A task's published ports: listened at by the node agent, handed to the relay in the task's network.

Rule: once they are handed over they need nobody: the relay accepts and relays while node agents come and go. The sockets pass
over a connection of the relay's own, in the task's directory, since an engine passes no descriptors.
"""

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final

from tsunagu_node.runtime import listener
from tsunagu_node.runtime.contract import PublishedPort

Inside = Callable[[str], Awaitable[socket.socket]]
_PATIENCE: Final = 10.0  # for a container that has been started to run its program


class DockerRelay:
    """A PortRelay. `server`: the socket at which the relay's connection is waited for. `inside`: how to listen in the task, whose
    ports the engine publishes; None: the machine's own ports are listened at here.
    """

    def __init__(self, server: socket.socket, ports: Sequence[PublishedPort], inside: Inside | None) -> None:
        self._server = server
        self._ports = ports
        self._inside = inside
        self._channel: socket.socket | None = None

    @classmethod
    def waiting(cls, path: Path, ports: Sequence[PublishedPort], inside: Inside | None = None) -> "DockerRelay":
        """Listen at `path` for the relay. Raises OSError."""
        server = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        server.setblocking(False)
        try:
            path.unlink(missing_ok=True)
            with listener.directory(path.parent) as folder:
                server.bind(f"{folder}/{path.name}")
            path.chmod(0o600)
            server.listen(1)
        except OSError:
            server.close()
            raise
        return cls(server, ports, inside)

    async def open(self) -> None:
        with ExitStack() as opened:
            listeners = [opened.enter_context(await self._listener(port)) for port in self._ports]
            targets = json.dumps([[port.alias, port.port] for port in self._ports])
            with suppress(OSError, TimeoutError):  # the relay has died meanwhile, which is an event of the task
                channel = await self._connected()
                socket.send_fds(channel, [targets.encode()], [one.fileno() for one in listeners])

    def close(self) -> None:
        self._server.close()
        if self._channel is not None:
            self._channel.close()

    async def _listener(self, port: PublishedPort) -> socket.socket:
        if self._inside is not None:
            return await self._inside(f"serve:{port.host_port}")
        return listener.listen(port.host, port.host_port)

    async def _connected(self) -> socket.socket:
        if self._channel is None:
            async with asyncio.timeout(_PATIENCE):
                self._channel, _ = await asyncio.get_running_loop().sock_accept(self._server)
        return self._channel
