"""CDS: the envoy cluster of each discovery name, that of the app beside the proxy, and the blackhole without endpoints.

Defaults are Service Connect's (docs/translation.md gives the reason for each). The one rule: a cluster says nothing of
single tasks, so tasks come and go without a change of the cluster, which would empty its connection pools and make Envoy
forget which endpoints are ejected.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from envoy_data_plane.envoy.config.cluster import v3 as cluster_v3
from envoy_data_plane.envoy.config.core import v3 as core_v3
from envoy_data_plane.envoy.config.endpoint import v3 as endpoint_v3
from envoy_data_plane.envoy.extensions.upstreams.http import v3 as http_v3

from tsunagu.mesh.traffic.model import Pool
from tsunagu.translate import names, outside, policies
from tsunagu.translate.codec import pack
from tsunagu.translate.secured import tls
from tsunagu.xds.resources import CDS

if TYPE_CHECKING:
    import betterproto2
    from envoy_data_plane.google.protobuf import Any

    from tsunagu.mesh.rows import Outside, PortRow, RevisionRow
    from tsunagu.mesh.traffic.model import Destination, EndpointPolicy
    from tsunagu.mesh.view import View
    from tsunagu.translate.codec import Codec
    from tsunagu.xds.resources import Resource

_CONNECT_TIMEOUT: Final = timedelta(seconds=1)
# How long Envoy waits for a ClusterLoadAssignment, a filter or a bundle that is missing; by default one name could hold up a proxy for 15 s.
FETCH_TIMEOUT: Final = timedelta(seconds=5)
# Envoy gathers changes of health for 1 s after an EDS update (its default `update_merge_window`). An ejection would take
# effect that much later, right after every scaling and replacement, and every request until then would fail.
_LB_CONFIG: Final = cluster_v3.ClusterCommonLbConfig(
    update_merge_window=timedelta(0),
    # A locality (zone and revision) gets requests by its weight; without this Envoy ignores the weights.
    locality_weighted_lb_config=cluster_v3.ClusterCommonLbConfigLocalityWeightedLbConfig(),
)
_HTTP_OPTIONS: Final = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_COLLECTOR_IDLE: Final = 300  # s
_HTTP2: Final = frozenset({"http2", "grpc"})


@dataclass(frozen=True, slots=True)
class ServiceCluster:
    """The inputs of a discovery name's cluster. `idle_timeout` in seconds, 0: none, and always for tcp."""

    namespace: str
    to: Destination
    protocol: str
    idle_timeout: int
    policy: EndpointPolicy
    outside: Outside | None = None  # it is an External's
    peers: tuple[str, ...] = ()  # the SPIFFE IDs of which the server has to prove one; none: TLS is not spoken


def inputs(view: View, namespace: str, to: Destination) -> ServiceCluster | None:
    """Return the inputs in a View; None if no service provides the name, or nothing leads to that revision by itself."""
    port = view.port(namespace, to.discovery_name)
    if port is None or (to.revision and to not in view.subsets(namespace, to.discovery_name)):
        return None
    idle = 0 if port.row.protocol == "tcp" else port.row.idle_timeout
    policy = view.policy(namespace, to.discovery_name).endpoints
    peers = view.peers(namespace, to.discovery_name)
    return ServiceCluster(namespace, to, port.row.protocol, idle, policy, port.row.outside, peers)


def build(codec: Codec, row: ServiceCluster) -> Resource:
    name = names.destination(row.namespace, row.to)
    return codec.resource(CDS, name, service_cluster(name, row))


def service_cluster(name: str, row: ServiceCluster) -> cluster_v3.Cluster:
    """The cluster of all tasks that serve a discovery name: endpoints over EDS, round robin."""
    cluster = cluster_v3.Cluster(
        name=name,
        type=cluster_v3.ClusterDiscoveryType.EDS,
        eds_cluster_config=cluster_v3.ClusterEdsClusterConfig(
            eds_config=ads(FETCH_TIMEOUT),
            # A name of its own: a proxy that still has the cluster without TLS must not be led to where TLS is spoken.
            service_name=names.secured_assignment(row.namespace, row.to) if row.peers else "",
        ),
        connect_timeout=_CONNECT_TIMEOUT,
        transport_socket_matches=tls.matches(row.peers),
        circuit_breakers=policies.circuit_breakers(row.policy.pool, row.policy.budget),
        outlier_detection=policies.outlier_detection(row.policy.ejection, tcp=row.protocol == "tcp"),
        health_checks=policies.health_checks(row.policy.check, row.protocol, row.to.discovery_name),
        common_lb_config=_LB_CONFIG,
        # Probes find a peer that vanished without a FIN; tcp has no idle timeout on this side (docs/adr/0008).
        upstream_connection_options=cluster_v3.UpstreamConnectionOptions(
            tcp_keepalive=core_v3.TcpKeepalive(keepalive_probes=3, keepalive_time=30, keepalive_interval=10)
        ),
        ignore_health_on_host_removal=True,
        typed_extension_protocol_options=_protocol_options(
            row.protocol, row.idle_timeout, tls.CALLERS_AGE if row.peers else None
        ),
    )
    policies.balance(cluster, row.policy.balancing)
    if row.outside is not None:
        outside.place(cluster, row.outside, row.protocol)
    return cluster


