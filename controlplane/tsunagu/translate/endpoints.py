"""EDS: the endpoints that serve a discovery name now.

This is the type that changes most, so it is built from a wire-compatible subset of Envoy's messages in protobuf's C core
(`tsunagu/v1/endpoint.proto`), which is thirty times faster than betterproto2. The one rule: every cluster has an
assignment, an empty one if no task serves it, because Envoy would wait for a missing one (docs/protocol.md 8).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tsunagu.v1 import endpoint_pb2
from tsunagu.xds.resources import EDS

if TYPE_CHECKING:
    from tsunagu.mesh.view import View
    from tsunagu.translate.codec import Codec
    from tsunagu.xds.resources import Resource

#: gRPC clients refuse endpoints without a locality and silently drop a locality without a weight (docs/protocol.md 13).
_REGION: Final = "local"
_WEIGHT: Final = 1


def inputs(view: View, namespace: str, discovery_name: str) -> tuple[tuple[str, int], ...] | None:
    """Return the (IP, port) pairs of the assignment; None if there is no such cluster."""
    if view.port(namespace, discovery_name) is None:
        return None
    return view.endpoints(namespace, discovery_name)


def load_assignment(name: str, endpoints: tuple[tuple[str, int], ...]) -> bytes:
    """Encode a ClusterLoadAssignment of (IP, port) pairs, in their order; deterministic."""
    message = endpoint_pb2.ClusterLoadAssignment(cluster_name=name)
    if endpoints:
        group = message.endpoints.add()
        group.locality.region = _REGION
        group.load_balancing_weight.value = _WEIGHT
        for ip, port in endpoints:
            socket = group.lb_endpoints.add().endpoint.address.socket_address
            socket.address = ip
            socket.port_value = port
    return message.SerializeToString(deterministic=True)


def build(codec: Codec, name: str, endpoints: tuple[tuple[str, int], ...]) -> Resource:
    return codec.raw(EDS, name, load_assignment(name, endpoints))
