"""A server in this process and delta clients on it, for test_ads.py and test_shown.py."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import grpc
import grpc.aio

from tsunagu.serve.xds.ads import AdsServer, PermissionDenied, Scope, Unauthenticated
from tsunagu.serve.xds.timeline import Timeline
from tsunagu.v1 import discovery_pb2
from tsunagu.xds import wire
from tsunagu.xds.resources import CDS, LDS, Resource

ADS = "/envoy.service.discovery.v3.AggregatedDiscoveryService/"
PATIENCE = 10.0


def resource(url: str, name: str, content: str = "1") -> Resource:
    return Resource.of(url, name, wire.text(1, name) + wire.text(99, content))


def authenticate(metadata, node):
    if node.id == "nobody":
        raise Unauthenticated("no token")
    if node.id == "foreign":
        raise PermissionDenied("not of this mesh")
    assert metadata.get("x-token", "good") == "good"
    return Scope(node.id, ("b",))


class Proxy:
    """A delta client of one stream that ACKs when told to."""

    def __init__(self, call, name: str = "p") -> None:
        self.call = call
        self.node = discovery_pb2.Node(id=name)

    async def ask(self, url: str, *names: str, **fields) -> None:
        request = discovery_pb2.DeltaDiscoveryRequest(type_url=url, resource_names_subscribe=names, **fields)
        if self.node is not None:
            request.node.CopyFrom(self.node)
            self.node = None
        await self.call.write(request.SerializeToString())

    async def read(self) -> discovery_pb2.DeltaDiscoveryResponse:
        async with asyncio.timeout(PATIENCE):
            data = await self.call.read()
        assert data is not grpc.aio.EOF, "the stream has ended"
        return discovery_pb2.DeltaDiscoveryResponse.FromString(data)

    async def ack(self) -> discovery_pb2.DeltaDiscoveryResponse:
        response = await self.read()
        await self.ask(response.type_url, response_nonce=response.nonce)
        return response

    async def boot(self) -> None:
        for url in (CDS, LDS):
            await self.ask(url)
            await self.ack()

    async def status(self) -> tuple[grpc.StatusCode, str]:
        async with asyncio.timeout(PATIENCE):
            return await self.call.code(), await self.call.details()


class Edge:
    def __init__(self, server: AdsServer, channel: grpc.aio.Channel) -> None:
        self.server = server
        self.channel = channel

    def proxy(self, name: str = "p", method: str = ADS + "DeltaAggregatedResources") -> Proxy:
        return Proxy(self.channel.stream_stream(method)(metadata=(("x-token", "good"),)), name)

    async def until(self, kind: str, after: int = 0) -> None:
        async with asyncio.timeout(PATIENCE):
            async for event in self.server.timeline.follow(after):
                if event.kind == kind:
                    return


@asynccontextmanager
async def running(address: str = "127.0.0.1:0", *, synced: bool = True):
    server = AdsServer(authenticate=authenticate, identifier="cp", timeline=Timeline())
    port = await server.start(address)
    if synced:
        server.mark_synced()
    target = address if address.startswith("unix:") else f"127.0.0.1:{port}"
    try:
        async with grpc.aio.insecure_channel(target) as channel:
            yield Edge(server, channel)
    finally:
        await server.stop(1.0)