def app(codec: Codec, revision: RevisionRow, port: PortRow) -> Resource:
    """The cluster of the app's own port, on the loopback interface that the proxy shares with it."""
    name = names.app_cluster(revision.name, port.port_name)
    cluster = cluster_v3.Cluster(
        name=name,
        type=cluster_v3.ClusterDiscoveryType.STATIC,
        connect_timeout=_CONNECT_TIMEOUT,
        load_assignment=_static(name, "127.0.0.1", port.container_port),
        circuit_breakers=policies.circuit_breakers(Pool(), None),
        typed_extension_protocol_options=_protocol_options(port.protocol, port.idle_timeout),
    )
    return codec.resource(CDS, name, cluster)


def collector(codec: Codec, peers: tuple[str, ...]) -> Resource:
    """The cluster to which proxies send their spans, whose endpoints are empty while nobody takes them. `peers`: as in ServiceCluster."""
    cluster = cluster_v3.Cluster(
        name=names.COLLECTOR,
        type=cluster_v3.ClusterDiscoveryType.EDS,
        eds_cluster_config=cluster_v3.ClusterEdsClusterConfig(
            eds_config=ads(FETCH_TIMEOUT), service_name=names.SECURED_COLLECTOR if peers else ""
        ),
        connect_timeout=_CONNECT_TIMEOUT,
        transport_socket_matches=tls.matches(peers),
        common_lb_config=_LB_CONFIG,
        typed_extension_protocol_options=_protocol_options("grpc", _COLLECTOR_IDLE),
    )
    return codec.resource(CDS, names.COLLECTOR, cluster)


def blackhole(codec: Codec) -> Resource:
    """A cluster without endpoints: a connection to an address that is no alias is closed at once."""
    cluster = cluster_v3.Cluster(
        name=names.BLACKHOLE, type=cluster_v3.ClusterDiscoveryType.STATIC, connect_timeout=_CONNECT_TIMEOUT
    )
    return codec.resource(CDS, names.BLACKHOLE, cluster)


def ads(fetch_timeout: timedelta | None = None) -> core_v3.ConfigSource:
    """A config source that says: ask on the ADS stream. Without a fetch timeout Envoy waits for its default of 15 s."""
    return core_v3.ConfigSource(
        ads=core_v3.AggregatedConfigSource(),
        resource_api_version=core_v3.ApiVersion.V3,
        initial_fetch_timeout=fetch_timeout,
    )


def socket_address(ip: str, port: int) -> core_v3.Address:
    return core_v3.Address(socket_address=core_v3.SocketAddress(address=ip, port_value=port))


def _static(name: str, ip: str, port: int) -> endpoint_v3.ClusterLoadAssignment:
    endpoint = endpoint_v3.LbEndpoint(endpoint=endpoint_v3.Endpoint(address=socket_address(ip, port)))
    return endpoint_v3.ClusterLoadAssignment(
        cluster_name=name, endpoints=[endpoint_v3.LocalityLbEndpoints(lb_endpoints=[endpoint])]
    )


def _protocol_options(protocol: str, idle_timeout: int, age: timedelta | None = None) -> dict[str, Any]:
    return {} if protocol == "tcp" else {_HTTP_OPTIONS: _http_options(protocol, idle_timeout, age)}


@lru_cache(maxsize=64)
def _http_options(protocol: str, idle_timeout: int, age: timedelta | None) -> Any:
    """Packed once for the same arguments, since nearly all services have the same."""
    explicit = http_v3.HttpProtocolOptionsExplicitHttpConfig(
        http2_protocol_options=core_v3.Http2ProtocolOptions() if protocol in _HTTP2 else None,
        http_protocol_options=None if protocol in _HTTP2 else core_v3.Http1ProtocolOptions(),
    )
    options: betterproto2.Message = http_v3.HttpProtocolOptions(
        common_http_protocol_options=core_v3.HttpProtocolOptions(
            idle_timeout=timedelta(seconds=idle_timeout), max_connection_duration=age
        ),
        explicit_http_config=explicit,
    )
    return pack(options)
