"""What listens in a network namespace, by the tables of /proc/net. Pure but for `tables`."""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

_LISTEN: Final = "0A"


def tables(pid: int) -> str:
    """Return the TCP tables of the network namespace of process `pid`; empty when there is none."""
    text = ""
    for name in ("tcp", "tcp6"):
        with suppress(OSError):
            text += Path(f"/proc/{pid}/net/{name}").read_text()
    return text


def listening(text: str, besides: Iterable[str] = ()) -> frozenset[int]:
    """Return the ports at which something listens; not at the addresses `besides`, written as the kernel does."""
    ports = set()
    for line in text.splitlines():
        fields = line.split()
        if len(fields) > 3 and fields[3] == _LISTEN:
            address, _, port = fields[1].rpartition(":")
            if address not in besides:
                ports.add(int(port, 16))
    return frozenset(ports)
