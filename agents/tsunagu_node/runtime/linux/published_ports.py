"""A task's published ports: listened at outside of the sandbox, handed to the relay inside the task (`init.relay`).

Rule: once they are handed over they need nobody: the relay accepts and relays while node agents come and go.
"""

import json
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

from tsunagu_node.runtime.contract import RELAY, PublishedPort
from tsunagu_node.runtime.linux import processes
from tsunagu_node.runtime.linux.host_client import HostClient
from tsunagu_node.runtime.linux.init_client import Start

RELAY_LOG = f"{RELAY}.err"


class LinuxRelay:
    """A PortRelay. `channel` is the relay's standard input: it waits there for the listening sockets."""

    def __init__(self, channel: socket.socket, ports: Sequence[PublishedPort], helper: HostClient) -> None:
        self._channel = channel
        self._ports = ports
        self._helper = helper

    async def open(self) -> None:
        with ExitStack() as opened:
            listeners = [
                opened.enter_context(await self._helper.listen(port.host, port.host_port)) for port in self._ports
            ]
            targets = json.dumps([[port.alias, port.port] for port in self._ports])
            with suppress(OSError):  # the relay has died meanwhile, which is an event of the task
                socket.send_fds(self._channel, [targets.encode()], [listener.fileno() for listener in listeners])

    def close(self) -> None:
        self._channel.close()


async def start_relay(
    start: Callable[[Start], Awaitable[None]], directory: Path, ports: Sequence[PublishedPort], helper: HostClient
) -> LinuxRelay:
    """Start the relay of the task in `directory` by its init's `start`. Raises CannotStart."""
    channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    command = processes.python("tsunagu_node.runtime.linux.init.relay")
    try:
        with theirs, (directory / "log" / RELAY_LOG).open("ab") as log:
            streams = (theirs.fileno(), log.fileno(), log.fileno())
            await start(Start(RELAY, command, {}, "/", "root", log=False, streams=streams))
    except BaseException:
        channel.close()
        raise
    return LinuxRelay(channel, ports, helper)
