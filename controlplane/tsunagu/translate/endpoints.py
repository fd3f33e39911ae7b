"""EDS: the endpoints that serve a discovery name now.

This is the type that changes most, so it is built from a wire-compatible subset of Envoy's messages in protobuf's C core
(`tsunagu/v1/endpoint.proto`), which is thirty times faster than betterproto2. The one rule: every cluster has an
assignment, an empty one if no task serves it, because Envoy would wait for a missing one (docs/protocol.md 8). A zone has
one of its own only where it prefers some endpoints to others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tsunagu.translate.secured import tls
from tsunagu.v1 import endpoint_pb2
from tsunagu.xds.resources import EDS

if TYPE_CHECKING:
    from tsunagu.mesh.localities import Locality
    from tsunagu.mesh.traffic.model import Destination
    from tsunagu.mesh.view import View
    from tsunagu.translate.codec import Codec
    from tsunagu.xds.resources import Resource

#: gRPC clients refuse endpoints without a locality and silently drop a locality without a weight (docs/protocol.md 13).
_REGION: Final = "local"


def inputs(
    view: View, namespace: str, to: Destination, zone: str = "", *, secured: bool = False
) -> tuple[Locality, ...] | None:
    """Return the localities of the namespace's assignment; None if there is no such cluster, or proxies resolve its addresses.

    With a zone, those of the zone's own assignment; None if its proxies see the namespace's. `secured`: of the assignment for
    callers that can speak TLS; None if nobody has to.
    """
    if secured and not view.secured(namespace, to.discovery_name):
        return None
    if to.revision and to not in view.subsets(namespace, to.discovery_name):
        return None
    if zone:
        if zone not in view.zones() or not view.prefers(namespace, to, zone, secured=secured):
            return None
        return view.localities(namespace, to, zone, secured=secured)
    port = view.port(namespace, to.discovery_name)
    if port is None or (port.row.outside is not None and port.row.outside.resolved):
        return None
    return view.localities(namespace, to, secured=secured)


def load_assignment(name: str, localities: tuple[Locality, ...]) -> bytes:
    """Encode a ClusterLoadAssignment of localities, in their order; deterministic."""
    message = endpoint_pb2.ClusterLoadAssignment(cluster_name=name)
    for locality in localities:
        group = message.endpoints.add(priority=locality.priority)
        group.locality.region, group.locality.zone, group.locality.sub_zone = _REGION, locality.zone, locality.revision
        if locality.weight:  # Envoy refuses 0; without a weight, a locality gets nothing
            group.load_balancing_weight.value = locality.weight
        for ip, port in locality.endpoints:
            made = group.lb_endpoints.add()
            if (ip, port) in locality.tls:
                made.metadata = tls.endpoint_metadata()
            socket = made.endpoint.address.socket_address
            socket.address = ip
            socket.port_value = port
    return message.SerializeToString(deterministic=True)


def build(codec: Codec, name: str, localities: tuple[Locality, ...]) -> Resource:
    return codec.raw(EDS, name, load_assignment(name, localities))
