"""Hands descriptors of a task over to the node agent: `main([SOCKET, WANTED...])`, run as root in the pause container.

WANTED: `listen:PORT`, a socket that listens at the task's own 127.0.0.1, `serve:PORT`: at all of its addresses; `datagrams:PORT`, a
UDP socket at 127.0.0.1; `outgoing:`, one of TCP that is not connected; `open:PATH`, a file or folder as the task's containers see
it. Two hand nothing over: `nat:BATCH` first makes the nat rules: the messages of the batch in hexadecimal, with blanks between; of a
refusal `nat ERRNO` is printed as the error. `route:NETWORK:NEIGHBOUR` sends what is for that network to that address. Rule: descriptors
are sent in one
message over SOCKET, at which the node agent waits; nothing stays behind in the task. Standard library only.
"""

import os
import socket
import sys
from collections.abc import Sequence

from tsunagu_node.runtime import netfilter
from tsunagu_node.runtime.rtnetlink import Links

_BACKLOG = 128
_NAT = "nat:"
_ROUTE = "route:"


def main(arguments: Sequence[str]) -> None:
    path, *wanted = arguments
    for word in wanted:
        if word.startswith(_NAT) and (code := _refusal(word.removeprefix(_NAT))):
            sys.exit(f"nat {code}")
        if word.startswith(_ROUTE):
            with Links() as links:
                links.route(*word.removeprefix(_ROUTE).split(":"))
    fds = [_descriptor(*word.split(":", 1)) for word in wanted if not word.startswith((_NAT, _ROUTE))]
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as channel:
        os.chdir(os.path.dirname(path))  # noqa: PTH120 - pathlib is slow to import; and the path may be long
        channel.connect(os.path.basename(path))  # noqa: PTH119
        socket.send_fds(channel, [b"here"], fds)


def _refusal(words: str) -> int:
    """Make the nat rules of a batch; return 0, or the errno of the refusal."""
    try:
        with netfilter.connected() as netlink:
            return netfilter.refusal(netlink, [bytes.fromhex(word) for word in words.split()])
    except OSError as error:
        return error.errno or 5


def _descriptor(kind: str, what: str) -> int:
    if kind == "open":
        return os.open(what, os.O_RDONLY | os.O_DIRECTORY if os.path.isdir(what) else os.O_RDWR)  # noqa: PTH112
    if kind == "datagrams":
        datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        datagrams.bind(("127.0.0.1", int(what)))
        return datagrams.detach()
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    if kind == "outgoing":
        return listener.detach()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1" if kind == "listen" else "0.0.0.0", int(what)))  # noqa: S104 - the task's own addresses
    listener.listen(_BACKLOG)
    return listener.detach()
