"""Does for the node agent what cannot be done inside of its sandbox. It runs in the agent's parent, which stays outside.

Rule: four things only: sockets in the host's network namespace that listen (published ports, DNS, twins) or connect (the
machine's name servers), pids as the host sees them (so that `kill` in a terminal hits what `tsunagu` shows), and the agent's
heartbeats, which it passes on, so that the supervisor hears of either when it hangs. It waits for nothing but the next request. One
request, one answer, in SOCK_SEQPACKET messages of JSON (a heartbeat has no answer);
`host_client` is the other end.
"""

import errno
import json
import os
import socket
from pathlib import Path
from typing import Final

from tsunagu.kit.heartbeat import beat
from tsunagu_node.runtime import listener

MESSAGE: Final = 65536
"""Bytes: no request and no answer is longer."""


def answer(channel: socket.socket, first: int, agent: int, supervisor: int | None) -> bool:
    """Answer one request of the process `agent`; return False when it is gone. `first`: the sandbox's PID 1. `supervisor`:
    the file descriptor for heartbeats, if anybody listens.
    """
    raw = channel.recv(MESSAGE)
    if not raw:
        return False
    request = json.loads(raw)
    match request["op"]:
        case "listen":
            _listen(channel, request["host"], request["port"], request["protocol"])
        case "connect":
            _connect(channel, request["host"], request["port"], request["protocol"])
        case "pids":
            channel.send(json.dumps({"pids": _pids(first, request["init"])}).encode())
        case "beat":
            if supervisor is not None:
                beat(supervisor)
        case "self":
            channel.send(json.dumps({"pid": agent}).encode())
    return True


def _listen(channel: socket.socket, host: str, port: int, protocol: str) -> None:
    try:
        opened = listener.bound(host, port, protocol)
    except OSError as error:
        channel.send(json.dumps({"error": listener.reason(error)}).encode())
        return
    with opened:
        socket.send_fds(channel, [b"{}"], [opened.fileno()])


def _connect(channel: socket.socket, host: str, port: int, protocol: str) -> None:
    """Begin to connect; whoever is given the socket waits for the outcome."""
    kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
    try:
        begun = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, kind | socket.SOCK_NONBLOCK)
    except OSError as error:
        channel.send(json.dumps({"error": error.strerror}).encode())
        return
    with begun:
        code = begun.connect_ex((host, port))
        if code not in (0, errno.EINPROGRESS):
            channel.send(json.dumps({"error": os.strerror(code)}).encode())
            return
        socket.send_fds(channel, [b"{}"], [begun.fileno()])


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
