"""`python -m benchmarks.xds.floor`: what grpc.aio alone costs. The same bytes, and no xDS server behind them.

Rule: a stream reads and writes in one task, and nothing is decided: whatever is asked, the answers are ready.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import time
from typing import Any

import grpc.aio

from benchmarks.xds.server import Content
from benchmarks.xds.steered import steer
from tsunagu.serve.xds.ads import grpc_options
from tsunagu.serve.xds.limits import Limits
from tsunagu.xds import encode
from tsunagu.xds.resources import CDS, EDS, Resource

METHODS = {"delta": "DeltaAggregatedResources", "sotw": "StreamAggregatedResources"}
SERVICE = "envoy.service.discovery.v3.AggregatedDiscoveryService"


class Floor:
    """Sends canned responses to whoever comes."""

    def __init__(self) -> None:
        self._all: dict[tuple[str, str], bytes] = {}
        self._streams: dict[Any, str] = {}  # call -> variant
        self._tasks: asyncio.TaskGroup | None = None

    async def load(self, command: dict[str, Any]) -> dict[str, Any]:
        self._content = Content(command["path"])
        made = self._content.resources
        for url in (CDS, EDS):
            some = [one for one in made if one.type_url == url]
            self._all |= {(variant, url): _response(variant, some) for variant in METHODS}
        return {"resources": len(made)}

    async def serve(self, _command: dict[str, Any]) -> dict[str, Any]:
        server = grpc.aio.server(options=grpc_options(Limits()))
        methods = {
            method: grpc.stream_stream_rpc_method_handler(functools.partial(self._stream, variant))
            for variant, method in METHODS.items()
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, methods),))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        self._server = server
        return {"address": f"127.0.0.1:{port}"}

    async def change(self, command: dict[str, Any]) -> dict[str, Any]:
        begun = time.monotonic_ns()
        changed = [self._content.moved(command["name"], command["sequence"])]
        responses = {variant: _response(variant, changed) for variant in METHODS}
        assert self._tasks is not None, "run keeps the group"
        for context, variant in self._streams.items():
            self._tasks.create_task(context.write(responses[variant]), name="push")
        return {"at": begun, "returned": time.monotonic_ns()}

    async def run(self) -> None:
        async with asyncio.TaskGroup() as self._tasks:
            await steer({"load": self.load, "serve": self.serve, "change": self.change})
            os._exit(0)  # nothing is kept: do not wait for streams

    async def _stream(self, variant: str, _requests: object, context: Any) -> None:
        await context.read()
        await context.write(self._all[variant, CDS])
        await context.read()
        await context.read()
        await context.write(self._all[variant, EDS])
        self._streams[context] = variant
        with contextlib.suppress(asyncio.CancelledError):  # how grpc tells that the client is gone
            while await context.read() is not grpc.aio.EOF:
                pass
        del self._streams[context]


def _response(variant: str, made: list[Resource]) -> bytes:
    entries = [one.delta_entry if variant == "delta" else one.sotw_entry for one in made]
    return encode.response(made[0].type_url, (b"".join(entries),), made[0].version, "1", b"")


if __name__ == "__main__":
    asyncio.run(Floor().run())
