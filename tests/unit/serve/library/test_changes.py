"""Steps of a change: groups, types by their words, versions of the caller's, and what is refused with nothing changed."""

from __future__ import annotations

import grpc.aio
import pytest

from tsunagu import (
    CDS,
    EDS,
    LDS,
    BadResource,
    BadTtl,
    NameMismatch,
    NotAResource,
    Resource,
    ResourceType,
    UnknownType,
    XdsServer,
)
from tsunagu.testing import FakeProxy
from tsunagu.v1 import discovery_pb2
from tsunagu.xds import wire

WORKLOADS = ResourceType("type.googleapis.com/example.Workload", "WORKLOADS", order=40)


def made(kind, name, note="", **options):
    return Resource.of(kind, name, wire.text(1, name) + wire.text(99, note), **options)


def held(server, group="everyone"):
    return {(one.type_url.rpartition(".")[2], one.name) for one in server.resources(group)}


def test_a_change_can_replace_and_clear_groups_at_once():
    server = XdsServer()
    server.put(made("CDS", "a"), made("CDS", "b"), group="blue")
    server.put(made("CDS", "c"), group="green")
    with server.change("blue and green") as change:
        change.put(made("CDS", "early"), group="blue")  # gone with the rest
        change.replace(made("CDS", "b"), made("LDS", "l"), group="blue")
        change.put(made("CDS", "late"), group="blue")
        change.clear("green")
    assert held(server, "blue") == {("Cluster", "b"), ("Cluster", "late"), ("Listener", "l")}
    assert (held(server, "green"), server.groups(), server.revision) == (set(), ["blue"], 3)


def test_what_a_replacement_takes_away_is_found_out_when_it_is_made():
    server = XdsServer()
    with server.change() as change:
        change.replace(made("CDS", "mine"))
        server.put(made("CDS", "came between"))
    assert held(server) == {("Cluster", "mine")}


def test_a_group_is_cleared_and_read():
    server = XdsServer()
    server.put(made("LDS", "l"), made("CDS", "a"), group="blue")
    assert [one.name for one in server.resources("blue")] == ["a", "l"]
    assert [one.name for one in server.resources("blue", "LDS")] == ["l"]
    assert server.groups() == ["blue"]
    assert server.clear("blue", cause="the end") == 2
    assert server.clear("never was") == 3
    assert (server.resources("blue"), server.groups()) == ([], [])


def test_replace_takes_a_ttl_and_a_cause():
    server = XdsServer()
    server.put(made("CDS", "old"))
    server.replace(made("CDS", "fault"), ttl=30, cause="an experiment")
    assert server.get("CDS", "fault").ttl == 30
    with pytest.raises(BadTtl):
        server.replace(made("EDS", "e"), ttl=30)
    assert held(server) == {("Cluster", "fault")}


# -- types ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("word", ["LDS", LDS, LDS.rpartition("/")[2]])
def test_a_type_is_told_by_any_of_its_names(word):
    server = XdsServer()
    server.put(made("LDS", "front"))
    assert server.get(word, "front").type_url == LDS
    assert [one.name for one in server.resources(type_url=word)] == ["front"]
    server.remove(word, "front")
    assert held(server) == set()


def test_a_word_that_is_no_type_is_refused_everywhere():
    server = XdsServer()
    server.put(made("LDS", "front"))
    for use in (
        lambda: server.remove("lds", "front"),
        lambda: server.get("lds", "front"),
        lambda: server.resources(type_url="lds"),
        lambda: server.events(type_url="lds"),
        lambda: server.put(made("lds", "front")),
    ):
        with pytest.raises(UnknownType, match=r"'lds' is no type of resource: is LDS meant\?"):
            use()
    assert (held(server), server.revision) == ({("Listener", "front")}, 1)


def test_a_type_of_ones_own_is_put_once_it_is_registered():
    with pytest.raises(UnknownType, match="is no type of resource"):
        XdsServer().put(made(WORKLOADS, "w"))
    server = XdsServer(types=[WORKLOADS])
    server.put(made(WORKLOADS, "w"), made("WORKLOADS", "by its word"), made("CDS", "a"))
    assert [(one.type_url, one.name) for one in server.resources()] == [
        (CDS, "a"),
        (WORKLOADS.url, "by its word"),
        (WORKLOADS.url, "w"),
    ]
    server.remove("WORKLOADS", "w")
    assert server.get(WORKLOADS, "w") is None


# -- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["caf\udce9", "", "*"])
def test_a_name_that_no_client_could_be_told_is_refused(name):
    server = XdsServer()
    with pytest.raises(BadResource, match="cannot be called"):
        server.put(made("CDS", "fine"), Resource(CDS, name, "v1", b"x"))
    assert (held(server), server.revision) == (set(), 0)


