"""Resources: versions are content, entries are framed once, names are the body's own."""

from __future__ import annotations

import pytest
from envoy_data_plane.envoy.config.cluster.v3 import Cluster, ClusterDiscoveryType, ClusterEdsClusterConfig
from envoy_data_plane.envoy.config.endpoint.v3 import ClusterLoadAssignment

from tsunagu.v1 import discovery_pb2
from tsunagu.xds import wire
from tsunagu.xds.resources import (
    CDS,
    ECDS,
    EDS,
    LDS,
    RDS,
    SDS,
    SHORT,
    TYPES,
    BadResource,
    BadTtl,
    NameMismatch,
    Resource,
    ResourceType,
    empty_endpoints,
    sum_version,
    type_of,
)


def eds_cluster(name: str, service_name: str = "") -> Resource:
    config = ClusterEdsClusterConfig(service_name=service_name)
    return Resource.of(CDS, name, bytes(Cluster(name=name, type=ClusterDiscoveryType.EDS, eds_cluster_config=config)))


@pytest.mark.case(81)
def test_a_version_is_the_content_and_nothing_else():
    one, other = Resource.of(RDS, "a", b"\n\x01a"), Resource.of(RDS, "a", b"\n\x01a")

    assert one == other
    assert len(one.version) == 16
    assert Resource.of(RDS, "a", b"\n\x01a\x10\x01").version != one.version


def test_entries_are_what_protobuf_reads():
    resource = Resource.of(LDS, "l", wire.text(1, "l"))
    delta = discovery_pb2.DeltaDiscoveryResponse.FromString(resource.delta_entry).resources[0]
    sotw = discovery_pb2.DiscoveryResponse.FromString(resource.sotw_entry).resources[0]

    assert (delta.name, delta.version) == ("l", resource.version)
    assert delta.resource == sotw
    assert (sotw.type_url, sotw.value) == (LDS, resource.body)
    assert resource.delta_entry is resource.delta_entry


def test_a_body_that_calls_itself_otherwise_is_refused():
    with pytest.raises(NameMismatch, match="CDS resource 'a' calls itself b'b'"):
        Resource.of(CDS, "a", wire.text(1, "b"))


@pytest.mark.parametrize(
    ("name", "body", "words"),
    [
        ("caf\udce9", b"\n\x01x", "a name is text that UTF-8 can write"),
        ("", b"\n\x01x", "to ask for that is to ask for all"),
        ("*", b"\n\x01*", "to ask for that is to ask for all"),
        (b"x", b"\n\x01x", "a name is text"),
        ("x", b"", "CDS 'x' has an empty body; its message bears at least its name"),
        ("x", "text", "its body is str, and has to be encoded: bytes"),
    ],
)
def test_what_no_client_could_take_is_refused(name, body, words):
    with pytest.raises(BadResource, match=words):
        Resource.of(CDS, name, body)
    if isinstance(name, str) and name != "x":
        with pytest.raises(BadResource, match=words):
            Resource.of(CDS, "y", b"\n\x01y", aliases=[name])


def test_a_type_may_be_told_by_its_short_name_or_as_itself():
    body = wire.text(1, "a")
    assert Resource.of("CDS", "a", body) == Resource.of(CDS, "a", body)
    workload = ResourceType("type.googleapis.com/example.Workload", "WORKLOADS", name_field=2)
    with pytest.raises(NameMismatch, match="WORKLOADS resource 'a' calls itself b'b'"):
        Resource.of(workload, "a", wire.text(2, "b"))
    assert Resource.of(workload, "a", wire.text(2, "a")).type_url == workload.url


def test_a_version_of_the_callers():
    body = wire.text(1, "a")
    one = Resource.of(CDS, "a", body, version="v1")
    entry = discovery_pb2.DeltaDiscoveryResponse.FromString(one.delta_entry).resources[0]
    assert (one.version, entry.version) == ("v1", "v1")
    other = Resource.of(CDS, "b", wire.text(1, "b"), version="v1")
    assert sum_version(one.digest) != sum_version(other.digest)  # the same word of another resource is another state
    for version in ("", "\ud800"):
        with pytest.raises(BadResource, match="is no version"):
            Resource.of(CDS, "a", body, version=version)


