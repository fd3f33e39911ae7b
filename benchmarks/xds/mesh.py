"""`python -m benchmarks.xds.mesh`: registry in SQLite, its API, informer, publisher and xDS server, as `serve` has them.

Rule: what is timed begins with a Put over the API's socket, as a node agent's. A change that comes alone is offered at
once, so the publisher's pace is serve's own. Controllers are left out: no node runs what they would decide.
"""

from __future__ import annotations

import asyncio
import gc
import os
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import grpc.aio

from benchmarks.xds import content
from benchmarks.xds.steered import GARBAGE_COLLECTION, steer
from tsunagu.client.registry import RegistryClient
from tsunagu.kit.clock import SystemClock
from tsunagu.model.rules.validate import check_batch
from tsunagu.registry.informer import Informer
from tsunagu.registry.objects import PutObject, Registry
from tsunagu.registry.stores.sqlite import SqliteStore
from tsunagu.serve.api.registry import NAME, RegistryService
from tsunagu.serve.api.server import ApiServer
from tsunagu.serve.published import PublishedState
from tsunagu.serve.publisher import Publisher
from tsunagu.serve.xds.ads import AdsServer, Scope
from tsunagu.serve.xds.timeline import Timeline

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tsunagu.xds.requests.decode import NodeInfo

BATCH = 1000  # objects of one commit


class Mesh:
    """A control plane over the registry in a directory."""

    def __init__(self, home: Path, store: SqliteStore, group: asyncio.TaskGroup) -> None:
        self._home = home
        self._registry = Registry(store)
        self._informer = Informer(self._registry)
        self._ads = AdsServer(authenticate=_admit, identifier="benchmark", timeline=Timeline())
        self._group = group
        self._client: RegistryClient | None = None

    async def load(self, command: dict[str, Any]) -> dict[str, Any]:
        objects = [PutObject(one, 0) for one in content.mesh(command["services"])]
        for first in range(0, len(objects), BATCH):
            await self._registry.batch(objects[first : first + BATCH])
        return {"objects": len(objects)}

    async def serve(self, _command: dict[str, Any]) -> dict[str, Any]:
        synced = asyncio.Event()
        publisher = Publisher(
            self._informer,
            PublishedState(),
            self._ads,
            clock=SystemClock(),
            on_published=lambda _changes: synced.set(),
        )
        self._group.create_task(self._informer.run(), name="informer")
        self._group.create_task(publisher.run(), name="publisher")
        await synced.wait()
        gc.freeze()  # as app.py does
        self._ads.mark_synced()
        port = await self._ads.start("127.0.0.1:0")
        self._api = api = ApiServer(self._home / "api.sock")  # or its server is collected
        api.add(NAME, RegistryService(self._registry, self._informer, check_batch).register)
        await api.start()
        self._client = RegistryClient(grpc.aio.insecure_channel(f"unix:{self._home}/api.sock"))
        return {"address": f"127.0.0.1:{port}"}

    async def change(self, command: dict[str, Any]) -> dict[str, Any]:
        assert self._client is not None, "change follows serve"
        moved = content.task_of(command["number"], 0, command["sequence"])
        begun = time.monotonic_ns()
        await self._client.put(moved)
        return {"at": begun, "returned": time.monotonic_ns()}


def _admit(_metadata: Mapping[str, str], node: NodeInfo) -> Scope:
    return Scope(node.id, (f"ns/{content.NAMESPACE}",))


async def main() -> None:
    gc.set_threshold(*GARBAGE_COLLECTION)
    with TemporaryDirectory(prefix="tsunagu-bench-") as home:
        store = await SqliteStore.open(Path(home, "registry.db"))
        async with asyncio.TaskGroup() as group:
            mesh = Mesh(Path(home), store, group)
            await steer({"load": mesh.load, "serve": mesh.serve, "change": mesh.change})
            os._exit(0)  # nothing is kept: do not wait for streams


if __name__ == "__main__":
    asyncio.run(main())
