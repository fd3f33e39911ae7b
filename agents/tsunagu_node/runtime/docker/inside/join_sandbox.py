"""Joins the router's network to that of the linux runtime's tasks: `main([SOCKET, NETWORK])`, run as root in the router.

Over SOCKET comes a descriptor of the sandbox's network namespace (`routing.sandbox_end` sends it); a pair of links is made
between the two, and what is for NETWORK goes to the other end. Rule: the router may make a link into the sandbox, and can do
nothing else there: it has NET_ADMIN alone, and joins no namespace. Standard library only.
"""

import os
import socket
import sys
from collections.abc import Sequence
from typing import Final

from tsunagu_node.runtime.rtnetlink import Links

LINK: Final = "sandbox"
HERE, THERE, PREFIX = "169.254.255.253", "169.254.255.254", 30
"""The ends of the pair have addresses that nobody outside of it sees."""
PEER: Final = "router"


def main(arguments: Sequence[str]) -> None:
    path, network = arguments
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as channel:
        os.chdir(os.path.dirname(path))  # noqa: PTH120 - pathlib is slow to import; and the path may be long
        channel.connect(os.path.basename(path))  # noqa: PTH119
        _, (netns, *_), _, _ = socket.recv_fds(channel, 64, 1)
        try:
            with Links() as links:
                links.delete(LINK)
                links.veth(LINK, PEER, netns)
                links.set_up(LINK, HERE, PREFIX)
                channel.send(b"linked")  # what is routed comes back only when the other end is up, too
                channel.recv(64)
                links.route(network, THERE)
        except OSError as error:
            sys.exit(f"{error.strerror}")
