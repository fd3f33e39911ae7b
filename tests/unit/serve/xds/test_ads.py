"""The server over real gRPC, in this process: what only streams, sockets and cancellations can show."""

from __future__ import annotations

import asyncio

import grpc
import grpc.aio
import pytest

from tests.unit.serve.xds.delta_edge import PATIENCE, Proxy, resource, running
from tsunagu.serve.xds.first_reads import FirstReads
from tsunagu.v1 import discovery_pb2
from tsunagu.xds.bundle import BundleUpdate
from tsunagu.xds.resources import CDS, EDS, LDS

pytestmark = pytest.mark.variant("delta")


@pytest.fixture
async def edge():
    async with running() as edge:
        edge.server.publish([BundleUpdate("b", (resource(CDS, "c"), resource(LDS, "l")))], 1, "start")
        yield edge


@pytest.mark.case(62)
async def test_serves_and_converges(edge):
    proxy = edge.proxy()
    await proxy.boot()

    assert await edge.server.wait(1, lambda: ["p"], PATIENCE) == []
    edge.server.publish([BundleUpdate("b", (resource(CDS, "c", "2"),))], 2, "c changed")
    assert (await proxy.ack()).resources[0].name == "c"
    assert await edge.server.wait(2, lambda: ["p"], PATIENCE) == []
    assert [event.cause for event in edge.server.timeline.events() if event.kind == "send"][-1] == "c changed"


@pytest.mark.case(125)
async def test_twenty_clients_get_every_push_in_order(edge):
    proxies = [edge.proxy(f"p{number}") for number in range(20)]
    for proxy in proxies:
        await proxy.boot()
    for revision in range(2, 7):
        edge.server.publish([BundleUpdate("b", (resource(CDS, "c", str(revision)),))], revision, "push")
        for proxy in proxies:
            (entry,) = (await proxy.ack()).resources
            assert entry.version == resource(CDS, "c", str(revision)).version

    assert await edge.server.wait(6, lambda: [f"p{number}" for number in range(20)], PATIENCE) == []


@pytest.mark.case(57)
async def test_nonces_are_never_used_twice(edge):
    proxy = edge.proxy()
    await proxy.boot()
    nonces = set()
    for revision in range(2, 1002):
        edge.server.publish([BundleUpdate("b", (resource(CDS, "c", str(revision)),))], revision, "push")
        nonces.add((await proxy.ack()).nonce)

    assert "" not in nonces
    assert len(nonces) == 1000


@pytest.mark.case(110)
@pytest.mark.parametrize(("node", "code"), [("nobody", "UNAUTHENTICATED"), ("foreign", "PERMISSION_DENIED")])
async def test_a_refused_client_is_told_why(edge, node, code):
    proxy = edge.proxy(node)
    await proxy.ask(CDS)

    assert (await proxy.status())[0].name == code
    assert edge.server.proxies() == []
    await edge.proxy().boot()


@pytest.mark.case(99)
async def test_a_bad_request_ends_its_stream_alone(edge):
    good, bad = edge.proxy("good"), edge.proxy("bad")
    await good.boot()
    await bad.ask("")

    assert (await bad.status())[0] is grpc.StatusCode.INVALID_ARGUMENT
    edge.server.publish([BundleUpdate("b", (resource(CDS, "c", "2"),))], 2, "push")
    await good.ack()


@pytest.mark.case(100)
@pytest.mark.parametrize(
    ("method", "url"),
    [
        ("/envoy.service.cluster.v3.ClusterDiscoveryService/DeltaClusters", CDS),
        ("/envoy.service.endpoint.v3.EndpointDiscoveryService/DeltaEndpoints", EDS),
        ("/envoy.service.listener.v3.ListenerDiscoveryService/DeltaListeners", LDS),
    ],
)
async def test_services_of_one_type(edge, method, url):
    edge.server.publish([BundleUpdate("b", (resource(EDS, "c"), resource(LDS, "c")))], 2, "more")
    proxy = edge.proxy(method=method)
    await proxy.ask("", "c")

    response = await proxy.ack()
    assert response.type_url == url
    assert [entry.name for entry in response.resources] == ["c"]


