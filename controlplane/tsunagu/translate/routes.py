"""RDS: the cluster to which requests to an alias go, with their timeouts and retries.

All that may change during the life of an alias is in its route and its cluster, so that its listener never changes. The
one rule: a route configuration has the name of its listener.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Final

from envoy_data_plane.envoy.config.route import v3 as route_v3
from envoy_data_plane.envoy.extensions.retry.host.previous_hosts import v3 as previous_hosts_v3
from envoy_data_plane.envoy.extensions.retry.priority.previous_priorities import v3 as previous_priorities_v3

from tsunagu.translate import names, tracing
from tsunagu.translate.codec import pack
from tsunagu.xds.resources import RDS

if TYPE_CHECKING:
    from envoy_data_plane.google.protobuf import Any

    from tsunagu.mesh.rows import PortRow, RevisionRow
    from tsunagu.mesh.view import View
    from tsunagu.translate.codec import Codec
    from tsunagu.xds.resources import Resource

# Service Connect's retry conditions are not published. These are what its users report
# (github.com/aws/containers-roadmap/issues/1963) and App Mesh's (its User Guide, Envoy defaults).
_RETRY_ON: Final = "connect-failure,refused-stream,reset,retriable-status-codes"
_RETRY_ON_GRPC: Final = _RETRY_ON + ",unavailable"
_RETRIES: Final = 2
_HOST_ATTEMPTS: Final = 3  # how often to pick again if the host has just been tried


@dataclass(frozen=True, slots=True)
class AliasRoute:
    """The inputs of an alias's route. Timeouts in seconds, 0: none. `sampling`: percent; None if no proxy traces."""

    namespace: str
    dns_name: str
    port: int
    discovery_name: str
    grpc: bool
    request_timeout: int
    idle_timeout: int
    zoned: bool = False  # some endpoints are preferred to others: a retry goes to the others
    born: int = 0
    sampling: float | None = None


def inputs(view: View, namespace: str, dns_name: str, port: int) -> AliasRoute | None:
    """Return the inputs in a View; None if there is no such alias, it has no virtual IP yet, or it is tcp."""
    alias = view.alias(namespace, dns_name, port)
    if alias is None or not alias.ip or alias.row.protocol == "tcp":
        return None
    row = alias.row
    return AliasRoute(
        namespace,
        dns_name,
        port,
        discovery_name=row.discovery_name,
        grpc=row.protocol == "grpc",
        request_timeout=row.request_timeout,
        idle_timeout=row.idle_timeout,
        zoned=bool(view.zones()),
        born=alias.born,
        sampling=view.sampling(namespace, row.discovery_name),
    )


def build(codec: Codec, row: AliasRoute) -> Resource:
    name = names.alias_listener(row.namespace, row.dns_name, row.port)
    return codec.resource(RDS, name, alias_route(name, row), born=row.born)


def alias_route(name: str, row: AliasRoute) -> route_v3.RouteConfiguration:
    """A route of all requests to the alias's discovery name, with Service Connect's retries."""
    cluster = names.service_cluster(row.namespace, row.discovery_name)
    action = _action(cluster, row.request_timeout, row.idle_timeout)
    action.retry_policy = _retries(grpc=row.grpc, zoned=row.zoned)
    return _everything(name, action, row.sampling)


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


def _retries(*, grpc: bool, zoned: bool) -> route_v3.RetryPolicy:
    predicate = route_v3.RetryPolicyRetryHostPredicate(
        name="envoy.retry_host_predicates.previous_hosts", typed_config=_previous_hosts()
    )
    return route_v3.RetryPolicy(
        retry_on=_RETRY_ON_GRPC if grpc else _RETRY_ON,
        retriable_status_codes=[503],
        num_retries=_RETRIES,
        retry_host_predicate=[predicate],
        host_selection_retry_max_attempts=_HOST_ATTEMPTS,
        retry_priority=route_v3.RetryPolicyRetryPriority(
            name="envoy.retry_priorities.previous_priorities", typed_config=_previous_priorities()
        )
        if zoned
        else None,
    )


@cache
def _previous_hosts() -> Any:
    return pack(previous_hosts_v3.PreviousHostsPredicate())


@cache
def _previous_priorities() -> Any:
    """Otherwise a retry picks among the endpoints of the preferred zone again, though all of them may be dead."""
    return pack(previous_priorities_v3.PreviousPrioritiesConfig(update_frequency=1))


def _everything(name: str, action: route_v3.RouteAction, sampling: float | None) -> route_v3.RouteConfiguration:
    route = route_v3.Route(match=route_v3.RouteMatch(prefix="/"), route=action)
    every = [route] if sampling is None else tracing.sampled(route, sampling)
    host = route_v3.VirtualHost(name="all", domains=["*"], routes=every)
    return route_v3.RouteConfiguration(name=name, virtual_hosts=[host])
