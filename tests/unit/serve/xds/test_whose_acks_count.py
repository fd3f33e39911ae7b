"""Several streams of one name, over a Unix socket and over TCP: who is shown, and who is waited for (docs/adr/0014)."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from tsunagu.serve.xds.ads import AdsServer, Scope
from tsunagu.serve.xds.limits import Limits
from tsunagu.serve.xds.timeline import Timeline
from tsunagu.testing import FakeProxy
from tsunagu.xds import wire
from tsunagu.xds.bundle import BundleUpdate
from tsunagu.xds.resources import CDS, EDS, LDS, Resource

PATIENCE = 10.0


def resource(url, name, content="1"):
    return Resource.of(url, name, wire.text(1, name) + wire.text(99, content))


class Served:
    """A server, and clients of it that have booted. `incarnation` is what a client's token says."""

    def __init__(self, server, target, stack):
        self.server, self.target, self._stack = server, target, stack

    async def client(self, *, token="0"):
        proxy = await self._stack.enter_async_context(FakeProxy(self.target, node="task", token=token))
        await proxy.boot(PATIENCE)
        return proxy

    def publish(self, revision, *resources):
        self.server.publish([BundleUpdate("b", resources or (resource(CDS, "c", str(revision)),))], revision, "push")

    async def missing(self, revision, timeout=0.0):
        return [one.reason for one in await self.server.wait(revision, lambda: ["task"], timeout)]

    @property
    def clients(self):
        [state] = self.server.proxies()
        return state.clients


@asynccontextmanager
async def serving(address, target, *, sole, shared=False, **limits):
    def authenticate(metadata, node):
        number = int(metadata["authorization"].removeprefix("Bearer "))
        return Scope(node.id, ("b",), sole=sole, incarnation=number, shared_identity=shared)

    server = AdsServer(authenticate=authenticate, identifier="cp", timeline=Timeline(), limits=Limits(**limits))
    port = await server.start(address)
    server.publish([BundleUpdate("b", (resource(CDS, "c"), resource(EDS, "c"), resource(LDS, "l")))], 1, "start")
    server.mark_synced()
    async with AsyncExitStack() as stack:
        yield Served(server, target.format(port=port), stack)
    await server.stop(1.0)


@pytest.fixture(params=["unix", "tcp"])
def where(request, tmp_path):
    return {
        "unix": (f"unix:{tmp_path}/xds.sock", f"unix:{tmp_path}/xds.sock"),
        "tcp": ("127.0.0.1:0", "127.0.0.1:{port}"),
    }[request.param]


@pytest.fixture
async def task(where):
    """The name belongs to a task's own Envoy."""
    async with serving(*where, sole=True) as served:
        yield served


@pytest.fixture
async def anybody(where):
    """The name may be that of several."""
    async with serving(*where, sole=False) as served:
        yield served


async def test_of_a_task_a_stranger_who_never_acks_is_shown_and_not_waited_for(task):
    envoy = await task.client()
    await task.client()
    task.publish(2)
    await envoy.ack(await envoy.receive(PATIENCE))

    assert await task.missing(2, PATIENCE) == []
    assert [client.counts for client in task.clients] == [True, False]
    assert [client.types[0].state for client in task.clients] == ["SYNCED", "STALE"]
    assert task.server.proxies()[0].types[0].state == "SYNCED"


async def test_of_a_task_a_stranger_does_not_vouch_for_the_envoy(task):
    await task.client()
    stranger = await task.client()
    task.publish(2)
    await stranger.ack(await stranger.receive(PATIENCE))
    [reason] = await task.missing(2, 0.05)

    assert reason.startswith("CDS not acknowledged")


async def test_an_envoy_that_was_started_again_counts_and_not_who_was_there(task):
    first = await task.client(token="1")
    await task.client(token="1")
    await first.close()
    again = await task.client(token="2")
    task.publish(2)
    await again.ack(await again.receive(PATIENCE))

    assert await task.missing(2, PATIENCE) == []
    assert [client.counts for client in task.clients] == [False, True]


