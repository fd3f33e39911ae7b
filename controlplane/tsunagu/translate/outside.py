"""The parts of an envoy cluster that only an External has: DNS names that the proxy resolves, and TLS that it begins.

The one rule: no part of them is in a listener or a route, so that an address, an authority or a name may change under traffic: a cluster
that changed takes the place of the one before when it has resolved its names, and what runs through that one ends there.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from envoy_data_plane.envoy.config.cluster import v3 as cluster_v3
from envoy_data_plane.envoy.config.core import v3 as core_v3
from envoy_data_plane.envoy.config.endpoint import v3 as endpoint_v3
from envoy_data_plane.envoy.extensions.clusters.common.dns import v3 as dns_family_v3
from envoy_data_plane.envoy.extensions.clusters.dns import v3 as dns_v3
from envoy_data_plane.envoy.extensions.network.dns_resolver.cares import v3 as cares_v3
from envoy_data_plane.envoy.extensions.transport_sockets.tls import v3 as tls_v3
from envoy_data_plane.envoy.type.matcher import v3 as matcher_v3

from tsunagu.translate import names
from tsunagu.translate.codec import pack

if TYPE_CHECKING:
    from tsunagu.mesh.rows import Outside, Tls

_TLS: Final = "envoy.transport_sockets.tls"
_DNS: Final = "envoy.cluster.dns"
_RESOLVER: Final = "envoy.network.dns_resolver.cares"
#: What a name without a TTL, or one that does not resolve, is asked for again after.
_AGAIN: Final = timedelta(seconds=5)
#: In all: a task's own resolver gives up after 4 s. Meanwhile a new proxy waits for the cluster, and an old one has the one before.
_PATIENCE: Final = 5
#: A server on the internet is further away than a task; TLS is part of it.
_CONNECT_TIMEOUT: Final = timedelta(seconds=3)
_ALPN: Final = {"http": ["http/1.1"], "http2": ["h2"], "grpc": ["h2"], "tcp": []}


def place(cluster: cluster_v3.Cluster, outside: Outside, protocol: str) -> None:
    """Make the cluster of an External's port out of that of a service's."""
    cluster.connect_timeout = _CONNECT_TIMEOUT
    if outside.resolved:
        _resolve(cluster, outside.resolved)
    if outside.tls is not None:
        cluster.transport_socket = core_v3.TransportSocket(
            name=_TLS, typed_config=pack(_context(outside.tls, protocol))
        )


def _resolve(cluster: cluster_v3.Cluster, addresses: tuple[tuple[str, int], ...]) -> None:
    """Have the proxy resolve the names, as its task does, and anew when their TTL ends. Each of their addresses is an endpoint."""
    cluster.cluster_type = cluster_v3.ClusterCustomClusterType(name=_DNS, typed_config=pack(_dns()))
    cluster.type = cluster.eds_cluster_config = None
    cluster.load_assignment = endpoint_v3.ClusterLoadAssignment(
        cluster_name=cluster.name,
        endpoints=[_locality(host, port) for host, port in addresses],
    )


def _dns() -> dns_v3.DnsCluster:
    resolver = cares_v3.CaresDnsResolverConfig(
        dns_resolver_options=core_v3.DnsResolverOptions(no_default_search_domain=True),
        query_timeout_seconds=_PATIENCE,
        query_tries=1,
    )
    return dns_v3.DnsCluster(
        dns_lookup_family=dns_family_v3.DnsLookupFamily.V4_ONLY,
        respect_dns_ttl=True,
        dns_refresh_rate=_AGAIN,
        dns_failure_refresh_rate=dns_v3.DnsClusterRefreshRate(base_interval=_AGAIN / 5, max_interval=_AGAIN),
        typed_dns_resolver_config=core_v3.TypedExtensionConfig(name=_RESOLVER, typed_config=pack(resolver)),
    )


def _locality(host: str, port: int) -> endpoint_v3.LocalityLbEndpoints:
    """A locality for each name, of equal weight: so each name gets the same share, however many addresses it has."""
    socket = core_v3.SocketAddress(address=host, port_value=port)
    endpoint = endpoint_v3.Endpoint(address=core_v3.Address(socket_address=socket))
    return endpoint_v3.LocalityLbEndpoints(
        locality=core_v3.Locality(sub_zone=f"{host}:{port}"),
        load_balancing_weight=1,
        lb_endpoints=[endpoint_v3.LbEndpoint(endpoint=endpoint)],
    )


def _context(tls: Tls, protocol: str) -> tls_v3.UpstreamTlsContext:
    return tls_v3.UpstreamTlsContext(
        sni=tls.server_name,
        auto_host_sni=not tls.server_name,
        auto_sni_san_validation=not tls.names,
        common_tls_context=tls_v3.CommonTlsContext(
            alpn_protocols=_ALPN[protocol],
            tls_params=tls_v3.TlsParameters(
                tls_minimum_protocol_version=tls_v3.TlsParametersTlsProtocol.TLSv1_2,
                tls_maximum_protocol_version=tls_v3.TlsParametersTlsProtocol.TLSv1_3,  # Envoy's clients end at 1.2 by default
            ),
            validation_context=tls_v3.CertificateValidationContext(
                trusted_ca=_authorities(tls),
                match_typed_subject_alt_names=[_named(name) for name in tls.names],
            ),
        ),
    )


def _authorities(tls: Tls) -> core_v3.DataSource:
    if tls.authorities:
        return core_v3.DataSource(inline_string=tls.authorities)
    return core_v3.DataSource(filename=names.AUTHORITIES)


def _named(name: str) -> tls_v3.SubjectAltNameMatcher:
    """The certificate has the name, or a wildcard that covers it (Envoy: of an exact DNS matcher)."""
    return tls_v3.SubjectAltNameMatcher(
        san_type=tls_v3.SubjectAltNameMatcherSanType.DNS, matcher=matcher_v3.StringMatcher(exact=name)
    )
