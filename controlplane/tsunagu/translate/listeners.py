"""LDS: the listeners at which a proxy accepts connections from its app (capture, aliases) and to its app (ingress).

Envoy closes connections through a changed or removed listener after its drain time. The one rule: a listener's bytes are
constant for the life of its alias (or of its service revision), so an alias listener contains nothing that may be tuned.
For the same reason only the ingress has tcp's idle timeout, which ends both halves of a connection (docs/adr/0008).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Final

from envoy_data_plane.envoy.config.core import v3 as core_v3
from envoy_data_plane.envoy.config.listener import v3 as listener_v3
from envoy_data_plane.envoy.extensions.filters.http.fault import v3 as fault_v3
from envoy_data_plane.envoy.extensions.filters.http.router import v3 as router_v3
from envoy_data_plane.envoy.extensions.filters.listener.original_dst import v3 as original_dst_v3
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager import v3 as hcm_v3
from envoy_data_plane.envoy.extensions.filters.network.tcp_proxy import v3 as tcp_v3

from tsunagu.translate import access_logs, egress_logs, flagged, names, routes, rules, tracing
from tsunagu.translate.clusters import ads, socket_address
from tsunagu.translate.codec import pack
from tsunagu.translate.secured import access, tls
from tsunagu.xds.resources import LDS

if TYPE_CHECKING:
    import betterproto2
    from envoy_data_plane.google.protobuf import Any

    from tsunagu.mesh.rows import PortRow, RevisionRow
    from tsunagu.mesh.view import View
    from tsunagu.translate.codec import Codec
    from tsunagu.xds.resources import Resource

CAPTURE_IP: Final = "127.0.0.1"
CAPTURE_PORT: Final = 15001
# The caller's proxy closes an idle connection first, so that it never sends a request into one that is being closed.
_IDLE_MARGIN: Final = 5
_HIDE: Final = hcm_v3.HttpConnectionManagerForwardClientCertDetails.SANITIZE
_TELL: Final = hcm_v3.HttpConnectionManagerForwardClientCertDetails.SANITIZE_SET
_CALLER: Final = hcm_v3.HttpConnectionManagerSetCurrentClientCertDetails(uri=True)
_CONNECT_ATTEMPTS: Final = 3  # per tcp connection: the first and Service Connect's two retries
# Of an External, one more than the failures in a row after which an endpoint is ejected: attempts choose anew, and may choose the same.
_ATTEMPTS_OUTSIDE: Final = 6


@dataclass(frozen=True, slots=True)
class AliasListener:
    """The inputs of an alias's listener. `discovery_name` is set only for tcp: other protocols have a route for it. `born`
    is in no byte of it: masks end at a birth. `traces`: it is for proxies that trace, and the protocol has requests.
    """

    namespace: str
    dns_name: str
    port: int
    ip: str
    discovery_name: str = ""
    born: int = 0
    traces: bool = False
    outside: bool = False  # it leads to an External by tcp


def inputs(view: View, namespace: str, dns_name: str, port: int) -> AliasListener | None:
    """Return the inputs in a View; None if there is no such alias, or it has no virtual IP yet."""
    alias = view.alias(namespace, dns_name, port)
    if alias is None or not alias.ip:
        return None
    direct = alias.row.discovery_name if alias.row.protocol == "tcp" else ""
    outside = bool(direct) and alias.row.outside is not None
    return AliasListener(namespace, dns_name, port, alias.ip, direct, alias.born, outside=outside)


def traced(view: View, plain: AliasListener | None) -> AliasListener | None:
    """The inputs of the listener that an alias has beside its plain one, for proxies that trace; None if it needs no other."""
    if plain is None or plain.discovery_name or not view.traces(plain.namespace):
        return None
    return replace(plain, traces=True)


def build(codec: Codec, row: AliasListener) -> Resource:
    name = names.alias_listener(row.namespace, row.dns_name, row.port)
    return codec.resource(LDS, name, alias_listener(name, row), born=row.born)


def alias_listener(name: str, row: AliasListener) -> listener_v3.Listener:
    """The listener of an alias at its virtual IP. It binds no port: the capture listener hands it connections."""
    prefix = names.egress_stat_prefix(row.dns_name, row.port)
    return listener_v3.Listener(
        name=name,
        address=socket_address(row.ip, row.port),
        bind_to_port=False,
        traffic_direction=core_v3.TrafficDirection.OUTBOUND,
        # Calls of the app must not be drained while its own task drains.
        drain_type=listener_v3.ListenerDrainType.MODIFY_ONLY,
        filter_chains=[
            _chain(_egress_tcp(prefix, row) if row.discovery_name else _egress_http(prefix, name, row.traces))
        ],
    )


def capture(codec: Codec) -> Resource:
    """The listener that accepts every connection to a virtual IP, and hands it to the alias listener of that address."""
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
        filter_chains=[_chain(_tcp(_to_nobody()))],
    )
    return codec.resource(LDS, names.CAPTURE, listener)


def ingress(codec: Codec, revision: RevisionRow, port: PortRow) -> Resource:
    """The listener for one port of a task: callers' proxies connect to it, and so does whoever uses the container port."""
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


