"""Sends a batch of nfnetlink messages to the kernel, and takes its answers.

Rule: standard library only, and quick to import: a program inside a task's network runs it, beside the runtimes themselves.
Constants are the kernel's: linux/netlink.h.
"""

import socket
import struct
from collections.abc import Iterable, Sequence
from typing import Final

_NETLINK_NETFILTER: Final = 12
_ERROR: Final = 2
_PATIENCE: Final = 5.0


def connected() -> socket.socket:
    """Return a socket for `refusal`, of the network namespace that the calling thread is in. Raises OSError."""
    netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_NETFILTER)
    netlink.settimeout(_PATIENCE)
    netlink.bind((0, 0))
    return netlink


def refusal(netlink: socket.socket, messages: Sequence[bytes]) -> int:
    """Send the messages of one batch; return 0 when the kernel took them, or the errno of its refusal.

    The first message and the last one begin and end the batch, and are not answered.
    """
    netlink.send(b"".join(messages))
    expected = len(messages) - 2
    while expected > 0:
        for code in _codes(netlink.recv(65536)):
            if code:
                return code
            expected -= 1
    return 0


def _codes(raw: bytes) -> Iterable[int]:
    while len(raw) >= 20:
        length, kind = struct.unpack_from("=IH", raw)
        if kind == _ERROR:
            yield -struct.unpack_from("=i", raw, 16)[0]
        raw = raw[(length + 3) & ~3 :]
