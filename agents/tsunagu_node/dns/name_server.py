"""The name server of one task: sockets inside the task, answered by the node agent.

Rule: who reaches the sockets is of this task, so the answers are for its namespace, and nobody has to prove who it is. The runtime
keeps the sockets: what is asked while no node agent runs waits for the next one.
"""

import asyncio
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tsunagu.kit.log import get
from tsunagu_node.dns.discovered import Discovered
from tsunagu_node.dns.dns_server import DnsServer
from tsunagu_node.dns.resolver import Asker, Judge, Resolver
from tsunagu_node.dns.upstream import RESOLV_CONF, Upstream
from tsunagu_node.runtime.contract import RunningTask, Runtime, RuntimeFailed
from tsunagu_node.task.names import Names
from tsunagu_node.task.spec import DNS_PORT

_RETRY: Final = 2.0
log = get("node.dns")


@dataclass(frozen=True, slots=True)
class NameServers:
    """What the name servers of all tasks answer with."""

    resolver: Resolver
    discovered: Discovered

    @classmethod
    def of(cls, runtime: Runtime, names: Names, judge: Judge, resolv_conf: Path = RESOLV_CONF) -> "NameServers":
        """Return those of a node: names outside of the mesh are asked for at the servers of `resolv_conf`, as far as `judge` allows."""
        discovered = Discovered(names)
        return cls(Resolver(discovered, Upstream(runtime.machine_connection, resolv_conf), judge), discovered)

    async def serve(self, task: RunningTask, asker: Asker) -> None:
        """Answer `task` until cancelled. While it cannot be listened in, it is tried again."""
        udp, tcp = await _sockets(task, DNS_PORT)
        with udp, tcp:
            await self.discovered.synced.wait()
            await DnsServer(self.resolver, asker).serve(udp, tcp)


async def _sockets(task: RunningTask, port: int) -> tuple[socket.socket, socket.socket]:
    while True:
        try:
            udp = await task.datagrams(port)
            try:
                return udp, await task.listen(port)
            except BaseException:
                udp.close()
                raise
        except RuntimeFailed as error:
            log.warning("no name server", task=task.id, reason=str(error))
            await asyncio.sleep(_RETRY)
