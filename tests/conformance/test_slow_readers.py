"""Clients that read slowly, not at all, or all at once: nothing gathers for them, and others are served meanwhile."""

# ruff: noqa: F811  # fixtures are imported, and named again as arguments
from __future__ import annotations

import asyncio
import gc
from contextlib import AsyncExitStack

import grpc
import grpc.aio
import pytest

from tests.conformance.xds_edge import PATIENCE, Edge, authenticate, boot, edge, resource  # noqa: F401  # edge is a fixture
from tsunagu.serve.xds.admission import Admission
from tsunagu.serve.xds.ads import AdsServer
from tsunagu.serve.xds.timeline import Timeline
from tsunagu.v1 import discovery_pb2 as xds
from tsunagu.xds.resources import CDS, EDS, LDS, Resource
from tsunagu.xds.session import Session

STORM = 1000
ADS = "/envoy.service.discovery.v3.AggregatedDiscoveryService/"
METHODS = {
    "delta": (xds.DeltaDiscoveryRequest, xds.DeltaDiscoveryResponse, ADS + "DeltaAggregatedResources"),
    "sotw": (xds.DiscoveryRequest, xds.DiscoveryResponse, ADS + "StreamAggregatedResources"),
}
FEW = 8

pytestmark = pytest.mark.parametrize("variant", ["delta", "sotw"])


@pytest.mark.case(72, 128)
@pytest.mark.pitfall("P14")
async def test_what_waits_for_a_client_merges_and_is_kept_no_longer(edge):
    """A client that does not answer costs the newest content and the one in flight, not those in between."""
    async with edge.proxy() as proxy:
        await boot(proxy)
        await proxy.subscribe("EDS", ["a", "b"])
        edge.publish(resource(EDS, "a", "0"), resource(EDS, "b", "0"))
        await proxy.until(lambda one: set(one.held.get("EDS", {})) == {"a", "b"})
        for number in range(1, 101):
            edge.publish(resource(EDS, "a", str(number)))
            edge.publish(resource(EDS, "b", str(number)))
            await asyncio.sleep(0)
        in_flight = await proxy.receive()
        gc.collect()
        living = [one for one in gc.get_objects() if isinstance(one, Resource) and one.name in ("a", "b")]
        assert len(living) < 100, "half of what was replaced is still there"
        await proxy.ack(in_flight)
        last = {name: resource(EDS, name, "100").body for name in ("a", "b")}
        await proxy.until(lambda one: one.held["EDS"] == last)
        await edge.converged("p")


@pytest.mark.case(118)
@pytest.mark.pitfall("P12")
async def test_who_comes_before_the_state_is_known_waits_and_has_it_then(tmp_path, variant):
    server = AdsServer(authenticate=authenticate, identifier="cp", timeline=Timeline(64))
    edge = Edge(server, f"unix:{tmp_path}/xds.sock", variant)
    await server.start(edge.address)
    async with asyncio.timeout(PATIENCE), edge.proxy() as proxy:
        await proxy.subscribe("CDS")
        async for event in server.timeline.follow():
            if event.kind == "subscribe":
                break
        edge.publish(resource(CDS, "c", "not all of it"))
        await asyncio.sleep(0)
        assert "send" not in {event.kind for event in server.timeline.events()}
        edge.publish(resource(CDS, "c"), resource(LDS, "l"))
        server.mark_synced()
        await proxy.until(lambda one: "c" in one.held.get("CDS", {}))
    await server.stop(0.1)


@pytest.mark.case(119)
async def test_who_came_before_the_state_was_known_is_admitted_gradually_too(tmp_path, variant):
    """As after a restart: all are there again before the control plane has read what there is."""
    server = AdsServer(authenticate=authenticate, identifier="cp", timeline=Timeline(4096))
    server.admission = Admission(FEW, PATIENCE)
    edge = Edge(server, f"unix:{tmp_path}/xds.sock", variant)
    await server.start(edge.address)
    async with AsyncExitStack() as stack:
        proxies = [await stack.enter_async_context(edge.proxy(f"p{number}")) for number in range(3 * FEW)]
        for proxy in proxies:
            await proxy.subscribe("CDS")
        async with asyncio.timeout(PATIENCE):
            while len(server.proxies()) < len(proxies):  # noqa: ASYNC110  # nobody tells
                await asyncio.sleep(0.001)
        edge.publish(resource(CDS, "c"))
        server.mark_synced()
        async with asyncio.timeout(PATIENCE):
            while server.admission.busy < FEW:  # noqa: ASYNC110  # nobody tells
                await asyncio.sleep(0.001)
        assert [event.kind for event in server.timeline.events()].count("send") == FEW

        async def answer(proxy) -> None:
            await proxy.ack(await proxy.receive())

        async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
            for proxy in proxies:
                group.create_task(answer(proxy))
    await server.stop(1.0)


