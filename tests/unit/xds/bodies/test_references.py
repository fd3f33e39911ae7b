"""What a resource refers to: endpoints, routes, secrets, filters, envoy clusters; each kind once, and what is none."""

import envoy_data_plane.envoy.config.cluster.v3 as clusters
import envoy_data_plane.envoy.config.core.v3 as core
import envoy_data_plane.envoy.config.listener.v3 as listeners
import envoy_data_plane.envoy.config.route.v3 as routes
import envoy_data_plane.envoy.extensions.clusters.aggregate.v3 as aggregate
import envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 as hcm
import envoy_data_plane.envoy.extensions.filters.network.tcp_proxy.v3 as tcp
import envoy_data_plane.envoy.extensions.transport_sockets.tls.v3 as tls
import pytest
from envoy_data_plane.google.protobuf import Any

from tsunagu.serve.library.messages import resource
from tsunagu.xds.bodies.references import Reference, references
from tsunagu.xds.resources import CDS, EDS, LDS, Resource

ADS = core.ConfigSource(ads=core.AggregatedConfigSource())
SELF = core.ConfigSource(self=core.SelfConfigSource())
FILE = core.ConfigSource(path_config_source=core.PathConfigSource(path="/x"))


def eds(source=ADS, service="", **fields):
    config = clusters.ClusterEdsClusterConfig(eds_config=source, service_name=service)
    return clusters.Cluster(name="c", type=clusters.ClusterDiscoveryType.EDS, eds_cluster_config=config, **fields)


def secured(message, **common):
    return core.TransportSocket(
        name="tls", typed_config=Any.pack(message(common_tls_context=tls.CommonTlsContext(**common)))
    )


def sds(name, source=ADS):
    return tls.SdsSecretConfig(name=name, sds_config=source)


def manager(**fields):
    return listeners.Filter(name="http", typed_config=Any.pack(hcm.HttpConnectionManager(**fields)))


def listener(*filters, socket=None, **fields):
    chain = listeners.FilterChain(filters=list(filters), transport_socket=socket)
    return listeners.Listener(name="l", filter_chains=[chain], **fields)


def rds(name, source=ADS):
    return hcm.Rds(config_source=source, route_config_name=name)


def route(name="r", **action):
    one = routes.Route(match=routes.RouteMatch(prefix="/"), route=routes.RouteAction(**action))
    return routes.RouteConfiguration(name=name, virtual_hosts=[routes.VirtualHost(name="v", routes=[one])])


def weights(*names):
    return routes.WeightedCluster(clusters=[routes.WeightedClusterClusterWeight(name=name) for name in names])


def proxy(**fields):
    return listeners.Filter(name="tcp", typed_config=Any.pack(tcp.TcpProxy(**fields)))


CASES = {
    "endpoints by the cluster's name": (eds(), ["EDS 'c'"]),
    "endpoints by another name": (eds(service="s"), ["EDS 's'"]),
    "endpoints from the same server": (eds(SELF), ["EDS 'c'"]),
    "endpoints from a file": (eds(FILE), []),
    "no endpoints by EDS": (clusters.Cluster(name="c", type=clusters.ClusterDiscoveryType.STATIC), []),
    "parts of an aggregate": (
        clusters.Cluster(
            name="c",
            cluster_type=clusters.ClusterCustomClusterType(
                name="envoy.clusters.aggregate", typed_config=Any.pack(aggregate.ClusterConfig(clusters=["a", "b"]))
            ),
        ),
        ["CDS 'a'", "CDS 'b'"],
    ),
    "secrets of a cluster": (
        clusters.Cluster(
            name="c",
            transport_socket=secured(
                tls.UpstreamTlsContext,
                tls_certificate_sds_secret_configs=[sds("cert")],
                validation_context_sds_secret_config=sds("ca"),
            ),
        ),
        ["SDS 'cert'", "SDS 'ca'"],
    ),
    "secrets of a matched socket, combined": (
        clusters.Cluster(
            name="c",
            transport_socket_matches=[
                clusters.ClusterTransportSocketMatch(
                    name="m",
                    transport_socket=secured(
                        tls.UpstreamTlsContext,
                        combined_validation_context=tls.CommonTlsContextCombinedCertificateValidationContext(
                            validation_context_sds_secret_config=sds("ca")
                        ),
                    ),
                )
            ],
        ),
        ["SDS 'ca'"],
    ),
    "secrets of the bootstrap": (
        clusters.Cluster(
            name="c",
            transport_socket=secured(
                tls.UpstreamTlsContext,
                tls_certificate_sds_secret_configs=[tls.SdsSecretConfig(name="static"), sds("file", FILE)],
            ),
        ),
        [],
    ),
    "routes": (listener(manager(rds=rds("r"))), ["RDS 'r'"]),
    "routes of an api listener": (
        listeners.Listener(
            name="l",
            api_listener=listeners.ApiListener(api_listener=Any.pack(hcm.HttpConnectionManager(rds=rds("r", SELF)))),
        ),
        ["RDS 'r'"],
    ),
    "routes inline": (listener(manager(route_config=route(cluster="a"))), ["CDS 'a'"]),
    "routes of the default chain": (
        listeners.Listener(
            name="l", default_filter_chain=listeners.FilterChain(filters=[manager(rds=rds("r")), manager(rds=rds("r"))])
        ),
        ["RDS 'r'"],
    ),
    "discovered filters": (
        listener(
            manager(http_filters=[hcm.HttpFilter(name="f", config_discovery=core.ExtensionConfigSource(config_source=ADS))])
        ),
        ["ECDS 'f'"],
    ),
    "secrets of a listener": (
        listener(socket=secured(tls.DownstreamTlsContext, tls_certificate_sds_secret_configs=[sds("cert")])),
        ["SDS 'cert'"],
    ),
    "tcp": (listener(proxy(cluster="a")), ["CDS 'a'"]),
    "tcp by weight": (
        listener(
            proxy(
                weighted_clusters=tcp.TcpProxyWeightedCluster(
                    clusters=[tcp.TcpProxyWeightedClusterClusterWeight(name=name, weight=1) for name in ("a", "b")]
                )
            )
        ),
        ["CDS 'a'", "CDS 'b'"],
    ),
    "route": (route(cluster="a"), ["CDS 'a'"]),
    "route by weight": (route(weighted_clusters=weights("a", "b")), ["CDS 'a'", "CDS 'b'"]),
    "route by header": (route(cluster_header="x"), []),
    "mirrored": (
        route(cluster="a", request_mirror_policies=[routes.RouteActionRequestMirrorPolicy(cluster="b")]),
        ["CDS 'a'", "CDS 'b'"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", list(CASES))
def test_references(case):
    message, wanted = CASES[case]
    assert [str(one) for one in references(resource(message))] == wanted


def test_bytes_that_are_no_message_refer_to_nothing():
    assert references(Resource(CDS, "c", "1", b"\x10\x03\x1a\xff")) == ()
    assert references(Resource(LDS, "l", "1", b"\xff\xff")) == ()
    assert references(Resource(EDS, "e", "1", b"")) == ()


def test_a_reference_reads_well():
    assert str(Reference(CDS, "svc/shop/orders")) == "CDS 'svc/shop/orders'"
