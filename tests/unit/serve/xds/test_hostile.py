"""Clients that mean harm, over real gRPC, in small; in full it is `python -m benchmarks hostile`.

Memory and time are measured there. Here it is what can be counted: what was read, what is kept, who was let in.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import gzip
import socket
import weakref

import grpc
import grpc.aio
import pytest

from tests.unit.serve.xds.hostile_clients import (
    MEGABYTE,
    METHOD,
    PATIENCE,
    PREFACE,
    ended,
    refusal,
    request,
    resource,
    serving,
)
from tsunagu.serve.xds import ads
from tsunagu.serve.xds.streams import Stream
from tsunagu.testing.fake_proxy import StreamEnded
from tsunagu.v1 import discovery_pb2 as xds
from tsunagu.xds.bundle import BundleUpdate
from tsunagu.xds.resources import CDS


@pytest.fixture
async def served(tmp_path):
    async with serving(tmp_path) as served:
        yield served


# Before anybody knows who it is.


async def test_of_a_stranger_nothing_is_read(served):
    big = request("x" * 5 * MEGABYTE, node=xds.Node(id="p"))
    for _ in range(5):
        async with served.call(token="forged") as call:
            # A client that is cut off while it still sends may see the reset of its stream before the status.
            assert (await ended(call, big))[0] in {"UNAUTHENTICATED", "INTERNAL"}

    assert served.server.counters.requests == 0
    assert served.server.counters.refused == {"UNAUTHENTICATED": 5}
    assert [event for event in served.server.timeline.events() if event.kind != "publish"] == []
    assert len(served.server.identities) == 0


async def test_whose_token_is_in_its_node_may_say_little_at_first(tmp_path):
    async with serving(tmp_path, first_request_bytes=1000) as served:
        async with served.call() as call:
            status = await ended(call, request("x" * 1000, node=xds.Node(id="p", cluster="good")))
        assert status == (
            "RESOURCE_EXHAUSTED",
            "a first request of a client that the call's metadata do not prove has 1000 bytes at most",
        )
        assert served.server.counters.requests == 0
        async with served.call() as call:
            await call.write(request("c", node=xds.Node(id="p", cluster="good")))
            assert await call.read() is not grpc.aio.EOF
            assert served.server.connected() == ["p"]


@pytest.mark.parametrize("token", ["", "good"])
async def test_a_message_above_grpcs_limit_is_never_held(tmp_path, token):
    async with serving(tmp_path, message_bytes=MEGABYTE) as served, served.call(token=token) as call:
        status, _ = await ended(call, request("x" * 2 * MEGABYTE, node=xds.Node(id="p", cluster="good")))

        assert status == "RESOURCE_EXHAUSTED"
        assert served.server.counters.requests == 0


async def test_a_small_message_does_not_become_a_large_one(served):
    """gRPC would unpack 50 KB to 50 MB before its limit is looked at."""
    packed = gzip.compress(request("x" * 20 * MEGABYTE, node=xds.Node(id="p")))
    assert len(packed) < MEGABYTE / 20
    async with served.call(token="good", compression=grpc.Compression.Gzip) as call:
        code, _ = await ended(call, request("x" * 12 * MEGABYTE, node=xds.Node(id="p")))

    assert code == "INVALID_ARGUMENT"
    assert served.server.counters.request_bytes < MEGABYTE / 10


async def test_while_strangers_say_nothing_others_are_read(tmp_path):
    async with serving(tmp_path, first_reads=2, first_message_hurried=0.05) as served, asyncio.timeout(PATIENCE):
        silent = [grpc.aio.insecure_channel(served.target) for _ in range(5)]
        calls = [channel.stream_stream(METHOD)() for channel in silent]
        await served.until(lambda: served.server.first_reads.waiting == 3)
        async with served.proxy() as envoy:  # has its token in the metadata: it need not stand in line
            await envoy.boot()
        async with served.call() as call:
            await call.write(request("c", node=xds.Node(id="other", cluster="good")))
            assert await call.read() is not grpc.aio.EOF
        for call, channel in zip(calls, silent, strict=True):
            call.cancel()
            await channel.close()


async def test_strangers_who_are_refused_pay_for_it_together(tmp_path):
    """Whoever is refused comes again at once, and each time has a request read and parsed."""
    async with serving(tmp_path, work_share=0.0001) as served:
        asked = request(*[str(number) for number in range(10_000)], node=xds.Node(id="p", cluster="bad"))
        async with served.call() as call:
            assert (await ended(call, asked))[0] == "UNAUTHENTICATED"
        async with served.proxy() as envoy:  # is no stranger
            await envoy.boot()
        now = served.server.clock()
        assert not served.server.strangers.full(now)
        assert served.server.strangers.pause(now + 1e9) == 0, "in the end it is made up for"


# Connections.


async def test_connections_without_a_stream_are_capped_and_closed(tmp_path):
    async with serving(tmp_path, connections=8, handshake=0.2, idle_connection=0.2) as served:
        async with served.proxy() as envoy:
            await envoy.boot()
            idle = []
            for number in range(30):
                one = socket.socket(socket.AF_UNIX)
                one.connect(str(served.path))
                if number % 2:
                    with contextlib.suppress(OSError):  # closed at once: there are too many
                        one.sendall(PREFACE)
                one.setblocking(False)
                idle.append(one)
            await served.until(lambda: not any(map(is_open, idle)))
            served.server.publish([BundleUpdate("b", (resource(CDS, "c", "2"),))], 2, "push")
            assert (await envoy.receive(PATIENCE)).resources.keys() == {"c"}, "who has a stream keeps its connection"
        async with served.proxy("other") as other:
            await other.boot(PATIENCE)
        for one in idle:
            one.close()


def is_open(one):
    try:
        while one.recv(65536):
            pass
    except BlockingIOError:
        return True
    except OSError:
        pass
    return False


# Afterwards.


async def test_nothing_is_kept_of_what_was_refused(served):
    async with served.proxy("other") as other:
        await other.boot()
        events, names = served.server.timeline.bytes, len(served.server.catalog.names._sets)
        for asked in (["x" * 5000], [str(number) for number in range(60_000)]):
            async with served.proxy() as proxy:
                code = await refusal(proxy, asked)
            assert code in {"INVALID_ARGUMENT", "RESOURCE_EXHAUSTED"}
            await served.until(lambda: served.server.connected() == ["other"])

        assert served.server.timeline.bytes - events < 10_000
        assert len(served.server.catalog.names._sets) == names
        assert max(len(event.detail) for event in served.server.timeline.events()) < 200


async def test_a_client_has_so_many_streams_and_no_more(tmp_path):
    async with serving(tmp_path, streams_per_client=2) as served, served.proxy() as first, served.proxy() as second:
        await first.boot()
        await second.boot()
        async with served.proxy() as third:
            with pytest.raises(StreamEnded, match="2 streams of this client are open"):
                await third.boot()
        async with served.proxy("other") as other:
            await other.boot()
        await second.close()
        await served.until(lambda: len(served.server.proxies()[0].clients) == 1)
        async with served.proxy() as third:
            await third.boot()


async def test_the_names_of_a_client_are_counted_over_its_streams(tmp_path):
    async with serving(tmp_path, client_names=30) as served, served.proxy() as first, served.proxy() as second:
        await first.subscribe("EDS", [f"a{number}" for number in range(20)])
        await first.receive()
        assert await refusal(second, [f"b{number}" for number in range(20)]) == "RESOURCE_EXHAUSTED"
        async with served.proxy() as third:
            await third.subscribe("EDS", [f"b{number}" for number in range(10)])
            await third.receive()


async def test_a_stream_that_ends_leaves_no_reference_cycle(served):
    """With the collector off, what is in a cycle stays for good: 50 MB of a request, for one."""
    gc.collect()
    gc.disable()
    try:
        for moment in ("refused", "too much", "asked", "acked", "cut"):
            streams = []
            init = Stream.__init__

            def remembered(self, *arguments, init=init, streams=streams):
                init(self, *arguments)
                streams.extend((weakref.ref(self), weakref.ref(self.session)))

            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(Stream, "__init__", remembered)
                await go_through(served, moment)
            assert streams, moment
            await served.until(lambda streams=streams: all(one() is None for one in streams))
    finally:
        gc.enable()


async def go_through(served, moment):
    if moment == "refused":
        async with served.call(token="") as call:
            assert (await ended(call, request("c", node=xds.Node(id="p"))))[0] == "UNAUTHENTICATED"
        return
    async with served.proxy() as proxy:
        if moment == "too much":
            await proxy.subscribe("EDS", ["x" * 5000])
            with pytest.raises(StreamEnded):
                await proxy.receive()
            return
        await proxy.subscribe("CDS")
        update = await proxy.receive()
        if moment == "acked":
            await proxy.ack(update)
            await served.until(lambda: served.server.counters.types["CDS"].acks > 0)
        if moment == "cut":
            proxy._call.cancel()


async def test_memory_is_given_back_after_large_messages(tmp_path, monkeypatch):
    returned = asyncio.Event()
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(ads, "RETURN_MEMORY", 0.01)
    monkeypatch.setattr(ads, "return_memory", lambda: loop.call_soon_threadsafe(returned.set))
    async with serving(tmp_path) as served, served.proxy() as proxy:
        await proxy.boot()
        assert not returned.is_set()
        await proxy.subscribe("EDS", ["x" * 4000 + str(number) for number in range(500)])
        async with asyncio.timeout(PATIENCE):
            await returned.wait()
