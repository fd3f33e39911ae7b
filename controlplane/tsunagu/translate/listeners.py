"""LDS: where a proxy takes connections: from its app (capture and aliases) and for it (ingress).

Envoy cuts what runs through a changed or removed listener after its drain time. The one rule: a listener's bytes are
constant for the life of its alias (or of its service revision), so nothing that may be tuned is in an alias listener.
That is also why tcp's idle timeout is kept by the ingress alone (docs/adr on it): it ends both halves.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Final

from envoy_data_plane.envoy.config.core import v3 as core_v3
from envoy_data_plane.envoy.config.listener import v3 as listener_v3
from envoy_data_plane.envoy.extensions.filters.http.router import v3 as router_v3
from envoy_data_plane.envoy.extensions.filters.listener.original_dst import v3 as original_dst_v3
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager import v3 as hcm_v3
from envoy_data_plane.envoy.extensions.filters.network.tcp_proxy import v3 as tcp_v3

from tsunagu.translate import access_logs, names, routes
from tsunagu.translate.clusters import ads, socket_address
from tsunagu.translate.codec import pack
from tsunagu.xds.resources import LDS

if TYPE_CHECKING:
    import betterproto2
    from envoy_data_plane.google.protobuf import Any

    from tsunagu.mesh.rows import PortFacts, RevisionFacts
    from tsunagu.mesh.view import View
    from tsunagu.translate.codec import Codec
    from tsunagu.xds.resources import Resource

CAPTURE_IP: Final = "127.0.0.1"
CAPTURE_PORT: Final = 15001
# Callers' proxies drop an idle connection first, so that none sends a request into one that is just being closed.
_IDLE_MARGIN: Final = 5
_CONNECT_ATTEMPTS: Final = 3  # of a tcp connection: one, and Service Connect's two retries


@dataclass(frozen=True, slots=True)
class AliasListener:
    """What the listener of an alias is made of. `discovery_name` only of tcp: requests find theirs by the route."""

    namespace: str
    dns_name: str
    port: int
    ip: str
    discovery_name: str = ""


def inputs(view: View, namespace: str, dns_name: str, port: int) -> AliasListener | None:
    """None: no such alias, or no address for it yet."""
    alias = view.alias(namespace, dns_name, port)
    if alias is None or not alias.ip:
        return None
    direct = alias.facts.discovery_name if alias.facts.protocol == "tcp" else ""
    return AliasListener(namespace, dns_name, port, alias.ip, direct)


def build(codec: Codec, wanted: AliasListener) -> Resource:
    name = names.alias_listener(wanted.namespace, wanted.dns_name, wanted.port)
    return codec.resource(LDS, name, alias_listener(name, wanted))


def alias_listener(name: str, wanted: AliasListener) -> listener_v3.Listener:
    """The alias at its virtual IP. Not bound: connections come from the capture listener by their destination."""
    prefix = names.egress_stat_prefix(wanted.dns_name, wanted.port)
    return listener_v3.Listener(
        name=name,
        address=socket_address(wanted.ip, wanted.port),
        bind_to_port=False,
        traffic_direction=core_v3.TrafficDirection.OUTBOUND,
        # What the app still calls while its own task drains must not be told to go away.
        drain_type=listener_v3.ListenerDrainType.MODIFY_ONLY,
        filter_chains=[_chain(_egress_tcp(prefix, wanted) if wanted.discovery_name else _egress_http(prefix, name))],
    )


def capture(codec: Codec) -> Resource:
    """Takes every connection to a virtual IP and hands it to the alias listener of its destination."""
    listener = listener_v3.Listener(
        name=names.CAPTURE,
        address=socket_address(CAPTURE_IP, CAPTURE_PORT),
        use_original_dst=True,
        traffic_direction=core_v3.TrafficDirection.OUTBOUND,
        drain_type=listener_v3.ListenerDrainType.MODIFY_ONLY,
        listener_filters=[
            listener_v3.ListenerFilter(
                name="envoy.filters.listener.original_dst", typed_config=pack(original_dst_v3.OriginalDst())
            )
        ],
        filter_chains=[_chain(_tcp(tcp_v3.TcpProxy(stat_prefix=names.CAPTURE, cluster=names.BLACKHOLE)))],
    )
    return codec.resource(LDS, names.CAPTURE, listener)


def ingress(codec: Codec, revision: RevisionFacts, port: PortFacts) -> Resource:
    """Where other tasks' proxies (and anyone at its container port) reach one port of a task."""
    name = names.ingress_listener(revision.name, port.port_name)
    listener = listener_v3.Listener(
        name=name,
        address=socket_address("0.0.0.0", port.ingress_port),  # noqa: S104 - the task's own network namespace
        traffic_direction=core_v3.TrafficDirection.INBOUND,
        filter_chains=[
            _chain(_ingress_tcp(revision, port) if port.protocol == "tcp" else _ingress_http(name, revision, port))
        ],
    )
    return codec.resource(LDS, name, listener)


