"""Makes links, addresses and routes in the network namespace of whoever calls, by requests to the kernel.

Rule: standard library only, and quick to import: programs inside of networks run it, beside the runtimes themselves. What the
kernel refuses is an OSError. Constants are the kernel's: linux/netlink.h, linux/rtnetlink.h, linux/if_link.h.
"""

import os
import socket
import struct
from typing import Final, Self

_REQUEST, _ACK, _REPLACE, _EXCLUSIVE, _CREATE = 1, 4, 0x100, 0x200, 0x400
_NEWLINK, _DELLINK, _NEWADDR, _NEWROUTE = 16, 17, 20, 24
_ERROR: Final = 2
_NAME, _LINKINFO, _NETNS = 3, 18, 28
_KIND, _OF_KIND, _PEER = 1, 2, 1
_LOCAL, _ADDRESS = 2, 1
_DESTINATION, _GATEWAY = 1, 5
_MAIN, _STATIC, _UNICAST, _UNREACHABLE = 254, 4, 1, 7
_UP: Final = 1
_PATIENCE: Final = 5.0


class Links:
    """A channel to the kernel, for the network namespace that the thread is in which opens it. Raises OSError."""

    def __init__(self) -> None:
        self._netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
        self._netlink.settimeout(_PATIENCE)
        self._netlink.bind((0, 0))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._netlink.close()

    def veth(self, name: str, peer: str, netns: int) -> None:
        """Make a pair of links: `name` here, `peer` in the network namespace of the file descriptor `netns`."""
        there = _link(0) + _attribute(_NAME, _text(peer)) + _attribute(_NETNS, struct.pack("=I", netns))
        kind = _attribute(_KIND, _text("veth")) + _attribute(_OF_KIND, _attribute(_PEER, there))
        self._ask(
            _NEWLINK, _CREATE | _EXCLUSIVE, _link(0) + _attribute(_NAME, _text(name)) + _attribute(_LINKINFO, kind)
        )

    def delete(self, name: str) -> None:
        """Delete the link, if there is one of this name."""
        if index := _index(name):
            self._ask(_DELLINK, 0, _link(index))

    def set_up(self, name: str, address: str, prefix: int) -> None:
        """Give the link its address, and set it up."""
        index, raw = socket.if_nametoindex(name), socket.inet_aton(address)
        body = struct.pack("=BBBBI", socket.AF_INET, prefix, 0, 0, index)
        self._ask(_NEWADDR, _CREATE | _REPLACE, body + _attribute(_LOCAL, raw) + _attribute(_ADDRESS, raw))
        self._ask(_NEWLINK, 0, struct.pack("=BxHiII", 0, 0, index, _UP, _UP))

    def route(self, network: str, via: str) -> None:
        """Send what is for `network` (ADDRESS/PREFIX) to the neighbour `via`."""
        self._ask(
            _NEWROUTE, _CREATE | _REPLACE, _route(network, _UNICAST) + _attribute(_GATEWAY, socket.inet_aton(via))
        )

    def refuse(self, network: str) -> None:
        """Answer what is for `network` with 'unreachable'."""
        self._ask(_NEWROUTE, _CREATE | _REPLACE, _route(network, _UNREACHABLE))

    def _ask(self, kind: int, flags: int, body: bytes) -> None:
        self._netlink.send(struct.pack("=IHHII", 16 + len(body), kind, _REQUEST | _ACK | flags, 1, 0) + body)
        answer = self._netlink.recv(65536)
        (of_kind,) = struct.unpack_from("=H", answer, 4)
        (code,) = struct.unpack_from("=i", answer, 16)
        if of_kind == _ERROR and code:
            raise OSError(-code, f"netlink: {os.strerror(-code)}")


def _link(index: int) -> bytes:
    return struct.pack("=BxHiII", 0, 0, index, 0, 0)


def _route(network: str, kind: int) -> bytes:
    address, _, prefix = network.partition("/")
    head = struct.pack("=BBBBBBBBI", socket.AF_INET, int(prefix), 0, 0, _MAIN, _STATIC, 0, kind, 0)
    return head + _attribute(_DESTINATION, socket.inet_aton(address))


def _attribute(kind: int, value: bytes) -> bytes:
    raw = struct.pack("=HH", 4 + len(value), kind) + value
    return raw + b"\0" * (-len(raw) % 4)


def _text(text: str) -> bytes:
    return text.encode() + b"\0"


def _index(name: str) -> int:
    try:
        return socket.if_nametoindex(name)
    except OSError:
        return 0
