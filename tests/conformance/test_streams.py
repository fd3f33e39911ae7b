"""Both variants over real gRPC: limits, ends and storms of streams, which a session by itself cannot show."""

# ruff: noqa: F811  # fixtures are imported, and named again as arguments
from __future__ import annotations

import asyncio
import gc
import logging
import os
import sys
import tracemalloc
from contextlib import AsyncExitStack
from pathlib import Path

import grpc
import grpc.aio
import pytest
from tsunagu.v1 import discovery_pb2 as xds

from controlplane.serve import streams
from controlplane.serve.admission import Admission
from controlplane.serve.ads import AdsServer
from controlplane.serve.timeline import Timeline
from controlplane.testing.fake_proxy import StreamEnded
from controlplane.xds.resources import CDS, EDS, LDS, Resource

sys.path.insert(0, str(Path(__file__).parent))
from xds_edge import PATIENCE, Edge, authenticate, boot, edge, resource, running  # noqa: F401  # edge is a fixture

CYCLES = int(os.environ.get("TSUNAGU_CYCLES", "500"))
STORM = 1000
ADS = "/envoy.service.discovery.v3.AggregatedDiscoveryService/"
METHODS = {
    "delta": (xds.DeltaDiscoveryRequest, xds.DeltaDiscoveryResponse, ADS + "DeltaAggregatedResources"),
    "sotw": (xds.DiscoveryRequest, xds.DiscoveryResponse, ADS + "StreamAggregatedResources"),
}
FEW = 8

pytestmark = pytest.mark.parametrize("variant", ["delta", "sotw"])


@pytest.mark.case(24, 117)
@pytest.mark.pitfall("P25")
async def test_ten_thousand_names_and_six_megabytes(edge):
    names = [f"{number:05d}".ljust(600, "x") for number in range(10_000)]
    async with edge.proxy() as proxy:
        edge.publish(resource(EDS, names[-1]))
        await proxy.subscribe("EDS", names)
        await proxy.until(lambda proxy: names[-1] in proxy.held.get("EDS", {}), PATIENCE)
        assert len(next(iter(edge.server.catalog.sessions)).watches[EDS].subscription.names.names) == len(names)
    await edge.empty()
    gc.collect()
    assert len(edge.server.catalog.names._sets) == 1  # the empty set: nothing outlives the stream


@pytest.mark.case(57)
async def test_nonces_are_never_used_twice(edge):
    async with edge.proxy() as proxy:
        await boot(proxy)
        nonces = set()
        for number in range(1000):
            edge.publish(resource(CDS, "c", str(number + 2)))
            update = await proxy.receive()
            await proxy.ack(update)
            nonces.add(update.nonce)
    assert "" not in nonces
    assert len(nonces) == 1000


@pytest.mark.case(125)
async def test_twenty_clients_get_every_push_in_order(edge):
    async with AsyncExitStack() as stack:
        proxies = [await stack.enter_async_context(edge.proxy(f"p{number}")) for number in range(20)]
        for proxy in proxies:
            await boot(proxy)
        for number in range(2, 7):
            edge.publish(resource(CDS, "c", str(number)))
            for proxy in proxies:
                update = await proxy.receive()
                await proxy.ack(update)
                assert update.resources["c"] == resource(CDS, "c", str(number)).body
        await edge.converged(*(f"p{number}" for number in range(20)))


@pytest.mark.case(112)
async def test_many_publishers_and_many_clients_lose_nothing(edge):
    last = resource(CDS, "c", "64").body

    async def publish(first: int) -> None:
        for number in range(first, 65, 8):
            await asyncio.sleep(0)
            edge.publish(resource(CDS, "c", str(number)), resource(LDS, f"l{number}"))

    async with AsyncExitStack() as stack:
        proxies = [await stack.enter_async_context(edge.proxy(f"p{number}")) for number in range(16)]
        async with asyncio.TaskGroup() as group:
            for proxy in proxies:
                await boot(proxy)
            for first in range(1, 9):
                group.create_task(publish(first))
            for proxy in proxies:
                group.create_task(
                    proxy.until(lambda one: one.held["CDS"]["c"] == last and len(one.held["LDS"]) == 65, PATIENCE)
                )
        await edge.converged(*(f"p{number}" for number in range(16)))


