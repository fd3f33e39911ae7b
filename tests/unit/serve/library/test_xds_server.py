"""The library of docs/library.md: groups, changes, checks, who is who, and what becomes of it; over real gRPC."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest
from envoy_data_plane.envoy.config.cluster.v3 import Cluster, ClusterDiscoveryType, ClusterEdsClusterConfig
from envoy_data_plane.envoy.config.core.v3 import AggregatedConfigSource, ConfigSource

from tsunagu.serve.library import xds_server
from tsunagu.serve.library.xds_server import (
    CDS,
    EDS,
    LDS,
    NotAResource,
    NotConverged,
    Resource,
    XdsServer,
)
from tsunagu.testing.fake_proxy import FakeProxy, StreamEnded
from tsunagu.v1 import discovery_pb2
from tsunagu.v1.endpoint_pb2 import ClusterLoadAssignment

CERTIFICATES = Path(__file__).parent / "certificates"
PATIENCE = 10.0


def cluster(name, note=""):
    """Of type EDS: who asks for its endpoints is given none where there are none."""
    config = ClusterEdsClusterConfig(eds_config=ConfigSource(ads=AggregatedConfigSource()))
    return Cluster(name=name, type=ClusterDiscoveryType.EDS, eds_cluster_config=config, alt_stat_name=note)


def plain(name):
    """One that refers to nothing."""
    return Cluster(name=name)


def endpoints(name):
    return ClusterLoadAssignment(cluster_name=name)


def listener(name):
    return Resource.of(LDS, name, b"\x0a" + bytes([len(name)]) + name.encode())


@asynccontextmanager
async def serving(server):
    port = await server.start("127.0.0.1:0")
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(0.2)


def names(server, group=xds_server.EVERYONE):
    return [one.name for one in server.resources(group)]


# -- what is held -----------------------------------------------------------------------------------------------------


def test_put_get_remove_replace():
    server = XdsServer()
    assert server.put(listener("l"), cluster("a"), cluster("b")) == server.revision == 1
    assert names(server) == ["a", "b", "l"]  # clusters before listeners
    assert server.get(CDS, "a").body == bytes(cluster("a"))
    assert server.get(CDS, "l") is None
    assert server.remove(CDS, "a", "never") == 2
    assert server.replace(cluster("b"), cluster("c")) == 3
    assert names(server) == ["b", "c"]
    assert server.replace() == 4
    assert names(server) == []


def test_groups_are_kept_apart():
    server = XdsServer()
    server.put(cluster("a", note="left"), group="left")
    server.put(cluster("a", note="right"), group="right")
    server.remove(CDS, "a", group="left")
    assert (names(server, "left"), names(server, "right"), names(server)) == ([], ["a"], [])


def test_a_change_is_made_whole_or_not_at_all():
    server = XdsServer()

    def half():
        with server.change() as change:
            change.put(cluster("a"))
            change.put(b"?")

    with pytest.raises(NotAResource):
        half()
    assert (names(server), server.revision) == ([], 0)
    with server.change("both") as change:
        change.put(cluster("a"), group="x")
        change.put(cluster("b"))
        change.remove(CDS, "b")
        change.put(cluster("c"))
    assert (names(server), names(server, "x"), server.revision) == (["c"], ["a"], 1)


# -- what clients see -------------------------------------------------------------------------------------------------


@pytest.mark.case(133)
async def test_nodes_of_a_group_see_it_and_no_other():
    server = XdsServer(groups=lambda node: node.cluster)
    server.put(cluster("a", note="left"), group="left")
    server.put(cluster("a", note="right"), cluster("b"), group="right")
    async with (
        serving(server) as target,
        FakeProxy(target, node="one", cluster="left") as one,
        FakeProxy(target, node="two", cluster="right", variant="sotw") as two,
    ):
        await one.boot()
        await two.boot()
        assert one.held["CDS"] == {"a": bytes(cluster("a", note="left"))}
        assert two.held["CDS"] == {"a": bytes(cluster("a", note="right")), "b": bytes(cluster("b"))}
        server.put(cluster("c"), group="left")
        await one.until(lambda proxy: "c" in proxy.held["CDS"])
        await two.nothing()
        await server.converged("one", "two")


async def test_of_several_groups_the_first_wins_and_a_client_can_be_moved():
    server = XdsServer(groups=lambda node: (f"only {node.id}", "all"))
    server.put(cluster("a", note="all"), cluster("b"), group="all")
    server.put(cluster("a", note="mine"), group="only me")
    async with serving(server) as target, FakeProxy(target, node="me") as me:
        await me.boot()
        assert me.held["CDS"]["a"] == bytes(cluster("a", note="mine"))
        server.move("me", "all")
        await me.until(lambda proxy: proxy.held["CDS"]["a"] == bytes(cluster("a", note="all")))
        server.remove(CDS, "b", group="all")
        await me.until(lambda proxy: set(proxy.held["CDS"]) == {"a"})


async def test_accepted_and_refused_is_heard_of():
    server = XdsServer()
    server.put(cluster("a"))
    async with serving(server) as target, FakeProxy(target, node="me") as me:
        for short in ("CDS", "LDS"):
            await me.subscribe(short)
            await me.ack(await me.receive())
        await server.converged(timeout=PATIENCE)
        with server.change("a release") as change:
            change.put(cluster("a", note="2"))
        await me.nack(await me.receive(), "Error adding/updating cluster(s) a: no")
        async with asyncio.timeout(PATIENCE):
            heard = [event async for event in _until(server, "nack")]
        send, nack = heard[-2:]
        assert (send.kind, send.type, send.names, send.cause, send.revision) == ("send", "CDS", ["a"], "a release", 2)
        assert (nack.proxy, nack.names, nack.error) == ("me", ["a"], "Error adding/updating cluster(s) a: no")
        with pytest.raises(NotConverged, match=r"not converged on revision 2: me: CDS NACKed: a: Error") as caught:
            await server.converged("me", timeout=0.05)
        assert [lack.proxy for lack in caught.value.missing] == ["me"]
        (state,) = server.clients()
        assert {kind.type: kind.state for kind in state.types} == {"CDS": "NACKED", "LDS": "SYNCED"}
        await server.converged("me", revision=1)
        server.put(cluster("a", note="3"))
        await me.ack(await me.receive())
        await server.converged("me", timeout=PATIENCE)


async def test_a_client_is_shown_with_its_streams_node_and_groups():
    server = XdsServer(groups=lambda node: (node.cluster, "all"))
    server.put(cluster("a"), endpoints("a"), group="web")
    async with serving(server) as target, FakeProxy(target, node="me", cluster="web") as me:
        await me.boot()
        kind = discovery_pb2.DiscoveryRequest
        async with grpc.aio.insecure_channel(target) as channel:
            call = channel.stream_stream("/envoy.service.endpoint.v3.EndpointDiscoveryService/StreamEndpoints")()
            node = discovery_pb2.Node(id="me", cluster="web", user_agent_name="envoy", user_agent_version="1.40.0")
            await call.write(kind(type_url=EDS, node=node, resource_names=["a"]).SerializeToString())
            await call.read()
            (client,) = server.clients()
            assert [(stream.type, stream.variant) for stream in client.streams] == [("ADS", "delta"), ("EDS", "sotw")]
            assert len({stream.peer for stream in client.streams}) == 2
            assert all(stream.counts and stream.since >= client.streams[0].since for stream in client.streams)
            assert (client.proxy, client.groups, client.variant) == ("me", ("web", "all"), "sotw")
            assert (client.node.id, client.node.cluster, client.node.user_agent) == ("me", "web", "envoy")
            assert (client.version, client.peer) == ("1.40.0", client.streams[-1].peer)
            assert {state.type: state.state for state in client.types}["EDS"] == "STALE"
            server.move("me", "all")
            assert server.clients()[0].groups == ("all",)
            call.cancel()
    assert server.clients() == []


async def _until(server, kind):
    async for event in server.events():
        yield event
        if event.kind == kind:
            return


async def test_who_is_awaited_and_is_not_there_is_named():
    server = XdsServer()
    server.put(cluster("a"))
    async with serving(server):
        await server.converged(timeout=0)  # nobody is connected, so all are
        with pytest.raises(NotConverged, match="me: not connected"):
            await server.converged("me", timeout=0.05)


async def test_what_is_put_before_the_start_is_all_there_is():
    server = XdsServer()
    async with serving(server) as target, FakeProxy(target, node="me") as me:
        await me.subscribe("CDS")
        assert (await me.receive()).resources == {}


async def test_the_same_again_is_not_sent():
    server = XdsServer()
    server.put(cluster("a"))
    async with serving(server) as target, FakeProxy(target, node="me") as me:
        await me.boot()
        assert server.put(cluster("a")) == 2
        assert server.replace(cluster("a")) == 3
        await me.nothing()
        await server.converged("me")


# -- who is who -------------------------------------------------------------------------------------------------------


async def test_authentication_is_the_users():
    def by_token(metadata, node):
        if metadata.get("authorization") != "Bearer open sesame":
            raise xds_server.Unauthenticated("say the word")
        if node.id == "thief":
            raise xds_server.PermissionDenied("not you")
        return f"friend-{node.id}"

    server = XdsServer(authenticate=by_token)
    server.put(cluster("a"))
    async with serving(server) as target:
        async with FakeProxy(target, node="me", token="open sesame") as me:
            await me.boot()
            assert [client.proxy for client in server.clients()] == ["friend-me"]
        for node, token, code, words in (
            ("me", "", grpc.StatusCode.UNAUTHENTICATED, "say the word"),
            ("thief", "open sesame", grpc.StatusCode.PERMISSION_DENIED, "not you"),
        ):
            async with FakeProxy(target, node=node, token=token) as proxy:
                await proxy.subscribe("CDS")
                with pytest.raises(StreamEnded) as caught:
                    await proxy.receive()
                assert (caught.value.code, caught.value.details) == (code, words)


async def test_a_certificate_can_be_who_one_is():
    def by_certificate(metadata, _node):
        return metadata.identities[0]

    pair = [(CERTIFICATES / f"server.{kind}").read_bytes() for kind in ("key", "pem")]
    root = (CERTIFICATES / "ca.pem").read_bytes()
    server = XdsServer(authenticate=by_certificate)
    server.put(cluster("a"))
    port = await server.start("localhost:0", grpc.ssl_server_credentials([tuple(pair)], root, require_client_auth=True))
    mine = [(CERTIFICATES / f"client.{kind}").read_bytes() for kind in ("key", "pem")]
    async with grpc.aio.secure_channel(f"localhost:{port}", grpc.ssl_channel_credentials(root, *mine)) as channel:
        call = channel.stream_stream(
            "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"
        )()
        request = discovery_pb2.DeltaDiscoveryRequest(node={"id": "me"}, type_url=CDS)
        await call.write(request.SerializeToString())
        await call.read()
        assert [client.proxy for client in server.clients()] == ["edge-1.example"]
        call.cancel()
    await server.stop(0.2)


@pytest.mark.case(28)
async def test_grpc_clients_have_no_wildcard_and_are_told_apart():
    server = XdsServer()
    server.put(listener("a:80"), cluster("a"))
    async with (
        serving(server) as target,
        FakeProxy(target, node="shop", variant="sotw") as one,
        FakeProxy(target, node="shop", variant="sotw") as two,
    ):
        for proxy in (one, two):
            proxy.node.user_agent_name = "gRPC C-core linux Python"
            await proxy.subscribe("LDS", ["a:80"])
            await proxy.ack(await proxy.receive())
            await proxy.subscribe("CDS")
        assert [client.proxy for client in server.clients()] == ["shop#1", "shop#2"]
        server.put(listener("b:80"))
        await server.converged(timeout=PATIENCE)
        server.put(Resource.of(LDS, "a:80", listener("a:80").body + b"\x9a\x01\x00"))
        await one.ack(await one.receive())
        with pytest.raises(NotConverged, match="shop#2: LDS not acknowledged"):
            await server.converged(timeout=0.05)
        await two.ack(await two.receive())
        await server.converged(timeout=PATIENCE)
        assert {event.type for event in server.timeline.events() if event.kind == "send"} == {"LDS"}


async def test_a_token_in_the_metadata_of_a_node_is_not_kept():
    seen = []

    def authenticate(_metadata, node):
        seen.append(node.metadata)
        return node.id

    server = XdsServer(authenticate=authenticate)
    server.put(cluster("a"))
    async with serving(server) as target, FakeProxy(target, node="me") as me:
        me.node.metadata["token"] = "s3cret"
        await me.boot()
        (stream,) = server.ads._streams.values()
        assert seen == [{"token": "s3cret"}]
        assert stream.session.node.metadata == {}
        assert "s3cret" not in repr((stream.session.node, server.clients(), server.timeline.events()))


def test_a_name_that_its_body_contradicts_is_refused():
    with pytest.raises(xds_server.NameMismatch, match="LDS resource 'x' calls itself"):
        XdsServer().put(Resource.of(LDS, "x", listener("y").body))
