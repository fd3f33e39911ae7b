"""The ports of a gateway that take Routes: a listener for each, and one table by host and path for all of them.

A gateway's relay accepts at the machine's port and connects to the same port of 127.0.0.1 within the task, where its Envoy
listens. The one rule: Routes are in the table, so that only a change of the Gateway itself touches a listener. What no Route
takes is answered with 404.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from envoy_data_plane.envoy.config.core import v3 as core_v3
from envoy_data_plane.envoy.config.listener import v3 as listener_v3
from envoy_data_plane.envoy.config.route import v3 as route_v3
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager import v3 as hcm_v3
from envoy_data_plane.envoy.extensions.transport_sockets.tls import v3 as tls_v3

from tsunagu.translate import access_logs, listeners, names, rules
from tsunagu.translate.clusters import ads, socket_address
from tsunagu.translate.codec import pack
from tsunagu.xds.resources import LDS, RDS

if TYPE_CHECKING:
    from tsunagu.mesh.rows import AccessLog
    from tsunagu.mesh.traffic.model import Rule
    from tsunagu.mesh.view import View
    from tsunagu.translate.codec import Codec
    from tsunagu.xds.resources import Resource


@dataclass(frozen=True, slots=True)
class GatewayListener:
    """The inputs of one port's listener."""

    gateway: str
    port: int
    tls: bool
    access_log: AccessLog | None


@dataclass(frozen=True, slots=True)
class GatewayTable:
    """The inputs of a gateway's table: its rules in their order, each with its hosts (none: every host)."""

    gateway: str
    namespace: str
    rules: tuple[tuple[tuple[str, ...], Rule], ...]
    zoned: bool


def ports(view: View, gateway: str) -> dict[int, GatewayListener]:
    """The inputs of its listeners in a View, by port."""
    row = view.gateway(gateway)
    return {} if row is None else {port: GatewayListener(gateway, port, tls, row.access_log) for port, tls in row.ports}


def table(view: View, gateway: str) -> GatewayTable | None:
    """The inputs of its table in a View; None if no port takes Routes."""
    row = view.gateway(gateway)
    if row is None or not row.ports:
        return None
    return GatewayTable(gateway, row.namespace, view.gateway_routes(row), bool(view.zones()))


def build(codec: Codec, row: GatewayListener) -> Resource:
    name = names.gateway_listener(row.gateway, row.port)
    manager = hcm_v3.HttpConnectionManager(
        stat_prefix=names.gateway_stat_prefix(row.gateway, row.port),
        rds=hcm_v3.Rds(config_source=ads(), route_config_name=names.gateway_table(row.gateway)),
        use_remote_address=True,
        access_log=access_logs.build("http", row.access_log),
    )
    chain = listener_v3.FilterChain(
        filters=[listeners.http(manager, listeners.fault_filter())],
        transport_socket=_tls(row.port) if row.tls else None,
    )
    listener = listener_v3.Listener(
        name=name,
        address=socket_address("127.0.0.1", row.port),
        traffic_direction=core_v3.TrafficDirection.OUTBOUND,
        filter_chains=[chain],
    )
    return codec.resource(LDS, name, listener)


def build_table(codec: Codec, row: GatewayTable) -> Resource:
    """Routes by host: those of a host and those of every host, in their common order."""
    hosts = sorted({host for found, _ in row.rules for host in found})
    named = [_host(row, host) for host in hosts]
    name = names.gateway_table(row.gateway)
    configuration = route_v3.RouteConfiguration(
        name=name, virtual_hosts=[*named, _host(row, "*")], ignore_port_in_host_matching=True
    )
    return codec.resource(RDS, name, configuration)


def _host(row: GatewayTable, host: str) -> route_v3.VirtualHost:
    taken = [rule for hosts, rule in row.rules if not hosts or host in hosts]
    made = [route for rule in taken for route in rules.routes(row.namespace, rule, zoned=row.zoned)]
    return route_v3.VirtualHost(name="all" if host == "*" else host, domains=[host], routes=made)


@cache
def _tls(port: int) -> core_v3.TransportSocket:
    """The certificate is in files beside the proxy's own configuration: its node agent has put them there."""
    chain, key = names.certificate_files(port)
    certificate = tls_v3.TlsCertificate(
        certificate_chain=core_v3.DataSource(filename=chain), private_key=core_v3.DataSource(filename=key)
    )
    context = tls_v3.DownstreamTlsContext(
        common_tls_context=tls_v3.CommonTlsContext(tls_certificates=[certificate], alpn_protocols=["h2", "http/1.1"])
    )
    return core_v3.TransportSocket(name="envoy.transport_sockets.tls", typed_config=pack(context))