# -- filters ----------------------------------------------------------------------------------------------------------


def _egress_http(prefix: str, route: str) -> listener_v3.Filter:
    return _http(
        hcm_v3.HttpConnectionManager(
            stat_prefix=prefix,
            rds=hcm_v3.Rds(config_source=ads(), route_config_name=route),
        )
    )


def _egress_tcp(prefix: str, wanted: AliasListener) -> listener_v3.Filter:
    return _tcp(
        tcp_v3.TcpProxy(
            stat_prefix=prefix,
            cluster=names.service_cluster(wanted.namespace, wanted.discovery_name),
            idle_timeout=timedelta(0),
            max_connect_attempts=_CONNECT_ATTEMPTS,
        )
    )


def _ingress_http(name: str, revision: RevisionFacts, port: PortFacts) -> listener_v3.Filter:
    """The app learns its caller from x-forwarded-for, and the caller's request id is kept."""
    cluster = names.app_cluster(revision.name, port.port_name)
    idle = port.idle_timeout + _IDLE_MARGIN if port.idle_timeout else 0
    return _http(
        hcm_v3.HttpConnectionManager(
            stat_prefix=names.ingress_stat_prefix(port.port_name),
            route_config=routes.ingress_route(name, cluster, port.request_timeout, port.idle_timeout),
            common_http_protocol_options=core_v3.HttpProtocolOptions(idle_timeout=timedelta(seconds=idle)),
            use_remote_address=True,
            preserve_external_request_id=True,
            access_log=access_logs.build(port.protocol, revision.access_log),
        )
    )


def _ingress_tcp(revision: RevisionFacts, port: PortFacts) -> listener_v3.Filter:
    return _tcp(
        tcp_v3.TcpProxy(
            stat_prefix=names.ingress_stat_prefix(port.port_name),
            cluster=names.app_cluster(revision.name, port.port_name),
            idle_timeout=timedelta(seconds=port.idle_timeout),
            access_log=access_logs.build("tcp", revision.access_log),
        )
    )


def _http(manager: hcm_v3.HttpConnectionManager) -> listener_v3.Filter:
    """What every HTTP listener has: HTTP/1.1 or HTTP/2 as the caller speaks, WebSockets, the router."""
    manager.upgrade_configs = [hcm_v3.HttpConnectionManagerUpgradeConfig(upgrade_type="websocket")]
    manager.http_filters = [router_filter()]
    return _filter("envoy.filters.network.http_connection_manager", manager)


def router_filter() -> hcm_v3.HttpFilter:
    """What sends a request on; the last of every HTTP listener's filters, and the only one."""
    return hcm_v3.HttpFilter(name="envoy.filters.http.router", typed_config=_router())


@cache
def _router() -> Any:
    return pack(router_v3.Router())


def _tcp(proxy: tcp_v3.TcpProxy) -> listener_v3.Filter:
    return _filter("envoy.filters.network.tcp_proxy", proxy)


def _filter(name: str, config: betterproto2.Message) -> listener_v3.Filter:
    return listener_v3.Filter(name=name, typed_config=pack(config))


def _chain(last: listener_v3.Filter) -> listener_v3.FilterChain:
    return listener_v3.FilterChain(filters=[last])
