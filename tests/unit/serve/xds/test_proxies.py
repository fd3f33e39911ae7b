"""What operators see of a proxy, over real streams: it comes, is sent things, refuses, goes, and comes back."""

import asyncio

import pytest

from tsunagu.serve.xds.ads import AdsServer, Scope
from tsunagu.serve.xds.timeline import Timeline
from tsunagu.testing import FakeProxy
from tsunagu.xds import wire
from tsunagu.xds.bundle import BundleUpdate
from tsunagu.xds.resources import CDS, LDS, Resource

VARIANTS = pytest.mark.parametrize("variant", ["delta", "sotw"])


def resource(url: str, name: str, content: str = "1") -> Resource:
    return Resource.of(url, name, wire.text(1, name) + wire.text(99, content))


class World:
    def __init__(self, folder):
        self.now = 0.0
        self.address = f"unix:{folder}/xds.sock"
        self.ads = AdsServer(
            authenticate=lambda _, node: Scope(node.id, ("b",)),
            identifier="x",
            timeline=Timeline(),
            clock=lambda: self.now,
            wall=lambda: 1000 + self.now,
        )
        self.revision = 0

    def publish(self, *upserts):
        self.revision += 1
        self.ads.publish([BundleUpdate("b", upserts)], self.revision, "test")

    def proxy(self, variant):
        return FakeProxy(self.address, node="p", variant=variant)

    def shown(self, short):
        [proxy] = self.ads.proxies()
        return next(kind for kind in proxy.types if kind.type == short)

    async def until(self, condition):
        async with asyncio.timeout(60):
            async for _ in self.ads.timeline.follow():
                if condition():
                    return

    async def until_state(self, short, state):
        await self.until(lambda: self.ads.proxies() and self.shown(short).state == state)
        return self.shown(short)


@pytest.fixture
async def world(tmp_path):
    made = World(tmp_path)
    await made.ads.start(made.address)
    yield made
    await made.ads.stop(0.1)


@pytest.mark.case(139)
@VARIANTS
async def test_not_sent_stale_synced_and_nacked_until_it_is_repaired(world, variant):
    world.publish(resource(LDS, "l"))
    async with world.proxy(variant) as proxy:
        await proxy.subscribe("LDS")
        waits = await world.until_state("LDS", "NOT_SENT")  # the control plane is not synced
        assert waits.resources == 1
        world.ads.mark_synced()
        update = await proxy.receive()
        world.now = 4.0
        stale = await world.until_state("LDS", "STALE")
        assert (stale.age, stale.resources, stale.version) == (4.0, 1, "")

        await proxy.ack(update)
        synced = await world.until_state("LDS", "SYNCED")
        assert (synced.age, synced.version) == (0.0, update.version)

        world.publish(resource(LDS, "l", "bad"))
        await proxy.nack(await proxy.receive(), "listener(s) l: no address")
        world.now = 5.0
        nacked = await world.until_state("LDS", "NACKED")
        assert (nacked.rejected, nacked.error) == (("l",), "listener(s) l: no address")
        assert nacked.version == synced.version  # what it has is what it had

        world.publish(resource(CDS, "other"))
        assert world.shown("LDS").state == "NACKED"
        world.publish(resource(LDS, "l", "good"))
        repair = await proxy.receive()
        assert world.shown("LDS").state == "NACKED"  # sent is not accepted
        await proxy.ack(repair)
        assert (await world.until_state("LDS", "SYNCED")).error == ""


@pytest.mark.case(140)
@VARIANTS
async def test_a_disconnect_clears_what_was_known_and_a_reconnect_begins_anew(world, variant):
    world.ads.mark_synced()
    world.publish(resource(LDS, "l"), resource(LDS, "m"))
    async with world.proxy(variant) as proxy:
        await proxy.subscribe("LDS")
        update = await proxy.receive()
        await proxy.nack(update, "l: no")
        await world.until_state("LDS", "NACKED")
        assert world.ads.proxies()[0].connected_at == 1000.0
    await world.until(lambda: world.ads.proxies() == [])
    assert (world.ads.resources("p"), world.ads.node("p")) == ([], None)

    world.now = 60.0
    async with world.proxy(variant) as proxy:
        await proxy.subscribe("LDS")
        again = await proxy.receive()
        assert sorted(again.resources) == ["l", "m"]
        assert (await world.until_state("LDS", "STALE")).age == 0.0
        await proxy.ack(again)
        synced = await world.until_state("LDS", "SYNCED")
        assert (synced.error, synced.rejected, synced.resources) == ("", (), 2)
        assert world.ads.proxies()[0].connected_at == 1060.0


@pytest.mark.case(140)
async def test_who_comes_back_with_everything_is_synced_without_a_message(world):
    world.ads.mark_synced()
    world.publish(resource(LDS, "l"))
    async with world.proxy("delta") as proxy:
        await proxy.subscribe("LDS")
        update = await proxy.receive()
        await proxy.ack(update)
    async with world.proxy("delta") as proxy:
        await proxy.subscribe("LDS", versions=update.versions)
        synced = await world.until_state("LDS", "SYNCED")
        assert synced.resources == 1
        assert [(one.name, one.state) for one in world.ads.resources("p")] == [("l", "SYNCED")]
        await proxy.nothing(0.05)


@pytest.mark.case(140)
async def test_during_an_overlap_of_streams_the_new_one_counts(world):
    world.ads.mark_synced()
    world.publish(resource(LDS, "l"))
    async with world.proxy("delta") as old:
        await old.subscribe("LDS")
        await old.ack(await old.receive())
        await world.until_state("LDS", "SYNCED")
        async with world.proxy("delta") as new:
            await new.subscribe("LDS")
            await new.receive()
            assert world.shown("LDS").state == "STALE"
        await world.until_state("LDS", "SYNCED")


async def test_what_a_proxy_would_be_offered_before_it_connects(world):
    world.publish(resource(LDS, "l"), resource(CDS, "c"))
    assert [(one.type_url, one.name, one.state) for one in world.ads.unsent(("b",))] == [
        (CDS, "c", "NOT_SENT"),
        (LDS, "l", "NOT_SENT"),
    ]
    assert world.ads.unsent(("unknown",)) == []
