"""The node agent's end of the channel to the host helper (`host_helper`)."""

import asyncio
import contextlib
import json
import os
import socket
import threading
from typing import Any

from tsunagu_node.runtime.contract import PortTaken
from tsunagu_node.runtime.linux.host_helper import MESSAGE


class HostClient:
    """Asks the host helper at the other end of `channel`."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._lock = threading.Lock()

    async def listen(self, host: str, port: int, protocol: str = "tcp") -> socket.socket:
        """Return a socket at host:port of the machine itself; one of tcp listens. Raises PortTaken."""
        request = {"op": "listen", "host": host, "port": port, "protocol": protocol}
        answer, fds = await asyncio.to_thread(self._ask, request)
        if "error" in answer:
            raise PortTaken(f"cannot listen at {host}:{port}: {answer['error']}")
        return socket.socket(fileno=fds[0])

    async def connect(self, host: str, port: int, protocol: str = "tcp") -> socket.socket:
        """Return a socket of the machine's own network that is connected to host:port. Raises OSError."""
        request = {"op": "connect", "host": host, "port": port, "protocol": protocol}
        answer, fds = await asyncio.to_thread(self._ask, request)
        if "error" in answer:
            raise OSError(answer["error"])
        begun = socket.socket(fileno=fds[0])
        try:
            await _connected(begun)
        except BaseException:
            begun.close()
            raise
        return begun

    async def pids(self, init: int) -> dict[int, int]:
        """Return pid in the task -> pid of the host, of the children of the task's `init` (its pid in the sandbox)."""
        answer, _ = await asyncio.to_thread(self._ask, {"op": "pids", "init": init})
        return {int(inside): outside for inside, outside in answer["pids"].items()}

    async def own_pid(self) -> int:
        """Return the pid of this process as the host sees it."""
        answer, _ = await asyncio.to_thread(self._ask, {"op": "self"})
        pid: int = answer["pid"]
        return pid

    def beat(self) -> None:
        """Tell that this process runs; whoever supervises the helper hears it. Never blocks."""
        with contextlib.suppress(BlockingIOError):
            self._channel.send(b'{"op": "beat"}', socket.MSG_DONTWAIT)

    def close(self) -> None:
        self._channel.close()

    def _ask(self, request: dict[str, Any]) -> tuple[dict[str, Any], list[int]]:
        with self._lock:
            self._channel.send(json.dumps(request).encode())
            raw, fds, _, _ = socket.recv_fds(self._channel, MESSAGE, 1)
        return json.loads(raw), fds


async def _connected(begun: socket.socket) -> None:
    """Return when a socket that began to connect is connected. Raises OSError."""
    loop = asyncio.get_running_loop()
    writable = asyncio.Event()
    loop.add_writer(begun, writable.set)
    try:
        await writable.wait()
    finally:
        loop.remove_writer(begun)
    if code := begun.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
        raise OSError(code, os.strerror(code))


def inherited(fd: int) -> socket.socket:
    """Return the agent's end of the channel with which it was started."""
    os.set_inheritable(fd, False)
    return socket.socket(fileno=fd)