@pytest.mark.case(72)
async def test_a_client_that_asks_on_and_on_and_never_reads_is_not_listened_to(edge):
    """It need not ACK to be answered: a name that it has let go of and asks for again is due again."""
    big, url = "x" * (edge.server.limits.outbox_bytes // 2), EDS
    edge.publish(resource(url, "e"))
    kind, response, method = METHODS[edge.variant]
    delta = edge.variant == "delta"
    ask = {"resource_names_subscribe": ["e"]} if delta else {"resource_names": ["e"]}
    drop = {"resource_names_unsubscribe": ["e"]} if delta else {}
    async with grpc.aio.insecure_channel(edge.address) as channel:
        call = channel.stream_stream(method)()
        await call.write(kind(type_url=url, node=xds.Node(id="p"), **ask).SerializeToString())
        nonce = response.FromString(await call.read()).nonce
        await call.write(kind(type_url=url, response_nonce=nonce, **({} if delta else ask)).SerializeToString())
        async for event in edge.server.timeline.follow(0, "p", url):
            if event.kind == "ack":
                break
        edge.publish(resource(url, "e", big))  # a push that hangs, for nobody reads on
        (stream,) = edge.server._streams.values()
        for _ in range(20):
            await call.write(kind(type_url=url, **drop).SerializeToString())
            await call.write(kind(type_url=url, **ask).SerializeToString())
        for _ in range(100):  # as long as it took to gather them all, when that was so
            await asyncio.sleep(0.01)
            assert sum(map(len, stream._outbox)) < edge.server.limits.outbox_bytes + 2 * len(big)
        call.cancel()
    await edge.empty()


@pytest.mark.case(119)
async def test_a_storm_of_reconnects_is_admitted_gradually(edge, monkeypatch):
    """A thousand at once: only so many are answered at a time, all in the end, and who was there is served meanwhile."""
    most = 0
    authorize = Session.authorize

    def counted(session, scope, now):
        nonlocal most
        most = max(most, edge.server.admission.busy)
        return authorize(session, scope, now)

    monkeypatch.setattr(Session, "authorize", counted)
    edge.server.admission = Admission(FEW, PATIENCE)
    kind, response, method = METHODS[edge.variant]
    async with edge.proxy("old") as old, AsyncExitStack() as stack:
        await boot(old)
        channels = [
            await stack.enter_async_context(
                grpc.aio.insecure_channel(edge.address, options=(("grpc.use_local_subchannel_pool", 1),))
            )
            for _ in range(8)
        ]

        async def connect(number: int) -> None:
            call = channels[number % 8].stream_stream(method)()
            node = xds.Node(id=f"p{number}")
            await call.write(kind(type_url=CDS, node=node).SerializeToString())
            await reading.wait()
            answer = response.FromString(await call.read())
            await call.write(kind(type_url=CDS, response_nonce=answer.nonce).SerializeToString())
            calls.append(call)

        calls: list = []
        reading = asyncio.Event()
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            for number in range(STORM):
                group.create_task(connect(number))
            while edge.server.admission.busy < FEW:  # noqa: ASYNC110  # nobody tells
                await asyncio.sleep(0.001)
            edge.publish(resource(LDS, "l", "2"))
            await old.until(lambda one: one.held["LDS"]["l"] == resource(LDS, "l", "2").body, PATIENCE)
            assert len([proxy for proxy in edge.server.proxies() if proxy.types]) == FEW + 1
            reading.set()
        assert len(edge.server.proxies()) == STORM + 1
        assert most == FEW
        for call in calls:
            call.cancel()
    await edge.empty()
