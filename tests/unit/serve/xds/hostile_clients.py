"""A server with limits, and calls to it that do what no honest client does, for test_hostile.py and test_work_shares.py."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import grpc.aio

from tsunagu.serve.xds.ads import AdsServer, Scope, Unauthenticated
from tsunagu.serve.xds.limits import Limits
from tsunagu.serve.xds.timeline import Timeline
from tsunagu.testing import FakeProxy
from tsunagu.testing.fake_proxy import StreamEnded
from tsunagu.v1 import discovery_pb2 as xds
from tsunagu.xds import wire
from tsunagu.xds.bundle import BundleUpdate
from tsunagu.xds.resources import CDS, EDS, LDS, Resource

PATIENCE = 10.0
METHOD = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"
MEGABYTE = 1 << 20
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))


def resource(url, name, content="1"):
    return Resource.of(url, name, wire.text(1, name) + wire.text(99, content))


def authenticate(metadata, node):
    token = metadata.get("authorization", node.cluster).removeprefix("Bearer ")
    if not token.startswith("good"):
        raise Unauthenticated("no token")
    return Scope(node.id, ("b",))


def recognize(metadata):
    if "authorization" in metadata and metadata["authorization"] != "Bearer good":
        raise Unauthenticated("no good token")
    return "authorization" in metadata


class Served:
    def __init__(self, server, path):
        self.server = server
        self.path = path
        self.target = f"unix:{path}"

    def proxy(self, name="p", *, token="good", **options):
        return FakeProxy(self.target, node=name, token=token, **options)

    @asynccontextmanager
    async def call(self, *, token="", **options):
        """A stream of raw bytes, on a connection of its own."""
        sizes = (("grpc.max_send_message_length", -1), ("grpc.use_local_subchannel_pool", 1))
        metadata = (("authorization", f"Bearer {token}"),) if token else ()
        async with grpc.aio.insecure_channel(self.target, options=sizes) as channel:
            yield channel.stream_stream(METHOD)(metadata=metadata, **options)

    async def until(self, condition):
        async with asyncio.timeout(PATIENCE):
            while not condition():  # noqa: ASYNC110  # nobody tells
                await asyncio.sleep(0.01)


@asynccontextmanager
async def serving(folder, **limits):
    server = AdsServer(authenticate=authenticate, identifier="cp", timeline=Timeline(), limits=Limits(**limits))
    server.recognize = recognize
    await server.start(f"unix:{folder}/xds.sock")
    server.publish([BundleUpdate("b", (resource(CDS, "c"), resource(EDS, "c"), resource(LDS, "l")))], 1, "start")
    server.mark_synced()
    try:
        yield Served(server, folder / "xds.sock")
    finally:
        await server.stop(1.0)


def request(*names, node=None, **fields):
    message = xds.DeltaDiscoveryRequest(type_url=EDS, resource_names_subscribe=names, **fields)
    if node is not None:
        message.node.CopyFrom(node)
    return message.SerializeToString()


async def ended(call, data):
    """The status with which the stream ends that this is sent on."""
    async with asyncio.timeout(PATIENCE):
        try:
            await call.write(data)
            while await call.read() is not grpc.aio.EOF:
                pass
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            pass
        return (await call.code()).name, await call.details()


async def refusal(proxy, names):
    """The status with which the stream ends when these names are asked for."""
    try:
        await proxy.subscribe("EDS", names)
        await proxy.until(lambda _: False, PATIENCE)
    except StreamEnded as end:
        return end.code.name
    return "answered"
