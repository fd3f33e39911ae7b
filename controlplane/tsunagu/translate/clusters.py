"""CDS: the envoy cluster of each discovery name, of the app beside the proxy, and the one that leads nowhere.

Defaults are Service Connect's (docs/translation.md has each with its reason). The one rule: nothing of a task is in
here, so tasks come and go without a change of a cluster, which would empty its connection pools and forget ejections.
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

from tsunagu.translate import names
from tsunagu.translate.codec import pack
from tsunagu.xds.resources import CDS

if TYPE_CHECKING:
    import betterproto2
    from envoy_data_plane.google.protobuf import Any

    from tsunagu.mesh.rows import PortFacts, RevisionFacts
    from tsunagu.mesh.view import View
    from tsunagu.translate.codec import Codec
    from tsunagu.xds.resources import Resource

_CONNECT_TIMEOUT: Final = timedelta(seconds=1)
# Envoy answers a lost CLA by its own timer: bounded, so that one name cannot hold a proxy back for 15 s.
_FETCH_TIMEOUT: Final = timedelta(seconds=5)
# App Mesh's default (its User Guide, Envoy defaults), taken to be Service Connect's too: circuit breakers never act.
_UNLIMITED: Final = 2147483647
_HTTP_OPTIONS: Final = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_HTTP2: Final = frozenset({"http2", "grpc"})


@dataclass(frozen=True, slots=True)
class ServiceCluster:
    """What the cluster of a discovery name is made of. `idle_timeout` in seconds, 0: none; unused by tcp."""

    namespace: str
    discovery_name: str
    protocol: str
    idle_timeout: int


def inputs(view: View, namespace: str, discovery_name: str) -> ServiceCluster | None:
    port = view.port(namespace, discovery_name)
    if port is None:
        return None
    idle = 0 if port.facts.protocol == "tcp" else port.facts.idle_timeout
    return ServiceCluster(namespace, discovery_name, port.facts.protocol, idle)


def build(codec: Codec, wanted: ServiceCluster) -> Resource:
    name = names.service_cluster(wanted.namespace, wanted.discovery_name)
    return codec.resource(CDS, name, service_cluster(name, wanted))


def service_cluster(name: str, wanted: ServiceCluster) -> cluster_v3.Cluster:
    """Every task that serves a discovery name, over EDS, round robin."""
    return cluster_v3.Cluster(
        name=name,
        type=cluster_v3.ClusterDiscoveryType.EDS,
        eds_cluster_config=cluster_v3.ClusterEdsClusterConfig(eds_config=ads(_FETCH_TIMEOUT)),
        connect_timeout=_CONNECT_TIMEOUT,
        circuit_breakers=_circuit_breakers(),
        outlier_detection=_outlier_detection(tcp=wanted.protocol == "tcp"),
        # A peer that vanished without a word is found by probes: idle timeouts of tcp are the server's business.
        upstream_connection_options=cluster_v3.UpstreamConnectionOptions(
            tcp_keepalive=core_v3.TcpKeepalive(keepalive_probes=3, keepalive_time=30, keepalive_interval=10)
        ),
        ignore_health_on_host_removal=True,
        typed_extension_protocol_options=_protocol_options(wanted.protocol, wanted.idle_timeout),
    )


def app(codec: Codec, revision: RevisionFacts, port: PortFacts) -> Resource:
    """The app's own port, on the loopback that the proxy shares with it."""
    name = names.app_cluster(revision.name, port.port_name)
    cluster = cluster_v3.Cluster(
        name=name,
        type=cluster_v3.ClusterDiscoveryType.STATIC,
        connect_timeout=_CONNECT_TIMEOUT,
        load_assignment=_static(name, "127.0.0.1", port.container_port),
        circuit_breakers=_circuit_breakers(),
        typed_extension_protocol_options=_protocol_options(port.protocol, port.idle_timeout),
    )
    return codec.resource(CDS, name, cluster)


def blackhole(codec: Codec) -> Resource:
    """No endpoint: a connection that leads to no alias is closed at once."""
    cluster = cluster_v3.Cluster(
        name=names.BLACKHOLE, type=cluster_v3.ClusterDiscoveryType.STATIC, connect_timeout=_CONNECT_TIMEOUT
    )
    return codec.resource(CDS, names.BLACKHOLE, cluster)


def ads(fetch_timeout: timedelta | None = None) -> core_v3.ConfigSource:
    """'Ask for it on the stream that you have'. Without a fetch timeout Envoy waits its default of 15 s."""
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


def _circuit_breakers() -> cluster_v3.CircuitBreakers:
    """Envoy's defaults (3 concurrent retries, 1024 connections) turn retries into errors under load."""
    thresholds = cluster_v3.CircuitBreakersThresholds(
        max_connections=_UNLIMITED,
        max_pending_requests=_UNLIMITED,
        max_requests=_UNLIMITED,
        max_retries=_UNLIMITED,
    )
    return cluster_v3.CircuitBreakers(thresholds=[thresholds])


def _outlier_detection(*, tcp: bool) -> cluster_v3.OutlierDetection:
    """Five failures in a row, out for 30 s to 5 min. For tcp only failures to connect exist, counted by themselves."""
    return cluster_v3.OutlierDetection(
        consecutive_5xx=5,
        split_external_local_origin_errors=tcp,
        consecutive_local_origin_failure=5 if tcp else None,
        interval=timedelta(seconds=10),
        base_ejection_time=timedelta(seconds=30),
        max_ejection_time=timedelta(seconds=300),
        max_ejection_percent=10,
        always_eject_one_host=True,  # 10 % of fewer than 10 hosts is none
        enforcing_success_rate=0,  # Service Connect ejects by failures in a row alone
        enforcing_local_origin_success_rate=0 if tcp else None,
    )


def _protocol_options(protocol: str, idle_timeout: int) -> dict[str, Any]:
    return {} if protocol == "tcp" else {_HTTP_OPTIONS: _http_options(protocol, idle_timeout)}


@lru_cache(maxsize=64)
def _http_options(protocol: str, idle_timeout: int) -> Any:
    """Encoded once per pair, for nearly all services have the same."""
    explicit = http_v3.HttpProtocolOptionsExplicitHttpConfig(
        http2_protocol_options=core_v3.Http2ProtocolOptions() if protocol in _HTTP2 else None,
        http_protocol_options=None if protocol in _HTTP2 else core_v3.Http1ProtocolOptions(),
    )
    options: betterproto2.Message = http_v3.HttpProtocolOptions(
        common_http_protocol_options=core_v3.HttpProtocolOptions(idle_timeout=timedelta(seconds=idle_timeout)),
        explicit_http_config=explicit,
    )
    return pack(options)
