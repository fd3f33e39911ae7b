"""Starts the relay of a task's published ports in a container: `main([SOCKET])`.

Rule: the node agent listens at SOCKET, in the task's directory, and hands the listening sockets of the machine over that
connection; from then on the relay needs nobody (`linux.init.relay`). Without an agent it ends at once. Standard library only.
"""

import os
import socket
from contextlib import suppress

from tsunagu_node.runtime.linux.init import relay


def main(arguments: list[str]) -> None:
    channel = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with suppress(FileNotFoundError, ConnectionRefusedError):
        os.chdir(os.path.dirname(arguments[0]))  # noqa: PTH120 - pathlib is slow to import; and the path may be long
        channel.connect(os.path.basename(arguments[0]))  # noqa: PTH119
        os.dup2(channel.fileno(), 0)
        channel.close()
        relay.main([])
