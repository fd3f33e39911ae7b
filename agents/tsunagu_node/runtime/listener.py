"""Sockets that listen: at the machine's own ports, and at paths that are longer than a socket's may be."""

import errno
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tsunagu_node.runtime.contract import PortTaken

_BACKLOG: Final = 1024


def listen(host: str, port: int, protocol: str = "tcp") -> socket.socket:
    """Return a socket that listens (tcp), or only is (udp), at host:port of this machine. Raises PortTaken."""
    try:
        return bound(host, port, protocol)
    except OSError as error:
        raise PortTaken(f"cannot listen at {host}:{port}: {reason(error)}") from error


def bound(host: str, port: int, protocol: str = "tcp") -> socket.socket:
    """The same; raises OSError."""
    # This, too, may be refused: there is no IPv6 everywhere, nor always a free file descriptor.
    kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, kind)
    try:
        if protocol == "tcp":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        if protocol == "tcp":
            listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def reason(error: OSError) -> str:
    """Return why a socket does not listen, for people."""
    return "another process listens there" if error.errno == errno.EADDRINUSE else error.strerror or str(error)


@contextmanager
def directory(path: Path) -> Iterator[str]:
    """Yield a short path of the folder, of any length, for the time of the block."""
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}"
    finally:
        os.close(folder)
