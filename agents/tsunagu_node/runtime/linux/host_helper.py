"""What the node agent cannot do from inside its sandbox, done for it by its parent, which stays outside.

Rule: two things only: listening sockets in the host's network namespace (published ports), and pids as the host sees
them (so that `kill` in a terminal hits what `tsunagu` shows). One request, one answer, in SOCK_SEQPACKET messages of JSON.
"""

import errno
import json
import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

from tsunagu_node.runtime.contract import PortTaken

_MESSAGE: Final = 65536
_Result = TypeVar("_Result")


class HostHelper:
    """The node agent's end."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._lock = threading.Lock()

    async def listen(self, host: str, port: int) -> socket.socket:
        """A socket that listens at host:port of the machine itself. Raises PortTaken."""
        answer, fds = await _in_thread(self._ask, {"op": "listen", "host": host, "port": port})
        if "error" in answer:
            raise PortTaken(f"cannot listen at {host}:{port}: {answer['error']}")
        return socket.socket(fileno=fds[0])

    async def pids(self, init: int) -> dict[int, int]:
        """The children of the task whose init is `init` in the sandbox: pid in the task -> pid of the host."""
        answer, _ = await _in_thread(self._ask, {"op": "pids", "init": init})
        return {int(inside): outside for inside, outside in answer["pids"].items()}

    async def own_pid(self) -> int:
        """The pid of the host that the agent has."""
        answer, _ = await _in_thread(self._ask, {"op": "self"})
        pid: int = answer["pid"]
        return pid

    def close(self) -> None:
        self._channel.close()

    def _ask(self, request: dict[str, Any]) -> tuple[dict[str, Any], list[int]]:
        with self._lock:
            self._channel.send(json.dumps(request).encode())
            raw, fds, _, _ = socket.recv_fds(self._channel, _MESSAGE, 1)
        return json.loads(raw), fds


async def _in_thread(work: Callable[..., _Result], *arguments: Any) -> _Result:
    import asyncio  # noqa: PLC0415 - the parent, which starts the agent, has no event loop and no time for one

    return await asyncio.to_thread(work, *arguments)


def answer(channel: socket.socket, first: int, agent: int) -> bool:
    """Answers one request of the process `agent`; `first` is the sandbox's PID 1. False when the agent is gone."""
    raw = channel.recv(_MESSAGE)
    if not raw:
        return False
    request = json.loads(raw)
    match request["op"]:
        case "listen":
            _listen(channel, request["host"], request["port"])
        case "pids":
            channel.send(json.dumps({"pids": _pids(first, request["init"])}).encode())
        case "self":
            channel.send(json.dumps({"pid": agent}).encode())
    return True


def _listen(channel: socket.socket, host: str, port: int) -> None:
    try:
        listener = _listener(host, port)
    except OSError as error:
        text = "another process listens there" if error.errno == errno.EADDRINUSE else error.strerror or str(error)
        channel.send(json.dumps({"error": text}).encode())
        return
    with listener:
        socket.send_fds(channel, [b"{}"], [listener.fileno()])


def _listener(host: str, port: int) -> socket.socket:
    # This, too, may be refused: there is no IPv6 everywhere, nor always a free file descriptor.
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(1024)
    except OSError:
        listener.close()
        raise
    return listener


def _pids(first: int, init: int) -> dict[int, int]:
    """NSpid of a process lists its pid in each pid namespace, outermost first."""
    for child in _children(first):
        ids = _ids(child)
        if len(ids) > 1 and ids[1] == init:
            return {ids[-1]: ids[0] for ids in map(_ids, _children(child)) if ids}
    return {}


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _ids(pid: int) -> list[int]:
    try:
        with open(f"/proc/{pid}/status", "rb") as status:  # noqa: PTH123 - called often
            lines = [line for line in status if line.startswith(b"NSpid:")]
    except OSError:
        return []
    return [int(word) for word in lines[0].split()[1:]] if lines else []


def inherited(fd: int) -> socket.socket:
    """The agent's end of the channel that it was started with."""
    os.set_inheritable(fd, False)
    return socket.socket(fileno=fd)
