"""What listens in a network namespace, by the tables of /proc/net. Pure but for `tables`.

The kernel writes an address as 32-bit words in the byte order of the machine (net/ipv4/tcp_ipv4.c, get_openreq4).
"""

from collections.abc import Iterable
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from sys import byteorder
from typing import Final

from tsunagu_node.runtime.contract import Listening

_LISTEN: Final = "0A"


def tables(pid: int) -> str:
    """Return the TCP tables of the network namespace of process `pid`; empty when there is none."""
    text = ""
    for name in ("tcp", "tcp6"):
        with suppress(OSError):
            text += Path(f"/proc/{pid}/net/{name}").read_text()
    return text


def listening(text: str, besides: Iterable[str] = ()) -> frozenset[Listening]:
    """Return what listens; not at the addresses `besides`, written as the kernel does."""
    found = set()
    for line in text.splitlines():
        fields = line.split()
        if len(fields) > 3 and fields[3] == _LISTEN:
            address, _, port = fields[1].rpartition(":")
            if address not in besides:
                found.add(Listening(int(port, 16), readable(address)))
    return frozenset(found)


def readable(address: str) -> str:
    """Return the kernel's words of an address as people write it; IPv4 in IPv6 is IPv4."""
    words = [int(address[at : at + 8], 16).to_bytes(4, byteorder) for at in range(0, len(address), 8)]
    if len(words) == 1:
        return str(IPv4Address(words[0]))
    address_6 = IPv6Address(b"".join(words))
    return str(address_6.ipv4_mapped or address_6)
