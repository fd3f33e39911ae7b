"""Decodes requests: what a session needs of a DiscoveryRequest or a DeltaDiscoveryRequest.

Rule: nothing of the message outlives this module except the values copied out of it. Envoy's Node weighs 61 KB
(docs/protocol.md 11); its extensions are not a field of our Node, so they are skipped and die with the message.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from google.protobuf.message import DecodeError
from google.protobuf.struct_pb2 import Struct, Value

from tsunagu.v1 import discovery_pb2

if TYPE_CHECKING:
    from collections.abc import Mapping


class BadRequest(ValueError):
    """A message that its method does not allow; the stream ends with the gRPC status `code`."""

    code = "INVALID_ARGUMENT"


@dataclass(frozen=True)
class NodeInfo:
    """What a client claims to be, which proves nothing (docs/protocol.md 11)."""

    id: str
    cluster: str = ""
    region: str = ""
    zone: str = ""
    sub_zone: str = ""
    user_agent: str = ""
    version: str = ""  # of the user agent: "1.40.0"
    client_features: tuple[str, ...] = ()
    metadata_bytes: bytes = field(default=b"", repr=False)  # may hold a token

    @cached_property
    def metadata(self) -> dict[str, Any]:
        """The node's metadata as plain values, decoded when first looked at."""
        return _plain_struct(Struct.FromString(self.metadata_bytes))

    @property
    def is_grpc(self) -> bool:
        """True for a gRPC library: "gRPC C-core linux Python", "gRPC Java", "gRPC Go" (docs/protocol.md 13)."""
        return self.user_agent.startswith("gRPC")


@dataclass(frozen=True, slots=True)
class Request:
    """A request of either variant. `names` is the whole subscription in SotW, the added names in delta."""

    type_url: str
    names: list[str]
    nonce: str
    error: str | None  # the text of a NACK; None: no error_detail
    node: NodeInfo | None
    version: str = ""  # SotW: the last accepted one
    dropped: list[str] | None = None  # delta: resource_names_unsubscribe
    initial: Mapping[str, str] | None = None  # delta: what the client still has, name -> version

    @property
    def claims(self) -> str:
        """What a first request says that the client holds, in words."""
        if self.initial:
            return f"has {len(self.initial)} version{'s' if len(self.initial) > 1 else ''}"
        return f"has version {self.version}" if self.version else ""


def decode_sotw(data: bytes) -> Request:
    """Decode a DiscoveryRequest. Raises BadRequest."""
    try:
        message = discovery_pb2.DiscoveryRequest.FromString(data)
    except DecodeError as error:
        raise BadRequest("not a DiscoveryRequest: its bytes cannot be parsed") from error
    return Request(
        type_url=message.type_url,
        names=list(message.resource_names),
        nonce=message.response_nonce,
        error=_error(message),
        node=_node(message),
        version=message.version_info,
    )


def decode_delta(data: bytes) -> Request:
    """Decode a DeltaDiscoveryRequest. Raises BadRequest."""
    try:
        message = discovery_pb2.DeltaDiscoveryRequest.FromString(data)
    except DecodeError as error:
        raise BadRequest("not a DeltaDiscoveryRequest: its bytes cannot be parsed") from error
    return Request(
        type_url=message.type_url,
        names=list(message.resource_names_subscribe),
        nonce=message.response_nonce,
        error=_error(message),
        node=_node(message),
        dropped=list(message.resource_names_unsubscribe),
        initial=dict(message.initial_resource_versions),
    )


def _plain_struct(struct: Struct) -> dict[str, Any]:
    return {name: _plain(value) for name, value in struct.fields.items()}


def _plain(value: Value) -> Any:
    """Convert any value that a client may send. (protobuf's json_format raises on NaN.)"""
    kind = value.WhichOneof("kind")
    if kind == "struct_value":
        return _plain_struct(value.struct_value)
    if kind == "list_value":
        return [_plain(one) for one in value.list_value.values]
    return None if kind in (None, "null_value") else getattr(value, kind)


def _error(message: discovery_pb2.DiscoveryRequest | discovery_pb2.DeltaDiscoveryRequest) -> str | None:
    """Return the error of a NACK, which is known by the presence of error_detail alone (docs/protocol.md 2)."""
    return message.error_detail.message if message.HasField("error_detail") else None


def _node(message: discovery_pb2.DiscoveryRequest | discovery_pb2.DeltaDiscoveryRequest) -> NodeInfo | None:
    if not message.HasField("node"):
        return None
    node = message.node
    build = node.user_agent_build_version.version
    return NodeInfo(
        id=node.id,
        cluster=node.cluster,
        region=node.locality.region,
        zone=node.locality.zone,
        sub_zone=node.locality.sub_zone,
        user_agent=node.user_agent_name,
        version=_version(node.user_agent_version, build),
        client_features=tuple(node.client_features),
        metadata_bytes=node.metadata.SerializeToString(),
    )


def _version(plain: str, build: discovery_pb2.SemanticVersion) -> str:
    numbers = (build.major_number, build.minor_number, build.patch)
    return plain or (".".join(map(str, numbers)) if any(numbers) else "")
