"""LDS and RDS for gRPC's own xDS clients: each http2 or grpc alias under the name that `xds:///NAME:PORT` asks for.

Such a client is no proxy: it reads the route, picks an endpoint of the namespace's cluster and calls it itself, through
the ingress of the task that serves. The one rule: only what every gRPC library supports is in here (`xds.grpc_rules`).
Clusters and endpoints are those that Envoys have.
"""

from __future__ import annotations

from dataclasses import dataclass
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
    from tsunagu.translate.codec import Codec
    from tsunagu.xds.resources import Resource

_PROTOCOLS: Final = frozenset({"http2", "grpc"})
_RETRIES: Final = 2  # Service Connect's; of its triggers gRPC knows this one (A44)
_RETRY_ON: Final = "unavailable"


@dataclass(frozen=True, slots=True)
class GrpcRoute:
    """What the route of an alias is made of. `request_timeout` in seconds, 0: none."""

    namespace: str
    dns_name: str
    port: int
    discovery_name: str
    request_timeout: int


def inputs(view: View, namespace: str, dns_name: str, port: int) -> GrpcRoute | None:
    """None: no such alias, or one that a gRPC client cannot speak to. It needs no virtual address."""
    alias = view.alias(namespace, dns_name, port)
    if alias is None or alias.facts.protocol not in _PROTOCOLS:
        return None
    return GrpcRoute(namespace, dns_name, port, alias.facts.discovery_name, alias.facts.request_timeout)


def listener(codec: Codec, namespace: str, dns_name: str, port: int) -> Resource:
    """An api_listener: nothing is bound anywhere, it only says how the name is routed."""
    name = names.grpc_listener(dns_name, port)
    manager = hcm_v3.HttpConnectionManager(
        rds=hcm_v3.Rds(config_source=ads(), route_config_name=names.grpc_route(namespace, dns_name, port)),
        http_filters=[router_filter()],
    )
    api = listener_v3.ApiListener(api_listener=pack(manager))
    return codec.resource(LDS, name, listener_v3.Listener(name=name, api_listener=api))


def route(codec: Codec, wanted: GrpcRoute) -> Resource:
    """Everything to the discovery name. gRPC ignores a route's `timeout`: what it keeps is the whole call's (A31)."""
    action = route_v3.RouteAction(
        cluster=names.service_cluster(wanted.namespace, wanted.discovery_name),
        retry_policy=route_v3.RetryPolicy(retry_on=_RETRY_ON, num_retries=_RETRIES),
    )
    if wanted.request_timeout:
        limit = timedelta(seconds=wanted.request_timeout)
        action.max_stream_duration = route_v3.RouteActionMaxStreamDuration(max_stream_duration=limit)
    everything = route_v3.Route(match=route_v3.RouteMatch(prefix="/"), route=action)
    host = route_v3.VirtualHost(name="all", domains=["*"], routes=[everything])
    name = names.grpc_route(wanted.namespace, wanted.dns_name, wanted.port)
    return codec.resource(RDS, name, route_v3.RouteConfiguration(name=name, virtual_hosts=[host]))
