"""Both variants over real gRPC: limits and ends of streams, which a session by itself cannot show."""

# ruff: noqa: F811  # fixtures are imported, and named again as arguments
from __future__ import annotations

import asyncio
import gc
import logging
import os
import tracemalloc
from contextlib import AsyncExitStack

import grpc
import grpc.aio
import pytest

from tests.conformance.xds_edge import PATIENCE, Edge, authenticate, boot, edge, resource, running  # noqa: F401  # edge is a fixture
from tsunagu.serve.xds.first_reads import FirstReads
from tsunagu.testing.fake_proxy import StreamEnded
from tsunagu.xds.resources import CDS, EDS, LDS

CYCLES = int(os.environ.get("TSUNAGU_CYCLES", "500"))
pytestmark = pytest.mark.parametrize("variant", ["delta", "sotw"])


@pytest.mark.case(24, 117)
@pytest.mark.pitfall("P25")
async def test_ten_thousand_names_and_six_megabytes(edge):
    names = [f"{number:05d}".ljust(600, "x") for number in range(10_000)]
    async with edge.proxy() as proxy:
        edge.publish(resource(EDS, names[-1]))
        await proxy.subscribe("EDS", names)
        await proxy.until(lambda proxy: names[-1] in proxy.held.get("EDS", {}), PATIENCE)
        assert len(next(iter(edge.server.catalog.owners)).watches[EDS].subscription.names.names) == len(names)
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
        await edge.server.stop(1.0)
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
    assert [record.getMessage() for record in caplog.records if record.name.startswith("tsunagu")] == []


@pytest.mark.case(108)
async def test_a_write_that_fails_ends_its_stream_and_lets_go_first(edge, monkeypatch):
    """What a client leaves is let go of before the timeline says that it has gone."""
    seen = []
    record = edge.server.timeline.record

    def look(event):
        if event.kind == "close":
            seen.append(len(edge.server.catalog.owners))
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

        context, stream._writer._context = stream._context, Broken()
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
        assert ended.value.code is grpc.StatusCode.INTERNAL
        edge.publish(resource(CDS, "c", "2"))
        await proxy.ack(await proxy.receive())
        await edge.converged("p")
    await edge.empty()


@pytest.mark.case(115)
async def test_a_stream_on_which_nothing_is_said_is_closed(edge, variant):
    edge.server.first_reads = FirstReads(1, 1, patience=0.01, hurried=0.01)
    async with edge.proxy() as proxy:
        with pytest.raises(StreamEnded) as ended:
            await proxy.receive()
    assert ended.value.code is grpc.StatusCode.DEADLINE_EXCEEDED
    await edge.empty()