def tls_ingress(codec: Codec, revision: RevisionRow, port: PortRow) -> Resource:
    """The listener that takes TLS for one port of a task; otherwise as its plain one.

    A tcp connection reaches the app only after its caller has been let in: until then it would have the app's first bytes.
    """
    name = names.tls_ingress(revision.name, port.port_name)
    if port.protocol == "tcp":
        validation = names.admitted(revision.service, port.port_name)
        counting = access.network_filter(revision.service, port.port_name)
        filters = [counting, _ingress_tcp(revision, port, secured=True)]
    else:
        validation, filters = names.TRUST, [_ingress_http(name, revision, port, secured=True)]
    chain = listener_v3.FilterChain(filters=filters, transport_socket=tls.downstream(validation, port.protocol))
    listener = listener_v3.Listener(
        name=name,
        address=socket_address("0.0.0.0", port.tls_port),  # noqa: S104 - the task's own network namespace
        traffic_direction=core_v3.TrafficDirection.INBOUND,
        filter_chains=[chain],
    )
    return codec.resource(LDS, name, listener)


# -- filters ----------------------------------------------------------------------------------------------------------


def _egress_http(prefix: str, route: str, traces: bool) -> listener_v3.Filter:
    return http(
        hcm_v3.HttpConnectionManager(
            stat_prefix=prefix,
            rds=_rds(route),
            access_log=[egress_logs.http(), flagged.egress()],
            tracing=tracing.tracer() if traces else None,
        ),
        fault_filter(),
    )


def _rds(name: str) -> hcm_v3.Rds:
    return hcm_v3.Rds(config_source=ads(), route_config_name=name)


def _egress_tcp(prefix: str, row: AliasListener) -> listener_v3.Filter:
    return _tcp(
        tcp_v3.TcpProxy(
            stat_prefix=prefix,
            cluster=names.service_cluster(row.namespace, row.discovery_name),
            idle_timeout=timedelta(0),
            max_connect_attempts=_ATTEMPTS_OUTSIDE if row.outside else _CONNECT_ATTEMPTS,
            access_log=[egress_logs.tcp(), flagged.egress()],
        )
    )


def _to_nobody() -> tcp_v3.TcpProxy:
    """The filter for connections to an address that is no alias: they are closed, counted, and logged if asked for."""
    logs = [egress_logs.unoffered(), egress_logs.tcp()]
    return tcp_v3.TcpProxy(stat_prefix=names.CAPTURE, cluster=names.BLACKHOLE, access_log=logs)