@pytest.mark.case(106)
async def test_a_stop_ends_streams_in_order_and_leaves_no_task(tmp_path, variant):
    before = asyncio.all_tasks()
    async with running(tmp_path, variant) as edge, edge.proxy() as proxy, edge.proxy("other") as other:
        await boot(proxy)
        await other.subscribe("CDS")  # and never answers
        await other.receive()
        await edge.server.stop(PATIENCE)
        for one in (proxy, other):
            with pytest.raises(StreamEnded) as ended:  # in our words, or in grpc's when it was the faster one
                await one.receive()
            assert ended.value.code is grpc.StatusCode.UNAVAILABLE
        assert not edge.server._streams
        late = edge.proxy("late")
        async with late:
            with pytest.raises(StreamEnded):  # noqa: PT012  # the one or the other, as the connection goes
                await late.subscribe("CDS")
                await late.receive()
    async with asyncio.timeout(PATIENCE):
        while any("grpc" not in repr(task) for task in asyncio.all_tasks() - before):  # noqa: ASYNC110
            await asyncio.sleep(0.001)


@pytest.mark.case(107)
@pytest.mark.pitfall("P13")
async def test_clients_that_go_at_any_moment_leave_nothing(edge, caplog):
    """500 times; TSUNAGU_CYCLES=10000 for as often as there is time for. The memory of the second half counts."""
    caplog.set_level(logging.ERROR)
    big = "x" * 200_000
    edge.publish(*(resource(EDS, f"e{number}", big) for number in range(5)))

    async def cycle(number: int) -> None:
        async with edge.proxy(f"p{number % 7}") as proxy:
            if number % 5:
                await proxy.subscribe("EDS", [f"e{of}" for of in range(5)])
            if number % 5 == 2:
                await proxy.ack(await proxy.receive(PATIENCE))
            elif number % 5 == 3:  # in the middle of a write: a megabyte does not fit into a window
                edge.publish(resource(EDS, "e0", big + str(number)))
            elif number % 5 == 4:
                await proxy._call.done_writing()

    async def cycles(count: int) -> None:
        for start in range(0, count, 10):
            async with asyncio.TaskGroup() as group:
                for number in range(start, start + 10):
                    group.create_task(cycle(number))
        await edge.empty()
        edge.server.timeline._ring.clear()  # what it shows of the last streams is large here

    await cycles(50)  # what is made once is made
    tasks = len(asyncio.all_tasks())
    gc.collect()
    tracemalloc.start(1)
    try:
        await cycles(CYCLES // 2)
        gc.collect()
        half = tracemalloc.get_traced_memory()[0]
        await cycles(CYCLES // 2)
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - half
    finally:
        tracemalloc.stop()
    async with asyncio.timeout(PATIENCE):
        while len(asyncio.all_tasks()) > tasks:  # noqa: ASYNC110  # grpc has a last word after ours
            await asyncio.sleep(0.001)
    assert grown < 500_000, f"{grown} bytes more after {CYCLES // 2} streams more"
    assert [record.getMessage() for record in caplog.records if record.name.startswith("controlplane")] == []


@pytest.mark.case(108)
async def test_a_write_that_fails_ends_its_stream_and_lets_go_first(edge, monkeypatch):
    """What a client leaves is let go of before the timeline says that it has gone."""
    seen = []
    record = edge.server.timeline.record

    def look(event):
        if event.kind == "close":
            seen.append(len(edge.server.catalog.sessions))
        record(event)

    monkeypatch.setattr(edge.server.timeline, "record", look)
    async with edge.proxy() as proxy:
        await boot(proxy)
        (stream,) = edge.server._streams.values()

        async def fail(_payload):
            raise grpc.aio.InternalError("the transport is gone")

        class Broken:
            write = staticmethod(fail)

            def __getattr__(self, name):
                return getattr(context, name)

        context, stream._context = stream._context, Broken()
        edge.publish(resource(CDS, "c", "2"))
        with pytest.raises(StreamEnded, match="cannot write: the transport is gone") as ended:
            await proxy.receive()
        assert ended.value.code is grpc.StatusCode.UNAVAILABLE
    await edge.empty()
    assert seen == [0]


@pytest.mark.case(134)
async def test_a_push_at_each_moment_of_an_end_harms_nobody(edge):
    """Also between the end of reading and that of a write which hangs on a client that does not read."""
    async with edge.proxy() as proxy:
        await boot(proxy)
        (stream,) = edge.server._streams.values()
        async with asyncio.timeout(PATIENCE):
            stream._pusher = stream._tasks.create_task(asyncio.Event().wait(), name="a write that hangs")
            await asyncio.sleep(0)
            stream._owner.cancel()
            while edge.server._streams:
                edge.publish(resource(CDS, "c", str(edge.revision)))
                await asyncio.sleep(0)
    await edge.empty()


@pytest.mark.case(109)
async def test_a_watch_closed_from_this_side_closes_the_stream(edge):
    async with edge.proxy() as proxy:
        await boot(proxy)
        (stream,) = edge.server._streams.values()
        stream.end("UNAVAILABLE", "its watch was closed")
        with pytest.raises(StreamEnded, match="its watch was closed") as ended:
            await proxy.receive()
    assert ended.value.code is grpc.StatusCode.UNAVAILABLE


@pytest.mark.case(110)
async def test_a_refusal_has_its_status_leaks_nothing_and_is_logged_once(edge, caplog):
    async with edge.proxy("foreign") as foreign:
        await foreign.subscribe("CDS")
        with pytest.raises(StreamEnded, match="not of this mesh") as ended:
            await foreign.receive()
    assert ended.value.code is grpc.StatusCode.PERMISSION_DENIED
    await edge.empty()
    assert len([one for one in caplog.records if "not of this mesh" in one.getMessage()]) == 1
    async with edge.proxy() as proxy:
        await boot(proxy)


@pytest.mark.case(104)
async def test_no_node_and_no_id_are_refused_and_logged_once(edge, caplog):
    async with edge.proxy("") as proxy:
        await proxy.subscribe("CDS")
        with pytest.raises(StreamEnded, match="must bear a node with an id") as ended:
            await proxy.receive()
    assert ended.value.code is grpc.StatusCode.INVALID_ARGUMENT
    assert len([one for one in caplog.records if "node with an id" in one.getMessage()]) == 1


@pytest.mark.case(132)
async def test_a_fault_in_judging_one_client_harms_no_other(edge):
    async with edge.proxy() as proxy:
        await boot(proxy)
        async with edge.proxy("broken") as broken:
            await broken.subscribe("CDS")
            with pytest.raises(StreamEnded) as ended:
                await broken.receive()
        assert ended.value.code is grpc.StatusCode.UNKNOWN
        edge.publish(resource(CDS, "c", "2"))
        await proxy.ack(await proxy.receive())
        await edge.converged("p")
    await edge.empty()


@pytest.mark.case(115)
async def test_a_stream_on_which_nothing_is_said_is_closed(edge, monkeypatch, variant):
    monkeypatch.setattr(streams, "FIRST_MESSAGE", 0.01)
    async with edge.proxy() as proxy:
        with pytest.raises(StreamEnded) as ended:
            await proxy.receive()
    assert ended.value.code is grpc.StatusCode.DEADLINE_EXCEEDED
    await edge.empty()


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
    big, url = "x" * 4_000_000, EDS
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
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                while sum(map(len, stream._outbox)) <= 2 * len(big):  # noqa: ASYNC110  # it must not
                    await asyncio.sleep(0.01)
        call.cancel()
    await edge.empty()


@pytest.mark.case(119)
async def test_a_storm_of_reconnects_is_admitted_gradually(edge, monkeypatch):
    """A thousand at once: only so many are answered at a time, all in the end, and who was there is served meanwhile."""
    most = 0
    admit = AdsServer.admit

    def counted(server, stream, node):
        nonlocal most
        most = max(most, server.admission.busy)
        return admit(server, stream, node)

    monkeypatch.setattr(AdsServer, "admit", counted)
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
            assert len(edge.server.proxies()) == FEW + 1
            reading.set()
        assert len(edge.server.proxies()) == STORM + 1
        assert most == FEW
        for call in calls:
            call.cancel()
    await edge.empty()
