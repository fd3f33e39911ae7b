"""`python -m benchmarks.xds.server`: the benchmark's resources behind an AdsServer, without a registry.

As `tsunagu` all streams have one scope; as `revisions` each has one of its own, with a cluster that nobody else sees, as the
proxies of as many service revisions have.
"""

from __future__ import annotations

import asyncio
import base64
import gc
import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.xds import content
from benchmarks.xds.steered import GARBAGE_COLLECTION, steer
from tsunagu.serve.xds.ads import AdsServer, Scope
from tsunagu.serve.xds.timeline import Timeline
from tsunagu.v1 import endpoint_pb2
from tsunagu.xds import wire
from tsunagu.xds.bundle import BundleUpdate
from tsunagu.xds.resources import CDS, EDS, Resource

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tsunagu.xds.requests.decode import NodeInfo

TYPES = {short: url for url, short in content.SHORT.items()}


class Content:
    """The resources of a file, and the assignments to change among them."""

    def __init__(self, path: str) -> None:
        self.resources = [_resource(json.loads(line)) for line in Path(path).read_text().splitlines()]
        self._assignments = {
            one.name: endpoint_pb2.ClusterLoadAssignment.FromString(one.body)
            for one in self.resources
            if one.type_url == EDS
        }
        self.names = list(self._assignments)

    def moved(self, name: str, sequence: int) -> Resource:
        """The assignment with another first endpoint."""
        assignment = self._assignments[name]
        first = assignment.endpoints[0].lb_endpoints[0].endpoint.address.socket_address
        first.address = f"11.{sequence >> 16 & 255}.{sequence >> 8 & 255}.{sequence & 255}"
        return Resource.of(EDS, name, assignment.SerializeToString(deterministic=True))


class Served:
    """One AdsServer that everyone may read."""

    def __init__(self) -> None:
        self._ads = AdsServer(authenticate=self._authenticate, identifier="benchmark", timeline=Timeline())
        self._revision = 0
        self._in_revisions = False

    async def load(self, command: dict[str, Any]) -> dict[str, Any]:
        self._content = Content(command["path"])
        self._publish(self._content.resources)
        return {"resources": len(self._content.resources)}

    async def serve(self, command: dict[str, Any]) -> dict[str, Any]:
        self._in_revisions = command["cache"] == "revisions"
        for node in command["nodes"] if self._in_revisions else ():
            self._publish([Resource.of(CDS, "local", wire.text(1, "local"))], _revision(node))
        gc.freeze()  # as app.py does
        port = await self._ads.start("127.0.0.1:0")
        self._ads.mark_synced()
        return {"address": f"127.0.0.1:{port}"}

    async def change(self, command: dict[str, Any]) -> dict[str, Any]:
        begun = time.monotonic_ns()
        self._change(command["name"], command["sequence"])
        return {"at": begun, "returned": time.monotonic_ns()}

    async def churn(self, command: dict[str, Any]) -> dict[str, Any]:
        names = self._content.names
        times: list[int] = []
        begun = due = time.monotonic()
        while due < begun + command["seconds"] and time.monotonic() < begun + command["seconds"]:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            due += 1 / command["rate"]
            times.append(time.monotonic_ns())
            self._change(names[(len(times) - 1) % len(names)], command["first"] + len(times) - 1)
        return {"times": times}

    def _change(self, name: str, sequence: int) -> None:
        self._publish([self._content.moved(name, sequence)])

    def _publish(self, made: list[Resource], bundle: str = "all") -> None:
        self._revision += 1
        self._ads.publish([BundleUpdate(bundle, tuple(made))], self._revision, "benchmark")

    def _authenticate(self, _metadata: Mapping[str, str], node: NodeInfo) -> Scope:
        return Scope(node.id, ("all", _revision(node.id)) if self._in_revisions else ("all",))


def _resource(one: dict[str, str]) -> Resource:
    return Resource.of(TYPES[one["type"]], one["name"], base64.b64decode(one["body"]))


def _revision(node: str) -> str:
    return f"revision of {node}"


async def main() -> None:
    gc.set_threshold(*GARBAGE_COLLECTION)
    served = Served()
    await steer({"load": served.load, "serve": served.serve, "change": served.change, "churn": served.churn})
    os._exit(0)  # nothing is kept: do not wait for streams


if __name__ == "__main__":
    asyncio.run(main())
