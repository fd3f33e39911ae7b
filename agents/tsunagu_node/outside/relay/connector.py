"""Connects to places outside, many at a time, without waiting for any.

Rule: whoever asked is told once: of the connection, or of why there is none. Standard library only.
"""

import errno
import socket
import time
from typing import TYPE_CHECKING, Final

from tsunagu_node.outside.relay.destinations import Reason
from tsunagu_node.outside.relay.loop import WRITE, Loop

if TYPE_CHECKING:
    from collections.abc import Callable

    from tsunagu_node.outside.relay.destinations import Place

    #: Called with the socket, or with None and an errno; ETIMEDOUT: nobody answered.
    Done = Callable[[socket.socket | None, int], None]

CONNECT: Final = 10.0
"""Seconds, after which nobody is waited for any more."""


def reason(code: int) -> Reason:
    """Return what an errno of a failed connection means for who counts."""
    return Reason.TOO_MANY if code in (errno.EMFILE, errno.ENFILE) else Reason.UNREACHABLE


class Connector:
    """Its length is how many connections are being made."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._under_way: dict[socket.socket, tuple[float, Done]] = {}

    def __len__(self) -> int:
        return len(self._under_way)

    def begin(self, target: "Place", done: "Done") -> None:
        """Begin to connect to the target."""
        try:
            server = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        except OSError as error:
            done(None, error.errno or errno.EMFILE)
            return
        code = server.connect_ex(target)
        if code not in (0, errno.EINPROGRESS):
            server.close()
            done(None, code)
            return
        self._under_way[server] = time.monotonic() + CONNECT, done
        self._loop.watch(server.fileno(), WRITE, lambda _: self._connected(server))

    def look(self, now: float) -> None:
        """Give up what has taken too long."""
        for server, (until, _) in [*self._under_way.items()]:
            if now > until:
                self._end(server, errno.ETIMEDOUT)

    def close(self) -> None:
        """Give up all."""
        for server in [*self._under_way]:
            self._end(server, errno.ECONNABORTED)

    def _connected(self, server: socket.socket) -> None:
        self._end(server, server.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))

    def _end(self, server: socket.socket, code: int) -> None:
        self._loop.forget(server.fileno())
        _, done = self._under_way.pop(server)
        if code:
            server.close()
            done(None, code)
        else:
            done(server, 0)
