"""Lets tasks reach places outside of the sandbox: what was registered by hand, of this machine and beyond it.

The sandbox has no way out. TCP that a task sends to a place's address comes to the sandbox's bridge; a nat rule there leads it to one listener,
which has the machine connect to where it was going, and relays. Rule: only to places that were given; whoever calls another port of the
same address is reset. The AWS endpoint of this mesh is no place, whatever was registered.
"""

import asyncio
import json
import socket
import struct
from asyncio import TaskGroup
from collections.abc import AsyncIterator, Collection
from contextlib import closing, suppress
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Final

from tsunagu.kit.accepting import accept
from tsunagu.kit.log import get
from tsunagu_node.runtime import netfilter, nft
from tsunagu_node.runtime.contract import OutsidePlace
from tsunagu_node.runtime.linux.host_client import HostClient
from tsunagu_node.runtime.linux.init.relay import pump

_ORIGINAL_DESTINATION: Final = 80  # SO_ORIGINAL_DST, linux/netfilter_ipv4.h
_SOCKADDR: Final = struct.Struct("!2xH4s8x")
_CONNECTIONS: Final = 1024
_CONNECT_TIMEOUT: Final = 5.0
#: Of which there is a nat rule each; the kernel answers each rule, and has room for so many answers.
_ADDRESSES: Final = 128
log = get("node.egress")


class Egress:
    """Carries what tasks of `network` send to places outside. `endpoint`: the file that says where the mesh's AWS endpoint is."""

    def __init__(self, helper: HostClient, network: IPv4Network, endpoint: Path) -> None:
        self._helper = helper
        self._bridge = str(network[1])
        self._endpoint = endpoint
        self._places: dict[tuple[str, int], OutsidePlace] = {}  # by the address and the port that tasks call
        self._addresses: tuple[str, ...] | None = None  # for which there are nat rules; None: nobody has made any

    async def carry(self, places: AsyncIterator[Collection[OutsidePlace]]) -> None:
        """Carry until cancelled."""
        listener = socket.create_server((self._bridge, 0), backlog=_CONNECTIONS)
        listener.setblocking(False)
        with closing(listener):
            async with TaskGroup() as group:
                accepting = accept(listener, _CONNECTIONS, self._relay, "egress connection")
                group.create_task(accepting, name="egress")
                async for wanted in places:
                    self._places = {(one.ip, one.port): one for one in wanted}
                    await self._lead(listener.getsockname()[1])

    async def _lead(self, port: int) -> None:
        """Have the kernel lead calls to the places' addresses here."""
        addresses = tuple(sorted({ip for ip, _ in self._places}, key=IPv4Address))
        if len(addresses) > _ADDRESSES:
            log.error("tasks do not reach all that is registered", reached=_ADDRESSES, registered=len(addresses))
        if addresses[:_ADDRESSES] != self._addresses:
            await asyncio.to_thread(_nat, [nft.Forward(ip, port) for ip in addresses[:_ADDRESSES]])
            self._addresses = addresses[:_ADDRESSES]

    async def _relay(self, client: socket.socket) -> None:
        with client:
            try:
                place = self._places.get(destination(client))
                if place is None or self._is_endpoint(place):
                    _reset(client)
                    return
                async with asyncio.timeout(_CONNECT_TIMEOUT):
                    server = await self._helper.connect(place.host, place.port)
            except (OSError, TimeoutError):  # nobody answers there, or the client was not led here by a nat rule
                _reset(client)
                return
            with server, suppress(OSError):
                server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                await pump(client, server)

    def _is_endpoint(self, place: OutsidePlace) -> bool:
        """Whether the mesh's AWS endpoint may be meant: its port, on this machine or wherever it listens."""
        try:
            at = json.loads(self._endpoint.read_text())
        except (OSError, ValueError):
            return False
        anywhere = at["host"] in ("0.0.0.0", "::")  # noqa: S104 - as it was asked for
        here = IPv4Address(place.host).is_loopback or place.host == at["host"]
        return bool(place.port == at["port"] and (here or anywhere))


def destination(client: socket.socket) -> tuple[str, int]:
    """Return the address and the port that the other side of a connection called, before nat led it here."""
    raw = client.getsockopt(socket.SOL_IP, _ORIGINAL_DESTINATION, _SOCKADDR.size)
    port, ip = _SOCKADDR.unpack(raw)
    return socket.inet_ntoa(ip), port


def _nat(rules: Collection[nft.Forward]) -> None:
    with netfilter.connected() as channel:
        if code := netfilter.refusal(channel, nft.batch(rules)):
            raise nft.refused(code)


def _reset(client: socket.socket) -> None:
    """Have the connection end with a reset, as one to a port where nobody listens does."""
    with suppress(OSError):  # it has ended by itself
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
