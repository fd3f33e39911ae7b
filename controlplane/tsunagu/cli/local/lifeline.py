"""The connection on which the life of a mesh hangs: however `up` ends, every process of its mesh ends with it.

Rule: nothing is sent over it. Its end is the only message, and the kernel delivers that whatever killed a process.
"""

from __future__ import annotations

import asyncio
import socket


class Lifeline:
    """One end is held here, the other is inherited by every process of the mesh.

    The processes end when this side closes the connection or dies; this side sees end of file when the last of them is
    gone. (A pipe would not do: only its reader sees the other side go.)
    """

    def __init__(self) -> None:
        self._near, self._far = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self._near.setblocking(False)

    @property
    def descriptor(self) -> int:
        """The file descriptor that children inherit."""
        return self._far.fileno()

    def end(self) -> None:
        """End the mesh: every process that holds the other end sees it."""
        self._near.shutdown(socket.SHUT_WR)
        self._far.close()

    async def gone(self, timeout: float) -> bool:
        """After `end`: wait until every process that inherited it is gone; False when some is left after `timeout` seconds."""
        try:
            async with asyncio.timeout(timeout):
                return await asyncio.get_running_loop().sock_recv(self._near, 1) == b""
        except TimeoutError:
            return False
        finally:
            self._near.close()
