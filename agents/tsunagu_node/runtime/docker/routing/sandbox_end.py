"""The sandbox's end of its link to the router of the docker runtime: `main([PID, SOCKET, NETWORK, GATEWAY])`, outside of the sandbox.

It joins the network of the sandbox whose first process is PID, and takes away a link that was there before. To whoever connects
to SOCKET it sends a descriptor of that network, waits until a link has been made in it, and routes: NETWORK, where the containers
are, is reached over the link, but not GATEWAY, which is the machine itself: tasks reach each other, and nothing else.
Rule: a process of its own, with one thread, since it joins a user namespace. Standard library only.
"""

import os
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress

from tsunagu_node.runtime.docker.inside.join_sandbox import HERE, PEER, PREFIX, THERE
from tsunagu_node.runtime.linux.init import syscalls
from tsunagu_node.runtime.rtnetlink import Links

_PATIENCE = 20.0


def main(arguments: Sequence[str]) -> None:
    pid, path, network, gateway = arguments
    os.chdir(os.path.dirname(path))  # noqa: PTH120 - pathlib is slow to import; and the path may be long
    try:
        with _listening(os.path.basename(path)) as server:  # noqa: PTH119
            syscalls.setns(os.pidfd_open(int(pid)), syscalls.CLONE_NEWUSER | syscalls.CLONE_NEWNET)
            with Links() as links:
                links.delete(PEER)
                print("ready", flush=True)
                channel, _ = server.accept()
                os.unlink(os.path.basename(path))  # noqa: PTH108, PTH119
                with channel:
                    _join(channel, links, network, gateway)
    except (OSError, EOFError) as error:
        sys.exit(f"{getattr(error, 'strerror', None) or error}")


def _listening(name: str) -> socket.socket:
    with suppress(FileNotFoundError):
        os.unlink(name)  # noqa: PTH108
    server = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    server.settimeout(_PATIENCE)
    server.bind(name)
    os.chmod(name, 0o666)  # noqa: PTH101, S103 - root in the router has no right that others lack; the folders above are closed to them
    server.listen(1)
    return server


def _join(channel: socket.socket, links: Links, network: str, gateway: str) -> None:
    channel.settimeout(_PATIENCE)
    netns = os.open("/proc/self/ns/net", os.O_RDONLY)
    socket.send_fds(channel, [b"join"], [netns])
    if channel.recv(64) != b"linked":
        raise EOFError("the router made no link")
    links.set_up(PEER, THERE, PREFIX)
    links.route(network, HERE)
    links.refuse(f"{gateway}/32")
    syscalls.write("/proc/sys/net/ipv4/ip_forward", "1")
    channel.send(b"routed")
