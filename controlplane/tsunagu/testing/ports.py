"""Ports of this machine that are free, and stay so until whoever asked for one listens.

Rule: none of the range from which the kernel takes the ports of outgoing connections: one that a test asked for, and let go of, would
now and then be taken by some connection of the machine before the test's own program listens there.
"""

from __future__ import annotations

import errno
import random
import socket
from pathlib import Path
from typing import Final

_RANGE: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")
_LOWEST, _HIGHEST = 16384, 65535
_TRIES: Final = 1000
_given: set[int] = set()  # by this process, whose second answer is never its first


def free_port(host: str = "127.0.0.1") -> int:
    """A TCP port at `host` at which nobody listens. Raises OSError when none is found."""
    chosen = random.SystemRandom()
    ports = candidates(_RANGE.read_text())
    for _ in range(_TRIES):
        port = chosen.choice(ports)
        if port not in _given and _is_free(host, port):
            _given.add(port)
            return port
    raise OSError(f"no free port at {host} among {_TRIES} of {ports.start} to {ports.stop - 1}")


def candidates(ephemeral: str) -> range:
    """The larger range beside the one of outgoing connections ("LOW HIGH"); all, where that leaves less than a thousand."""
    low, high = map(int, ephemeral.split())
    found = max(range(_LOWEST, low), range(high + 1, _HIGHEST + 1), key=len)
    return found if len(found) >= _TRIES else range(_LOWEST, _HIGHEST + 1)


def _is_free(host: str, port: int) -> bool:
    try:
        with socket.create_server((host, port)):
            return True
    except OSError as error:
        if error.errno in (errno.EADDRINUSE, errno.EACCES):
            return False
        raise
