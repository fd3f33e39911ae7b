"""The scripted proxy against the real server of this project: it must be able to play both sides of each rule."""

import grpc
import pytest

from tsunagu.serve.xds.ads import AdsServer, Scope, Unauthenticated
from tsunagu.serve.xds.timeline import Timeline
from tsunagu.testing import FakeProxy, StreamEnded
from tsunagu.xds import wire
from tsunagu.xds.bundle import BundleUpdate
from tsunagu.xds.resources import CDS, EDS, LDS, Resource


def cluster(name):
    """Cluster{1: name, 2: type EDS, 3: EdsClusterConfig{}}."""
    return Resource.of(CDS, name, wire.text(1, name) + bytes([0x10, 3]) + wire.delimited(3, b""))


def endpoints(name, more=b""):
    return Resource.of(EDS, name, wire.text(1, name) + more)


def listener(name):
    return Resource.of(LDS, name, wire.text(1, name))


@pytest.fixture
async def server(tmp_path):
    seen = []

    def authenticate(metadata, node):
        seen.append((metadata.get("authorization"), node.id))
        if node.id == "stranger":
            raise Unauthenticated("nobody knows you")
        return Scope(node.id, ("b",))

    made = AdsServer(authenticate=authenticate, identifier="cp", timeline=Timeline())
    made.seen, made.target = seen, f"unix:{tmp_path}/xds.sock"
    await made.start(made.target)
    made.publish([BundleUpdate("b", (cluster("web"), endpoints("web"), listener("in")))], 1, "start")
    made.mark_synced()
    yield made
    await made.stop(0)


@pytest.mark.parametrize("variant", ["delta", "sotw"])
async def test_it_boots_as_envoy_does(server, variant):
    async with FakeProxy(server.target, node="default/web-1", token="t0", variant=variant) as proxy:
        await proxy.boot()
        assert {short: set(held) for short, held in proxy.held.items()} == {
            "CDS": {"web"},
            "EDS": {"web"},
            "LDS": {"in"},
        }
        assert await server.wait(1, lambda: ["default/web-1"], 2) == []
        assert server.seen == [("Bearer t0", "default/web-1")]
        await proxy.nothing(0.05)


@pytest.mark.parametrize("variant", ["delta", "sotw"])
async def test_a_nack_is_a_nack(server, variant):
    async with FakeProxy(server.target, node="a", variant=variant) as proxy:
        await proxy.boot()
        server.publish([BundleUpdate("b", (listener("bad"),))], 2, "a bad one")
        update = await proxy.receive()
        assert "bad" in update.resources
        await proxy.nack(update, "listener(s) bad: no")
        [missing] = await server.wait(2, lambda: ["a"], 0.2)
        assert "LDS NACKed" in missing.reason
        assert "bad" not in proxy.held["LDS"]


async def test_removals_are_held_no_more(server):
    async with FakeProxy(server.target, node="a") as proxy:
        await proxy.boot()
        server.publish([BundleUpdate("b", removals=((LDS, "in"),))], 2, "gone")
        update = await proxy.receive()
        assert update.removed == ("in",)
        await proxy.ack(update)
        assert proxy.held["LDS"] == {}


async def test_names_can_be_taken_back(server):
    async with FakeProxy(server.target, node="a") as proxy:
        await proxy.boot()
        await proxy.unsubscribe("EDS", ["web"])
        await proxy.subscribe("EDS", ["next"])
        await proxy.ack(await proxy.receive())  # so the server has read both
        server.publish([BundleUpdate("b", (endpoints("web", wire.delimited(2, b"")),))], 2, "changed")
        await proxy.nothing(0.1)
        assert set(proxy.held["EDS"]) <= {"next"}


@pytest.mark.parametrize("variant", ["delta", "sotw"])
async def test_a_refused_stream_tells_why(server, variant):
    async with FakeProxy(server.target, node="stranger", variant=variant) as proxy:
        with pytest.raises(StreamEnded, match="nobody knows you") as caught:
            await proxy.boot()
        assert caught.value.code is grpc.StatusCode.UNAUTHENTICATED
        with pytest.raises(StreamEnded):
            await proxy.subscribe("LDS")


async def test_a_server_that_goes_ends_the_stream(server):
    async with FakeProxy(server.target, node="a") as proxy:
        await proxy.boot()
        await server.stop(0)
        with pytest.raises(StreamEnded) as caught:
            await proxy.receive()
        assert caught.value.code is grpc.StatusCode.UNAVAILABLE


async def test_silence_has_a_limit(server):
    async with FakeProxy(server.target, node="a") as proxy:
        await proxy.boot()
        with pytest.raises(TimeoutError):
            await proxy.receive(0.05)
