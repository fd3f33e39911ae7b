"""Which ports of this machine belong to processes of a mesh: its control plane, its AWS endpoint, its metrics, its name server.

No list of them could be complete, so it is asked who listens: a process whose command is tsunagu's. Published ports of gateways are
apps' ports, and no control's. Rule: what cannot be read (a process of another user) is not ours. Standard library only.
"""

import itertools
import os
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Final

_TABLES: Final = ("/proc/net/tcp", "/proc/net/tcp6")
_LISTEN: Final = "0A"
_KEPT: Final = 1.0
_ANY: Final = "0.0.0.0"  # noqa: S104 - as /proc has it
Listening = tuple[str, int]
_RELAY: Final = b"tsunagu_node.runtime.linux.init.relay"


class OwnPorts:
    """What was found is kept for a second: `clock` in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._read = float("-inf")
        self._places: frozenset[Listening] = frozenset()

    def has(self, ip: str, port: int) -> bool:
        """Return whether who connects to the address of this machine at this port reaches a process of a mesh."""
        if (now := self._clock()) - self._read > _KEPT:
            self._places, self._read = find(), now
        return not self._places.isdisjoint({(ip, port), (_ANY, port)})


def find() -> frozenset[Listening]:
    """Return where processes of a mesh listen."""
    listening = dict(_listening())
    return frozenset(listening[inode] for inode in _inodes() if inode in listening)


def is_ours(command: bytes) -> bool:
    """Whether a command (/proc/PID/cmdline) is tsunagu's: the program, one of its modules by -m, or by `processes.python`."""
    words = command.split(b"\0")
    if _RELAY in command:
        return False
    program = [word.rpartition(b"/")[2] for word in words[:2]]
    modules = [word for flag, word in itertools.pairwise(words) if flag == b"-m"]
    return (
        b"tsunagu" in program
        or any(module.split(b".")[0] in (b"tsunagu", b"tsunagu_node") for module in modules)
        or any(b"from tsunagu_node." in word or b"from tsunagu." in word for word in words)
    )


def _listening() -> Iterator[tuple[int, Listening]]:
    """Yield (inode, where) of what listens here."""
    for table in _TABLES:
        with suppress(OSError), open(table, encoding="ascii") as lines:  # noqa: PTH123 - pathlib is slow to import
            for line in lines:
                fields = line.split()
                if len(fields) > 9 and fields[3] == _LISTEN:
                    address, _, port = fields[1].rpartition(":")
                    yield int(fields[9]), (_ipv4(address), int(port, 16))


def _ipv4(shown: str) -> str:
    """Return the IPv4 address at which a socket listens; a socket of IPv6 that is bound to no address, or to a mapped one, has one, too."""
    if not shown.strip("0"):
        return _ANY
    return socket.inet_ntoa(struct.pack("=I", int(shown[-8:], 16)))


def _inodes() -> Iterator[int]:
    """Yield the inodes of sockets that processes of a mesh have."""
    for pid in filter(str.isdecimal, os.listdir("/proc")):  # noqa: PTH208
        with suppress(OSError):
            with open(f"/proc/{pid}/cmdline", "rb") as command:  # noqa: PTH123
                ours = is_ours(command.read(4096))
            for fd in os.listdir(f"/proc/{pid}/fd") if ours else ():  # noqa: PTH208
                with suppress(OSError):
                    kind, _, number = os.readlink(f"/proc/{pid}/fd/{fd}").partition(":")  # noqa: PTH115
                    if kind == "socket":
                        yield int(number.strip("[]"))
