"""Requests: what is copied out of them, and that their 61 KB of node are not kept."""

from __future__ import annotations

import gc
import math

import pytest
from envoy_data_plane.envoy.config.core.v3 import BuildVersion, Extension, Locality, Node
from envoy_data_plane.envoy.service.discovery.v3 import DeltaDiscoveryRequest, DiscoveryRequest
from envoy_data_plane.envoy.type.v3 import SemanticVersion
from envoy_data_plane.google.protobuf import Struct
from envoy_data_plane.google.rpc import Status

from tsunagu.v1 import discovery_pb2
from tsunagu.xds.requests.decode import BadRequest, decode_delta, decode_sotw

NODE = Node(
    id="t1",
    cluster="shop",
    metadata=Struct.from_dict({"role": "sidecar", "ports": [1.0, 2.0]}),
    locality=Locality(region="r", zone="z", sub_zone="s"),
    user_agent_name="envoy",
    user_agent_build_version=BuildVersion(version=SemanticVersion(major_number=1, minor_number=40)),
    extensions=[Extension(name=f"envoy.filters.network.something_long_{number}") for number in range(600)],
    client_features=["envoy.lb.does_not_support_overprovisioning"],
)


def test_a_delta_request_of_envoy():
    data = bytes(
        DeltaDiscoveryRequest(
            node=NODE,
            type_url="t",
            resource_names_subscribe=["a", "b"],
            resource_names_unsubscribe=["c"],
            initial_resource_versions={"a": "1"},
            response_nonce="7",
            error_detail=Status(code=13, message="bad"),
        )
    )
    request = decode_delta(data)

    assert (request.type_url, request.names, request.dropped) == ("t", ["a", "b"], ["c"])
    assert (request.initial, request.nonce, request.error) == ({"a": "1"}, "7", "bad")


def test_a_sotw_request_of_envoy():
    request = decode_sotw(bytes(DiscoveryRequest(version_info="v", type_url="t", resource_names=["a"], node=NODE)))

    assert (request.version, request.names, request.nonce, request.error) == ("v", ["a"], "", None)


@pytest.mark.parametrize("decode", [decode_delta, decode_sotw])
def test_the_node(decode):
    kind = DeltaDiscoveryRequest if decode is decode_delta else DiscoveryRequest
    node = decode(bytes(kind(node=NODE, type_url="t"))).node

    assert (node.id, node.cluster, node.region, node.zone, node.sub_zone) == ("t1", "shop", "r", "z", "s")
    assert (node.user_agent, node.version) == ("envoy", "1.40.0")
    assert node.metadata == {"role": "sidecar", "ports": [1.0, 2.0]}
    assert node.client_features == ("envoy.lb.does_not_support_overprovisioning",)


def test_what_a_session_keeps_of_a_node_is_small():
    data = bytes(DeltaDiscoveryRequest(node=NODE, type_url="t"))
    node = decode_delta(data).node
    gc.collect()

    assert len(data) > 25_000
    assert len(node.metadata_bytes) < 100
    assert not any(isinstance(kept, bytes) and len(kept) > 1000 for kept in gc.get_referents(node, node.__dict__))


def test_a_nack_is_known_by_its_presence():
    """An error_detail without code or words is one too (docs/protocol.md 2)."""
    request = decode_delta(b"\x3a\x00")

    assert request.error == ""
    assert request.node is None


def test_what_a_newer_client_adds_is_stepped_over():
    assert decode_sotw(bytes(DiscoveryRequest(type_url="t")) + b"\x3a\x02\n\x00\xba\x3e\x01x").type_url == "t"


@pytest.mark.parametrize("decode", [decode_delta, decode_sotw])
@pytest.mark.parametrize("data", [b"\xff", b"\n\x05a", b"\x1a\x01\xff"])
def test_what_is_no_request(decode, data):
    with pytest.raises(BadRequest, match="not a D"):
        decode(data)


def test_metadata_may_hold_what_json_cannot():
    node = discovery_pb2.Node(id="p")
    node.metadata.update({"number": float("nan"), "list": [1, None, {"deep": True}], "text": "x"})
    request = decode_delta(discovery_pb2.DeltaDiscoveryRequest(node=node).SerializeToString())
    found = request.node.metadata
    assert math.isnan(found.pop("number"))
    assert found == {"list": [1, None, {"deep": True}], "text": "x"}
