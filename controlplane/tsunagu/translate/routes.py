"""RDS: the rules for the requests to an alias, and the one of an ingress.

All that may change during the life of an alias is in its route and its cluster, so that its listener never changes. The
one rule: a route configuration has the name of its listener.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from envoy_data_plane.envoy.config.route import v3 as route_v3

from tsunagu.translate import names, rules, tracing
from tsunagu.xds.resources import RDS

if TYPE_CHECKING:
    from tsunagu.mesh.rows import PortRow, RevisionRow
    from tsunagu.mesh.traffic.model import Rule
    from tsunagu.mesh.view import View
    from tsunagu.translate.codec import Codec
    from tsunagu.xds.resources import Resource


@dataclass(frozen=True, slots=True)
class AliasTable:
    """The inputs of an alias's route: its rules, all settled. `sampling`: percent; None if no proxy traces."""

    namespace: str
    dns_name: str
    port: int
    rules: tuple[Rule, ...]
    zoned: bool = False  # some endpoints are preferred to others: a retry goes to the others
    born: int = 0
    sampling: float | None = None


def inputs(view: View, namespace: str, dns_name: str, port: int) -> AliasTable | None:
    """Return the inputs in a View; None if there is no such alias, it has no virtual IP yet, or it is tcp."""
    alias = view.alias(namespace, dns_name, port)
    if alias is None or not alias.ip or alias.row.protocol == "tcp":
        return None
    return AliasTable(
        namespace,
        dns_name,
        port,
        rules=view.table(alias),
        zoned=bool(view.zones()),
        born=alias.born,
        sampling=view.sampling(namespace, alias.row.discovery_name),
    )


def build(codec: Codec, row: AliasTable) -> Resource:
    name = names.alias_listener(row.namespace, row.dns_name, row.port)
    return codec.resource(RDS, name, alias_table(name, row), born=row.born)


def alias_table(name: str, row: AliasTable) -> route_v3.RouteConfiguration:
    """The routes of an alias: those of its rules, in their order."""
    made = [route for rule in row.rules for route in rules.routes(row.namespace, rule, zoned=row.zoned)]
    return _configuration(name, made, row.sampling)


def ingress_route(name: str, cluster: str, port: PortRow, sampling: float | None = None) -> route_v3.RouteConfiguration:
    """A route of all requests to the app. No retries: the caller's proxy can try another task."""
    return _everything(name, _action(cluster, port.request_timeout, port.idle_timeout), sampling)


def traced_ingress(codec: Codec, revision: RevisionRow, port: PortRow, sampling: float) -> Resource:
    """The route of an ingress that traces. It is no part of the listener, so that `sampling` may change."""
    name = names.ingress_listener(revision.name, port.port_name)
    cluster = names.app_cluster(revision.name, port.port_name)
    return codec.resource(RDS, name, ingress_route(name, cluster, port, sampling))


def _action(cluster: str, request_timeout: int, idle_timeout: int) -> route_v3.RouteAction:
    return route_v3.RouteAction(
        cluster=cluster,
        timeout=timedelta(seconds=request_timeout),
        idle_timeout=timedelta(seconds=idle_timeout),
    )


def _everything(name: str, action: route_v3.RouteAction, sampling: float | None) -> route_v3.RouteConfiguration:
    route = route_v3.Route(match=route_v3.RouteMatch(prefix="/"), route=action)
    return _configuration(name, [route], sampling)


def _configuration(name: str, made: list[route_v3.Route], sampling: float | None) -> route_v3.RouteConfiguration:
    every = made if sampling is None else [one for route in made for one in tracing.sampled(route, sampling)]
    host = route_v3.VirtualHost(name="all", domains=["*"], routes=every)
    return route_v3.RouteConfiguration(name=name, virtual_hosts=[host])