def test_aliases_are_told_and_change_the_version():
    body = wire.text(1, "r/v")
    plain, aliased = Resource.of("VHDS", "r/v", body), Resource.of("VHDS", "r/v", body, aliases=["r/a", "r/b", "r/a"])
    entry = discovery_pb2.DeltaDiscoveryResponse.FromString(aliased.delta_entry).resources[0]
    assert (entry.name, list(entry.aliases)) == ("r/v", ["r/a", "r/b"])
    assert plain.version != aliased.version


@pytest.mark.parametrize("body", [b"\xff\xff", b"\n\x05a"])
def test_a_body_that_is_no_message_is_the_clients_to_refuse(body):
    assert Resource.of(CDS, "a", body).body == body


@pytest.mark.parametrize(
    ("cluster", "eds_name"),
    [
        (eds_cluster("a"), "a"),
        (eds_cluster("a", service_name="b"), "b"),
        (Resource.of(CDS, "a", bytes(Cluster(name="a", type=ClusterDiscoveryType.STATIC))), ""),
        (Resource.of(RDS, "a", bytes(Cluster(name="a", type=ClusterDiscoveryType.EDS))), ""),
    ],
)
def test_the_name_by_which_endpoints_are_asked_for(cluster, eds_name):
    assert cluster.eds_name == eds_name


def test_an_empty_assignment_is_envoys():
    assert empty_endpoints("x").body == bytes(ClusterLoadAssignment(cluster_name="x"))


@pytest.mark.case(120)
def test_the_sum_of_versions_knows_no_order():
    digests = [Resource.of(RDS, name, wire.text(1, name)).digest for name in "abc"]

    assert sum_version(sum(digests)) == sum_version(sum(reversed(digests)))
    assert sum_version(sum(digests)) != sum_version(sum(digests[:2]))
    assert sum_version(0) == "0" * 16


def test_the_table_of_types():
    order = [kind.short for kind in sorted(TYPES.values(), key=lambda kind: kind.order)]

    assert order[:5] == ["CDS", "EDS", "SDS", "LDS", "RDS"]
    assert SHORT["EDS"] == EDS
    assert [kind.url for kind in TYPES.values() if kind.full_state] == [CDS, LDS]
    assert [kind.url for kind in TYPES.values() if not kind.removable] == [SDS, ECDS]
    assert (type_of("type.googleapis.com/acme.Thing").short, type_of("x").removable) == ("Thing", False)


@pytest.mark.parametrize("number", [0, 1, 127, 128, 300, 1 << 40])
def test_varints_are_read_as_written(number):
    assert list(wire.fields(b"\x08" + wire.varint(number))) == [(1, number)]


def test_fields_of_every_kind():
    data = b"\x08\x05" + b"\x11" + bytes(8) + wire.text(3, "x") + b"\x25" + bytes(4)

    assert list(wire.fields(data)) == [(1, 5), (2, bytes(8)), (3, b"x"), (4, bytes(4))]


@pytest.mark.parametrize("data", [b"\x0b", b"\x08", b"\n\x02a", b"\x08" + b"\xff" * 11])
def test_what_is_no_message_is_malformed(data):
    with pytest.raises(wire.Malformed):
        list(wire.fields(data))


def test_what_lapses_is_another_resource_than_what_does_not():
    body = wire.text(1, "a")
    forever, lapsing = Resource.of(CDS, "a", body), Resource.of(CDS, "a", body, ttl=2.5)
    assert len({forever.version, lapsing.version, Resource.of(CDS, "a", body, ttl=3.0).version}) == 3

    sent = discovery_pb2.DeltaDiscoveryResponse.FromString(lapsing.delta_entry + lapsing.delta_heartbeat).resources
    assert [entry.ttl.ToMilliseconds() for entry in sent] == [2500, 2500]
    assert [entry.version for entry in sent] == [lapsing.version] * 2
    assert [entry.HasField("resource") for entry in sent] == [True, False]


@pytest.mark.parametrize("ttl", [0.0, 0.9, -1.0, float("inf"), float("nan")])
def test_a_life_that_no_heartbeat_can_keep_up_with_is_refused(ttl):
    with pytest.raises(BadTtl, match="at least 1 s"):
        Resource.of(CDS, "a", wire.text(1, "a"), ttl=ttl)


@pytest.mark.parametrize("url", [EDS, RDS])
def test_a_type_that_envoy_does_not_let_go_of_has_no_life(url):
    with pytest.raises(BadTtl, match="only CDS, LDS, RTDS are dropped"):
        Resource.of(url, "a", wire.text(1, "a"), ttl=5.0)
