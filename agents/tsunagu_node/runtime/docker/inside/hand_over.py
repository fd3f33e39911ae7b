"""Hands descriptors of a task over to the node agent: `main([SOCKET, WANTED...])`, run as root in the pause container.

WANTED: `listen:PORT`, a socket that listens at the task's own 127.0.0.1, `serve:PORT`: at all of its addresses; `open:PATH`, a file or folder as the task's containers
see it. Rule: they are sent in one message over SOCKET, at which the node agent waits; nothing stays behind in the task. Standard
library only.
"""

import os
import socket
from collections.abc import Sequence

_BACKLOG = 128


def main(arguments: Sequence[str]) -> None:
    path, *wanted = arguments
    fds = [_descriptor(*word.split(":", 1)) for word in wanted]
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as channel:
        os.chdir(os.path.dirname(path))  # noqa: PTH120 - pathlib is slow to import; and the path may be long
        channel.connect(os.path.basename(path))  # noqa: PTH119
        socket.send_fds(channel, [b"here"], fds)


def _descriptor(kind: str, what: str) -> int:
    if kind == "open":
        return os.open(what, os.O_RDONLY | os.O_DIRECTORY if os.path.isdir(what) else os.O_RDWR)  # noqa: PTH112
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1" if kind == "listen" else "0.0.0.0", int(what)))  # noqa: S104 - the task's own addresses
    listener.listen(_BACKLOG)
    return listener.detach()
