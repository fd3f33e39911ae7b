"""LDS and RDS for gRPC's own xDS clients: each http2 or grpc alias, under the name that `xds:///NAME:PORT` asks for.

Such a client needs no proxy: it reads the route, picks an endpoint of the namespace's cluster and calls it directly, at the
ingress of the serving task. The one rule: these resources use only features that every gRPC library supports
(`xds.bodies.grpc_rules`). Clusters and endpoints are the same as for Envoys.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from envoy_data_plane.envoy.config.listener import v3 as listener_v3
from envoy_data_plane.envoy.config.route import v3 as route_v3
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager import v3 as hcm_v3

from tsunagu.translate import names
from tsunagu.translate.clusters import ads
from tsunagu.translate.codec import pack
from tsunagu.translate.listeners import router_filter
from tsunagu.xds.resources import LDS, RDS

if TYPE_CHECKING:
    from tsunagu.mesh.view import View
    from tsunagu.translate.clusters import ServiceCluster
    from tsunagu.translate.codec import Codec
    from tsunagu.xds.resources import Resource

_PROTOCOLS: Final = frozenset({"http2", "grpc"})
_RETRIES: Final = 2  # Service Connect's number; of its retry conditions gRPC supports this one (gRFC A44)
_RETRY_ON: Final = "unavailable"


@dataclass(frozen=True, slots=True)
class GrpcRoute:
    """The inputs of an alias's route. `request_timeout` in seconds, 0: none."""

    namespace: str
    dns_name: str
    port: int
    discovery_name: str
    request_timeout: int
    born: int = 0


@dataclass(frozen=True, slots=True)
class GrpcAlias:
    """The inputs of an alias's listener: nothing that changes while the alias exists."""

    namespace: str
    dns_name: str
    port: int
    born: int = 0


def inputs(view: View, namespace: str, dns_name: str, port: int) -> GrpcRoute | None:
    """Return the inputs in a View; None if there is no such alias, gRPC cannot speak its protocol, or it takes TLS alone:
    these clients have no identity.

    Unlike an Envoy, a gRPC client needs no virtual IP. Externals are for proxies: gRPC knows neither DNS clusters nor this TLS.
    """
    alias = view.alias(namespace, dns_name, port)
    if alias is None or alias.row.protocol not in _PROTOCOLS or alias.row.outside is not None:
        return None
    if view.strict(namespace, alias.row):
        return None
    return GrpcRoute(namespace, dns_name, port, alias.row.discovery_name, alias.row.request_timeout, alias.born)


def alias_of(row: GrpcRoute | None) -> GrpcAlias | None:
    """The part of a route's inputs that its listener is made from."""
    return None if row is None else GrpcAlias(row.namespace, row.dns_name, row.port, row.born)


def plain_cluster(row: ServiceCluster | None) -> ServiceCluster | None:
    """The inputs of the cluster that these clients see in place of one with TLS, which they would refuse; None if it has none."""
    return replace(row, peers=()) if row is not None and row.peers else None


def listener(codec: Codec, alias: GrpcAlias) -> Resource:
    """An API listener: it binds no port and only says by which route configuration calls are routed."""
    name = names.grpc_listener(alias.dns_name, alias.port)
    route = names.grpc_route(alias.namespace, alias.dns_name, alias.port)
    manager = hcm_v3.HttpConnectionManager(
        rds=hcm_v3.Rds(config_source=ads(), route_config_name=route),
        http_filters=[router_filter()],
    )
    api = listener_v3.ApiListener(api_listener=pack(manager))
    return codec.resource(LDS, name, listener_v3.Listener(name=name, api_listener=api), born=alias.born)


def route(codec: Codec, row: GrpcRoute) -> Resource:
    """A route of all calls to the discovery name. gRPC ignores a route's `timeout`, but honours the maximal duration of
    the whole call (gRFC A31).
    """
    action = route_v3.RouteAction(
        cluster=names.service_cluster(row.namespace, row.discovery_name),
        retry_policy=route_v3.RetryPolicy(retry_on=_RETRY_ON, num_retries=_RETRIES),
    )
    if row.request_timeout:
        limit = timedelta(seconds=row.request_timeout)
        action.max_stream_duration = route_v3.RouteActionMaxStreamDuration(max_stream_duration=limit)
    everything = route_v3.Route(match=route_v3.RouteMatch(prefix="/"), route=action)
    host = route_v3.VirtualHost(name="all", domains=["*"], routes=[everything])
    name = names.grpc_route(row.namespace, row.dns_name, row.port)
    return codec.resource(RDS, name, route_v3.RouteConfiguration(name=name, virtual_hosts=[host]), born=row.born)
