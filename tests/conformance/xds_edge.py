"""A server on a socket of its own, and clients of one variant that ask it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest

from tsunagu.serve.xds.ads import AdsServer, PermissionDenied, Scope
from tsunagu.serve.xds.timeline import Timeline
from tsunagu.testing import FakeProxy
from tsunagu.xds import wire
from tsunagu.xds.bundle import BundleUpdate
from tsunagu.xds.resources import CDS, LDS, Resource

PATIENCE = 20.0


def resource(url: str, name: str, content: str = "1") -> Resource:
    return Resource.of(url, name, wire.text(1, name) + wire.text(99, content))


def authenticate(metadata, node):
    if node.id == "foreign":
        raise PermissionDenied("not of this mesh")
    if node.id == "broken":
        raise RuntimeError("a fault of whoever wrote authenticate")
    return Scope(node.id, ("b",))


async def boot(proxy: FakeProxy) -> None:
    for short in ("CDS", "LDS"):
        await proxy.subscribe(short)
        await proxy.ack(await proxy.receive())


class Edge:
    def __init__(self, server: AdsServer, address: str, variant: str) -> None:
        self.server, self.address, self.variant = server, address, variant
        self.revision = 0

    def publish(self, *upserts: Resource, removals=()) -> None:
        self.revision += 1
        self.server.publish([BundleUpdate("b", upserts, removals)], self.revision, f"change {self.revision}")

    def proxy(self, name: str = "p") -> FakeProxy:
        return FakeProxy(self.address, node=name, variant=self.variant)

    async def converged(self, *names: str) -> None:
        assert await self.server.wait(self.revision, lambda: names, PATIENCE) == []

    async def empty(self) -> None:
        """Until nothing is left of any stream."""
        async with asyncio.timeout(PATIENCE):
            while self.server._streams:  # noqa: ASYNC110  # nobody tells
                await asyncio.sleep(0.001)
        assert self.server.catalog.owners == set()
        assert self.server.catalog._composites == {}
        assert self.server.proxies() == []


@asynccontextmanager
async def running(folder, variant: str):
    server = AdsServer(authenticate=authenticate, identifier="cp", timeline=Timeline(64))
    edge = Edge(server, f"unix:{folder}/xds.sock", variant)
    await server.start(edge.address)
    edge.publish(resource(CDS, "c"), resource(LDS, "l"))
    server.mark_synced()
    try:
        yield edge
    finally:
        await server.stop(1.0)


@pytest.fixture
async def edge(tmp_path, variant):
    async with running(tmp_path, variant) as edge:
        yield edge