async def test_streams_of_one_type_converge_together(edge):
    clusters = edge.proxy(method="/envoy.service.cluster.v3.ClusterDiscoveryService/DeltaClusters")
    listeners = edge.proxy(method="/envoy.service.listener.v3.ListenerDiscoveryService/DeltaListeners")
    await clusters.ask("")
    await clusters.ack()
    (missing,) = await edge.server.wait(1, lambda: ["p"], 0)
    assert missing.reason == "LDS not asked for"
    await listeners.ask("")
    await listeners.ack()

    assert await edge.server.wait(1, lambda: ["p"], PATIENCE) == []
    assert [kind.type for kind in edge.server.proxies()[0].types] == ["CDS", "LDS"]


@pytest.mark.case(80)
async def test_of_two_streams_of_a_proxy_the_newer_counts(edge):
    old, new = edge.proxy(), edge.proxy()
    await old.boot()
    await edge.server.wait(1, lambda: ["p"], PATIENCE)
    await new.ask(CDS)
    await new.ack()
    (missing,) = await edge.server.wait(1, lambda: ["p"], 0)
    assert missing.reason.startswith("LDS not asked for")
    old.call.cancel()
    await edge.until("close")

    await new.ask(LDS)
    assert (await new.read()).type_url == LDS
    assert len(edge.server.proxies()) == 1


@pytest.mark.case(107)
async def test_a_stream_that_ends_leaves_nothing(edge):
    tasks = len(asyncio.all_tasks())
    for moment in ("before a message", "unanswered", "answered", "half-closed"):
        last = edge.server.timeline.last
        proxy = edge.proxy()
        if moment != "before a message":
            await proxy.ask(CDS)
            await (proxy.ack() if moment == "answered" else proxy.read())
        if moment == "half-closed":
            await proxy.call.done_writing()
            assert (await proxy.status())[0] is grpc.StatusCode.OK
        proxy.call.cancel()
        if moment != "before a message":
            await edge.until("close", last)
    async with asyncio.timeout(PATIENCE):
        while edge.server._streams or len(asyncio.all_tasks()) > tasks:  # noqa: ASYNC110  # nobody tells
            await asyncio.sleep(0)

    assert edge.server.catalog.owners == set()
    assert edge.server.catalog._composites == {}
    assert edge.server.proxies() == []


@pytest.mark.case(115)
async def test_a_stream_on_which_nothing_is_said_is_closed(edge):
    edge.server.first_reads = FirstReads(1, 1, patience=0.01, hurried=0.01)

    assert (await edge.proxy().status())[0] is grpc.StatusCode.DEADLINE_EXCEEDED


@pytest.mark.case(106)
async def test_a_stop_tells_everyone_and_is_quick():
    async with running() as edge:
        proxy = edge.proxy()
        await proxy.boot()
        await edge.server.stop(PATIENCE)

        assert await proxy.status() == (grpc.StatusCode.UNAVAILABLE, "the control plane is stopping")


@pytest.mark.case(82)
async def test_before_it_is_synced_it_says_nothing():
    async with running(synced=False) as edge:
        proxy = edge.proxy()
        await proxy.ask(CDS)
        await edge.until("subscribe")
        (missing,) = await edge.server.wait(0, lambda: ["p"], 0)
        assert missing.reason == "the control plane is not synced yet"
        edge.server.publish([BundleUpdate("b", (resource(CDS, "c"),))], 1, "start")
        edge.server.mark_synced()

        assert [entry.name for entry in (await proxy.ack()).resources] == ["c"]
        kinds = {event.kind for event in edge.server.timeline.events() if event.proxy}
        assert kinds <= {"connect", "subscribe", "send", "ack"}


@pytest.mark.case(24, 117)
async def test_ten_thousand_names_and_six_megabytes_in_a_request(edge):
    names = [f"{number:05d}".ljust(600, "x") for number in range(10_000)]
    proxy = edge.proxy()
    await proxy.ask(EDS, *names)

    told: set[str] = set()
    while len(told) < len(names):
        told |= set((await proxy.ack()).removed_resources)  # in pieces: a client takes 4 MB by default

    assert told == set(names)