def _ingress_http(name: str, revision: RevisionRow, port: PortRow, *, secured: bool = False) -> listener_v3.Filter:
    """The HTTP filter of an ingress: x-forwarded-for tells the app its caller, and the caller's request id is kept.

    With TLS, x-forwarded-client-cert tells it who the caller is; without, that header never reaches it.
    """
    cluster, route = (
        names.app_cluster(revision.name, port.port_name),
        names.ingress_listener(revision.name, port.port_name),
    )
    idle = port.idle_timeout + _IDLE_MARGIN if port.idle_timeout else 0
    return http(
        hcm_v3.HttpConnectionManager(
            stat_prefix=names.ingress_stat_prefix(port.port_name),
            route_config=None if revision.tracing else routes.ingress_route(name, cluster, port),
            rds=_rds(route) if revision.tracing else None,
            tracing=tracing.tracer() if revision.tracing else None,
            common_http_protocol_options=core_v3.HttpProtocolOptions(
                idle_timeout=timedelta(seconds=idle), max_connection_duration=tls.AGE if secured else None
            ),
            use_remote_address=True,
            xff_num_trusted_hops=1,  # x-forwarded-proto is that of the caller's proxy: a gateway may have spoken TLS
            preserve_external_request_id=True,
            access_log=[*access_logs.build(port.protocol, revision.access_log), flagged.ingress(port.port_name)],
            proxy_status_config=flagged.proxy_status(),
            forward_client_cert_details=_TELL if secured else _HIDE,
            set_current_client_cert_details=_CALLER if secured else None,
        ),
        *([flagged.grpc_stats()] if port.protocol == "grpc" else []),
        *([access.http_filter(revision.service, port.port_name)] if secured else []),
    )


def _ingress_tcp(revision: RevisionRow, port: PortRow, *, secured: bool = False) -> listener_v3.Filter:
    proxy = tcp_v3.TcpProxy(
        stat_prefix=names.ingress_stat_prefix(port.port_name),
        cluster=names.app_cluster(revision.name, port.port_name),
        idle_timeout=timedelta(seconds=port.idle_timeout),
        access_log=[*access_logs.build("tcp", revision.access_log), flagged.ingress(port.port_name)],
    )
    if secured:
        proxy.upstream_connect_mode = tcp_v3.UpstreamConnectMode.ON_DOWNSTREAM_TLS_HANDSHAKE
        proxy.max_early_data_bytes = 0
        proxy.max_downstream_connection_duration = tls.TCP_AGE
    return _tcp(proxy)


def http(manager: hcm_v3.HttpConnectionManager, *more: hcm_v3.HttpFilter) -> listener_v3.Filter:
    """Add what every HTTP listener has: WebSocket upgrades and the router, behind `more` filters. It speaks HTTP/1.1 and HTTP/2."""
    manager.upgrade_configs = [hcm_v3.HttpConnectionManagerUpgradeConfig(upgrade_type="websocket")]
    manager.http_filters = [*more, router_filter()]
    return _filter("envoy.filters.network.http_connection_manager", manager)


def fault_filter() -> hcm_v3.HttpFilter:
    """The filter that delays and aborts requests as their route says. It is always there, so that no fault touches a listener."""
    return hcm_v3.HttpFilter(name=rules.FAULT_FILTER, typed_config=_fault())


def router_filter() -> hcm_v3.HttpFilter:
    """The filter that forwards a request; every HTTP listener has it, as its last."""
    return hcm_v3.HttpFilter(name="envoy.filters.http.router", typed_config=_router())


@cache
def _fault() -> Any:
    return pack(fault_v3.HttpFault())


@cache
def _router() -> Any:
    return pack(router_v3.Router())


def _tcp(proxy: tcp_v3.TcpProxy) -> listener_v3.Filter:
    return _filter("envoy.filters.network.tcp_proxy", proxy)


def _filter(name: str, config: betterproto2.Message) -> listener_v3.Filter:
    return listener_v3.Filter(name=name, typed_config=pack(config))


def _chain(last: listener_v3.Filter) -> listener_v3.FilterChain:
    return listener_v3.FilterChain(filters=[last])
