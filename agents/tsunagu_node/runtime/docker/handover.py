"""Takes descriptors over from inside of a task: a command in pause opens them there and sends them here (`inside.hand_over`).

Rule: whoever holds a descriptor needs nothing else: a socket that was made in a task's network stays in it. So the node agent
listens in a task without a process there, and without a port of the machine.
"""

import asyncio
import os
import secrets
import socket
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Final

from tsunagu_node.runtime import listener
from tsunagu_node.runtime.contract import RuntimeFailed
from tsunagu_node.runtime.docker.definition import bodies
from tsunagu_node.runtime.docker.definition.places import Places
from tsunagu_node.runtime.docker.task_containers import Containers
from tsunagu_node.runtime.nft import refused

NAT: Final = "nat:"
ROUTE: Final = "route:"
_PATIENCE: Final = 20.0
_MOST: Final = 16


def nat_word(messages: Sequence[bytes]) -> str:
    """Return the word that has the messages of a batch applied."""
    return NAT + " ".join(message.hex() for message in messages)


async def handed_over(containers: Containers, pause: str, places: Places, wanted: Sequence[str]) -> list[int]:
    """Return a descriptor for each of `wanted` but nat rules and routes; whoever takes them closes them. Raises RuntimeFailed, OSError."""
    path = places.handed / secrets.token_hex(8)
    with ExitStack() as undo:
        server = undo.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
        with listener.directory(places.handed) as short:
            server.bind(f"{short}/{path.name}")
        undo.callback(path.unlink, missing_ok=True)
        path.chmod(0o666)  # root in pause has no right that others lack; the folders above are closed to them
        server.listen(1)
        server.setblocking(False)
        try:
            inside = bodies.inside("hand_over", str(places.handover / path.name), *wanted)
            await containers.output(pause, inside, user="0")
        except RuntimeFailed as error:
            word, _, code = str(error).partition(" ")
            raise refused(int(code)) if word == "nat" and code.isdecimal() else error from error
        return await _received(server, sum(not word.startswith((NAT, ROUTE)) for word in wanted))


async def _received(server: socket.socket, count: int) -> list[int]:
    try:
        async with asyncio.timeout(_PATIENCE):
            channel, _ = await asyncio.get_running_loop().sock_accept(server)
    except TimeoutError as error:
        raise RuntimeFailed("nothing was handed over from inside of the task") from error
    with channel:
        _, fds, _, _ = socket.recv_fds(channel, 64, _MOST)
    if len(fds) != count:
        for fd in fds:
            os.close(fd)
        raise RuntimeFailed(f"{len(fds)} of {count} descriptors were handed over from inside of the task")
    return list(fds)