@pytest.mark.case(72)
async def test_a_client_that_does_not_read_costs_one_response(edge):
    """Flow control stops the write; what changes meanwhile is not computed for this client, let alone kept."""
    big = "x" * (1 << 20)
    proxy = edge.proxy()
    await proxy.ask(EDS, *[f"e{number}" for number in range(30)])
    await proxy.ack()
    for revision in range(2, 32):
        name = f"e{revision - 2}"
        edge.server.publish([BundleUpdate("b", (resource(EDS, name, big),))], revision, "push")
        await asyncio.sleep(0)
    made = [event for event in edge.server.timeline.events() if event.kind == "send" and event.sent]
    assert len(made) < 25  # of thirty: those that fit into the window of HTTP/2; the rest will come in pieces of some
    other = edge.proxy("other")
    await other.boot()
    got = set()
    while len(got) < 30:
        got |= {entry.name for entry in (await proxy.ack()).resources}

    assert await edge.server.wait(31, lambda: ["other"], PATIENCE) == []


async def test_a_hold_ends_by_the_clock(edge):
    proxy = edge.proxy()
    await proxy.boot()
    changes = (resource(CDS, "new"), resource(LDS, "new"))
    edge.server.publish([BundleUpdate("b", changes)], 2, "a service")

    assert (await proxy.read()).type_url == CDS
    assert (await proxy.read()).type_url == LDS  # a second later, though nothing was ACKed


async def test_another_scope_on_the_fly(edge):
    edge.server.publish([BundleUpdate("other", (resource(CDS, "d"), resource(LDS, "l")))], 2, "more")
    proxy = edge.proxy()
    await proxy.boot()
    await edge.server.wait(2, lambda: ["p"], PATIENCE)
    edge.server.rescope("p", ("other",))
    response = await proxy.ack()

    assert ([entry.name for entry in response.resources], response.removed_resources) == (["d"], ["c"])
    assert await edge.server.wait(2, lambda: ["p"], PATIENCE) == []


async def test_a_nack_keeps_the_barrier_closed_and_is_named(edge):
    proxy = edge.proxy()
    await proxy.boot()
    edge.server.publish([BundleUpdate("b", (resource(LDS, "bad"),))], 2, "an override")
    response = await proxy.read()
    said = discovery_pb2.Status(code=13, message="Error adding/updating listener(s) bad: address is necessary")
    await proxy.ask(LDS, response_nonce=response.nonce, error_detail=said)
    await edge.until("nack")
    (missing,) = await edge.server.wait(2, lambda: ["p"], 0)
    nack = next(event for event in edge.server.timeline.events() if event.kind == "nack")

    assert missing.reason.startswith("LDS NACKed: bad: Error adding")
    assert (nack.names, nack.error, nack.type) == (["bad"], said.message, "LDS")


@pytest.mark.case(112)
async def test_many_publishers_and_many_clients_end_at_the_newest(edge):
    proxies = [edge.proxy(f"p{number}") for number in range(16)]
    for proxy in proxies:
        await proxy.boot()
    last = resource(CDS, "c", "100").version

    async def follow(proxy: Proxy) -> None:
        while (await proxy.ack()).resources[0].version != last:
            pass

    async with asyncio.TaskGroup() as group:
        for proxy in proxies:
            group.create_task(follow(proxy))
        for revision in range(2, 101):
            edge.server.publish([BundleUpdate("b", (resource(CDS, "c", str(revision)),))], revision, "push")
            if revision % 7 == 0:
                await asyncio.sleep(0)

    assert await edge.server.wait(100, lambda: [f"p{number}" for number in range(16)], PATIENCE) == []


async def test_who_owes_an_answer_is_waited_for_once(edge):
    await edge.server.answered(PATIENCE)  # nobody does
    quick, slow = edge.proxy("quick"), edge.proxy("slow")
    for proxy in (quick, slow):
        await proxy.boot()
    assert await edge.server.wait(1, lambda: ["quick", "slow"], PATIENCE) == []  # the ACKs of the boot have arrived
    edge.server.publish([BundleUpdate("b", (resource(CDS, "c", "2"),))], 2, "push")
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(edge.server.answered(PATIENCE))
        await quick.ack()
        await slow.read()
        assert not waiting.done()
        slow.call.cancel()  # who has gone owes nothing

    edge.server.publish([BundleUpdate("b", (resource(CDS, "c", "3"),))], 3, "push")
    await quick.read()
    await edge.server.answered(0.01)  # it is given up until it answers
    edge.server.publish([BundleUpdate("b", (resource(LDS, "l", "2"),))], 4, "push")
    await edge.server.answered(PATIENCE)