def test_an_empty_body_and_another_name_are_refused():
    server = XdsServer()
    with pytest.raises(BadResource, match="CDS 'x' has an empty body"):
        server.put(Resource(CDS, "x", "v1", b""))
    with pytest.raises(NameMismatch):
        server.put(Resource(CDS, "x", "v1", wire.text(1, "y")))
    with pytest.raises(NotAResource):
        server.put(made("CDS", "fine"), object())
    assert (held(server), server.revision) == (set(), 0)


# -- versions ---------------------------------------------------------------------------------------------------------


def test_versions_are_the_callers_if_it_says_some():
    server = XdsServer()
    server.put(made("CDS", "a"), version="v1")
    assert server.get("CDS", "a").version == "v1"
    server.put(made("CDS", "a", "2"))
    assert len(server.get("CDS", "a").version) == 16


def test_another_content_needs_another_version():
    server = XdsServer()
    server.put(made("CDS", "a"), version="v1")
    with pytest.raises(
        BadResource, match="CDS 'a' of 'everyone' is there with version 'v1': other content needs another"
    ):
        server.put(made("CDS", "a", "2"), version="v1")
    with pytest.raises(BadResource, match="CDS of 'everyone' has version 'v1' already: other content needs another"):
        server.put(made("CDS", "b"), version="v1")
    assert held(server) == {("Cluster", "a")}
    server.put(made("CDS", "a"), version="v1")  # the same
    server.put(made("LDS", "l"), version="v1")  # another type
    server.replace(made("CDS", "a", "2"), version="v2")
    with pytest.raises(BadResource, match="CDS of 'everyone' has version 'v2' already"):
        server.clear(version="v2")


def test_one_change_is_one_version():
    server = XdsServer()
    with server.change() as change:
        change.put(made("CDS", "a"), version="v1")
        change.put(made("CDS", "b"), version="v1")
        change.remove("EDS", "none", version="v1")
    assert held(server) == {("Cluster", "a"), ("Cluster", "b")}
    assert server.get(EDS, "none") is None


async def test_sotw_clients_are_told_the_versions():
    server = XdsServer()
    server.replace(made("CDS", "a"), version="v1")
    async with server:
        target = f"127.0.0.1:{await server.start('127.0.0.1:0')}"
        async with FakeProxy(target, node="me", variant="sotw") as me:
            for word in ("CDS", "LDS"):  # there is no listener, and that is version v1 as well
                await me.subscribe(word)
                update = await me.receive()
                assert update.version == "v1"
                await me.ack(update)
            server.put(made("CDS", "b"), version="v2")
            assert (await me.receive()).version == "v2"


# -- aliases ----------------------------------------------------------------------------------------------------------


def test_a_name_leads_to_one_resource():
    server = XdsServer()
    server.put(made("VHDS", "r/shop", aliases=["r/a", "r/b"]), made("VHDS", "r/other"))
    for wrong, words in (
        (
            made("VHDS", "r/new", aliases=["r/a"]),
            "VHDS 'r/new' of 'everyone' cannot be found as 'r/a', for 'r/shop' is",
        ),
        (made("VHDS", "r/new", aliases=["r/other"]), "as 'r/other', for 'r/other' is found so"),
        (made("VHDS", "r/b"), "VHDS 'r/b' of 'everyone' cannot be found as 'r/b', for 'r/shop' is found so"),
    ):
        with pytest.raises(BadResource, match=words):
            server.put(wrong)
    with pytest.raises(BadResource, match="cannot be found as 'r/x'"):
        server.put(made("VHDS", "r/1", aliases=["r/x"]), made("VHDS", "r/2", aliases=["r/x"]))
    assert server.revision == 1
    with server.change("it moves") as change:
        change.put(made("VHDS", "r/shop", aliases=["r/b"]))
        change.put(made("VHDS", "r/new", aliases=["r/a"]))
    server.put(made("VHDS", "r/new", aliases=["r/a"]), group="elsewhere")
    server.clear()
    server.put(made("VHDS", "r/b"))


async def test_events_name_types_of_ones_own_by_their_short_names():
    async with XdsServer(types=[WORKLOADS]) as server:
        server.put(made(WORKLOADS, "w"))
        target = f"127.0.0.1:{await server.start('127.0.0.1:0')}"
        async with grpc.aio.insecure_channel(target) as channel:
            call = channel.stream_stream(
                "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"
            )()
            request = discovery_pb2.DeltaDiscoveryRequest(
                node={"id": "me"}, type_url=WORKLOADS.url, resource_names_subscribe=["w", "gone"]
            )
            await call.write(request.SerializeToString())
            answer = discovery_pb2.DeltaDiscoveryResponse.FromString(await call.read())
            call.cancel()
        assert ([one.name for one in answer.resources], list(answer.removed_resources)) == (["w"], ["gone"])
        kinds = {(event.kind, event.type) for event in server.timeline.events() if event.type_url}
        assert kinds == {("publish", "WORKLOADS"), ("subscribe", "WORKLOADS"), ("send", "WORKLOADS")}
