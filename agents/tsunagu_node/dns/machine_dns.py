"""The name server for programs of this machine: at a port of its loopback, told in the Node.

Rule: loopback only. The port that was asked for is taken when it is free, and otherwise any other: a second mesh, or a second node
of one, has one of its own.
"""

import socket
from typing import Final

from tsunagu.kit.log import get
from tsunagu_node.dns.discovered import Discovered
from tsunagu_node.dns.dns_server import DnsServer
from tsunagu_node.dns.resolver import Asker, Resolver
from tsunagu_node.runtime.contract import PortTaken, Runtime

PORT: Final = 5388
LOOPBACK: Final = "127.0.0.1"
_TRIES: Final = 8
log = get("node.dns")


class MachineDns:
    """The name server; `address` is ADDRESS:PORT, empty while there is none."""

    def __init__(self, resolver: Resolver, discovered: Discovered) -> None:
        self._server = DnsServer(resolver, Asker())
        self._discovered = discovered
        self._sockets: tuple[socket.socket, socket.socket] | None = None
        self.address = ""

    async def open(self, runtime: Runtime, port: int) -> None:
        """Take the sockets: at `port`, or any."""
        for tried in (port, *[0] * _TRIES):
            try:
                self._sockets = await _pair(runtime, tried)
            except PortTaken as error:
                log.warning("no name server for this machine's programs at this port", port=tried, reason=str(error))
                continue
            self.address = f"{LOOPBACK}:{self._sockets[0].getsockname()[1]}"
            log.info("name server for this machine's programs", address=self.address)
            return

    async def run(self) -> None:
        """Serve until cancelled."""
        if self._sockets is not None:
            await self._discovered.synced.wait()
            await self._server.serve(*self._sockets)


async def _pair(runtime: Runtime, port: int) -> tuple[socket.socket, socket.socket]:
    """Return a UDP and a TCP socket at one port. Raises PortTaken."""
    udp = await runtime.machine_socket("udp", LOOPBACK, port)
    try:
        return udp, await runtime.machine_socket("tcp", LOOPBACK, udp.getsockname()[1])
    except PortTaken:
        udp.close()
        raise
