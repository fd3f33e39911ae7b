"""The process `web`: it answers AWS's APIs for a mesh that runs in other processes.

Rule: it is a client like any other. It may die, and the mesh notices nothing; while the control plane is away it answers from what
it has read, and refuses to change anything.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tsunagu.aws.cloud_map import table
from tsunagu.aws.cloud_map.world import World
from tsunagu.aws.endpoint import Endpoint
from tsunagu.aws.signatures import keys
from tsunagu.client.connection import channel
from tsunagu.client.registry import RegistryClient
from tsunagu.client.source import is_passing, registry_informer
from tsunagu.kit import http_server, log
from tsunagu.kit.ending import listen_for_the_end
from tsunagu.settings import Home, life_fd, log_level
from tsunagu.v1 import inspector_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import Sequence

_BACKLOG = 256


async def run(home: Home, host: str, port: int) -> None:
    """Serve at host:port (0: any free one, the same again after a restart) until SIGTERM, or until the mesh is over.

    Raises OSError when nothing can listen there, and BadKeys.
    """
    log.configure(file=home.log("web"), console=sys.stderr.isatty(), level=log_level(os.environ))
    stop = asyncio.Event()
    listen_for_the_end(stop, life_fd(os.environ))
    pair = keys.load(home.aws_keys)
    listener = listening(host, port or _former_port(home, host))
    at = (host, listener.getsockname()[1])
    async with channel(home.api_socket) as opened:
        registry = RegistryClient(opened)
        informer = registry_informer(registry, passes=is_passing)
        world = World(registry, inspector_pb2_grpc.InspectorStub(opened), informer)
        endpoint = Endpoint([table.service(world)], pair, at)
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(informer.run(), name="informer"),
                group.create_task(world.run(), name="catalog"),
                group.create_task(http_server.serve(listener, endpoint.handle, "aws"), name="aws"),
            ]
            _announce(home, at)
            await stop.wait()
            for task in tasks:
                task.cancel()


def _announce(home: Home, at: tuple[str, int]) -> None:
    """Say where the endpoint is; whoever reads it finds all of it or nothing."""
    new = home.aws_endpoint.with_suffix(".new")
    new.write_text(json.dumps({"host": at[0], "port": at[1]}))
    new.rename(home.aws_endpoint)


def listening(host: str, port: int) -> socket.socket:
    """Return a socket that listens there. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=_BACKLOG)


def _former_port(home: Home, host: str) -> int:
    """The port of an endpoint that was here before in this mesh's life, which clients know; 0: there was none."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        before = json.loads(home.aws_endpoint.read_text())
        if before["host"] == host:
            return int(before["port"])
    return 0


def main(arguments: Sequence[str]) -> int:
    """`HOME HOST PORT`. Returns the exit code."""
    root, host, port = arguments
    try:
        asyncio.run(run(Home(Path(root)), host, int(port)))
    except (OSError, keys.BadKeys) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        sys.stderr.write(f"error: the AWS endpoint cannot listen at {host}:{port}: {reason}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
