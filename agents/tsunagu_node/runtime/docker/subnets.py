"""Which addresses a mesh's tasks get: a network of this machine that nothing else uses. Pure.

Rule: the same mesh begins its search at the same place, so that it most often finds the network that it had.
"""

import hashlib
import socket
import struct
from collections.abc import Iterator
from ipaddress import IPv4Network
from typing import Final

_RANGE: Final = IPv4Network("10.96.0.0/11")
_PREFIX: Final = 20  # 4093 tasks
_HEADER: Final = "Iface"


def candidates(mesh: str, taken: list[IPv4Network]) -> Iterator[IPv4Network]:
    """Yield the networks that a mesh may have, but those that overlap with one that is `taken`."""
    networks = list(_RANGE.subnets(new_prefix=_PREFIX))
    first = int(hashlib.sha256(mesh.encode()).hexdigest(), 16) % len(networks)
    for network in (*networks[first:], *networks[:first]):
        if not any(network.overlaps(other) for other in taken):
            yield network


def routed(table: str) -> list[IPv4Network]:
    """Return the networks that this machine has routes to, by /proc/net/route; the default route is none."""
    found = []
    for line in table.splitlines():
        fields = line.split()
        if len(fields) > 7 and fields[0] != _HEADER:
            destination, mask = (_address(fields[at]) for at in (1, 7))
            if mask != "0.0.0.0":  # noqa: S104 - a mask
                found.append(IPv4Network(f"{destination}/{mask}", strict=False))
    return found


def _address(word: str) -> str:
    return socket.inet_ntoa(struct.pack("=I", int(word, 16)))