async def test_a_stranger_does_not_use_up_what_the_envoy_may_take(where):
    async with serving(*where, sole=True, streams_per_client=1, client_names=1) as served:
        await served.client(token="0")
        envoy = await served.client(token="7")
        served.publish(2)
        await envoy.ack(await envoy.receive(PATIENCE))

        assert await served.missing(2, PATIENCE) == []


async def test_a_strangers_nack_is_not_the_envoys(task):
    envoy = await task.client()
    stranger = await task.client()
    task.publish(2)
    await envoy.ack(await envoy.receive(PATIENCE))
    await stranger.nack(await stranger.receive(PATIENCE), "no")

    assert await task.missing(2, PATIENCE) == []


async def test_where_a_name_may_be_anybodys_all_count(anybody):
    older = await anybody.client()
    newer = await anybody.client()
    anybody.publish(2)
    await newer.ack(await newer.receive(PATIENCE))
    [reason] = await anybody.missing(2, 0.05)
    assert reason.startswith("CDS not acknowledged")
    await older.nack(await older.receive(PATIENCE), "cluster(s) c: bad")
    [reason] = await anybody.missing(2, 0.05)

    assert reason == "CDS NACKed: c: cluster(s) c: bad"
    assert [client.counts for client in anybody.clients] == [True, True]
    assert anybody.server.proxies()[0].types[0].state == "NACKED"
    assert [one.state for one in anybody.server.resources("task") if one.name == "c"] == ["NACKED", "SYNCED"]


async def test_a_client_that_starts_is_not_converged_because_another_is(anybody):
    await anybody.client()
    starting = FakeProxy(anybody.target, node="task", token="0")
    async with starting:
        await starting.subscribe("CDS")
        await starting.ack(await starting.receive(PATIENCE))
        async with asyncio.timeout(PATIENCE):
            while await anybody.missing(1) != ["LDS not asked for"]:  # noqa: ASYNC110  # nobody tells
                await asyncio.sleep(0.01)


async def test_several_streams_of_one_type_count(anybody):
    """Envoy opens one for each cluster whose endpoints it takes by `api_config_source`."""
    envoy = await anybody.client()
    method = "/envoy.service.endpoint.v3.EndpointDiscoveryService/DeltaEndpoints"
    streams = [FakeProxy(anybody.target, node="task", token="0", method=method) for _ in range(2)]
    async with streams[0], streams[1]:
        for stream, name in zip(streams, "cd", strict=True):
            await stream.subscribe("EDS", [name])
            await stream.ack(await stream.receive(PATIENCE))
        anybody.publish(2, resource(EDS, "c", "2"), resource(EDS, "d", "2"))
        await envoy.ack(await envoy.receive(PATIENCE))
        await streams[1].ack(await streams[1].receive(PATIENCE))
        [reason] = await anybody.missing(2, 0.05)
        assert reason.startswith("EDS not acknowledged")
        await streams[0].nack(await streams[0].receive(PATIENCE), "bad")
        [reason] = await anybody.missing(2, 0.05)
        assert reason.startswith("EDS NACKed: c")


async def test_who_shares_a_name_and_stays_silent_is_told_of(where):
    async with serving(*where, sole=False, shared=True, silent_client=0.05) as served:
        client = await served.client()
        assert not served.server.silent("task#1")
        served.publish(2)
        async with asyncio.timeout(PATIENCE):
            while not served.server.silent("task#1"):  # noqa: ASYNC110  # time alone makes it so
                await asyncio.sleep(0.01)
        await client.ack(await client.receive(PATIENCE))
        async with asyncio.timeout(PATIENCE):
            while served.server.silent("task#1"):  # noqa: ASYNC110  # nobody tells
                await asyncio.sleep(0.01)


async def test_a_wait_ends_when_time_alone_changes_who_is_expected(task):
    await task.client()
    task.publish(2)
    expected = iter([["task"], ["task"]])

    assert await task.server.wait(2, lambda: next(expected, []), PATIENCE) == []
