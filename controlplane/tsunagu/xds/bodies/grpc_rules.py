"""What gRPC's own xDS clients refuse, or silently ignore, of what Envoy accepts; to be known before it is sent.

Rule: each problem was observed with grpcio (tests/e2e/test_grpc_rules.py provokes it), and its text names the field.
Sources: gRFC A27, A28, A29, A36, A39, A41, A44; docs/protocol.md 13.
"""

from __future__ import annotations

from collections import Counter
from ipaddress import ip_address
from typing import TYPE_CHECKING

from tsunagu.xds.bodies.peek import Peek
from tsunagu.xds.bodies.references import HCM, over_ads
from tsunagu.xds.resources import CDS, EDS, LDS, RDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tsunagu.xds.resources import Resource

_UINT32 = 0xFFFFFFFF
_EDS_TYPE, _LOGICAL_DNS = 3, 2
_BALANCERS = {0: "ROUND_ROBIN", 2: "RING_HASH", 7: "LOAD_BALANCING_POLICY_CONFIG"}
_ROUTER = "envoy.extensions.filters.http.router.v3.Router"
_FILTERS = frozenset(
    {
        _ROUTER,
        "envoy.extensions.filters.http.fault.v3.HTTPFault",
        "envoy.extensions.filters.http.rbac.v3.RBAC",
        "envoy.extensions.filters.http.stateful_session.v3.StatefulSession",
        "envoy.extensions.filters.http.gcp_authn.v3.GcpAuthnFilterConfig",
    }
)
_UPSTREAM_TLS = "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"


def problems(resource: Resource) -> tuple[str, ...]:
    """Return why a gRPC client would refuse the resource, or ignore a part of it; empty: it accepts all of it.

    A listener without `api_listener` is checked as one for a gRPC server (A36).
    """
    check = _CHECKS.get(resource.type_url)
    return tuple(check(Peek(resource.body))) if check else ()


# -- listeners --------------------------------------------------------------------------------------------------------


def _listener(listener: Peek) -> Iterator[str]:
    if not listener.has(19):
        yield from _server(listener)
        return
    manager = listener(19, 1).any(HCM)
    if not manager.present:
        yield "api_listener is no HttpConnectionManager"
        return
    yield from _manager(manager)


def _server(listener: Peek) -> Iterator[str]:
    at = listener(2, 1)
    address = f"[{at.text(2)}]:{at.number(3)}" if ":" in at.text(2) else f"{at.text(2)}:{at.number(3)}"
    if not at.present:
        yield "it has neither an api_listener (for clients) nor an address.socket_address (for servers)"
    elif address not in listener.text(1):
        yield f"its address is {address}, and a server asks for the one that it listens at, by name"
    if listener.has(9):
        yield "listener_filters are not supported"
    if listener.number(4, 1):
        yield "use_original_dst is not supported"
    chains = [*listener.every(3), *listener.every(25)]
    if not chains:
        yield "it has no filter chain"
    for chain in chains:
        managers = [config.any(HCM) for config in chain.every(3, 4)]
        if len(managers) != 1 or not managers[0].present:
            yield "a filter chain must have one filter, an HttpConnectionManager"
        else:
            yield from _manager(managers[0])


def _manager(manager: Peek) -> Iterator[str]:
    if manager.number(19):
        yield "xff_num_trusted_hops must be 0"
    if manager.has(46):
        yield "original_ip_detection_extensions must be empty"
    if manager.has(3):
        if not over_ads(manager(3, 1)):
            yield "rds.config_source must be ads or self"
        if not manager.text(3, 2):
            yield "rds.route_config_name is empty"
    elif manager.has(4):
        yield from _routes(manager(4))
    else:
        yield "the HttpConnectionManager has neither rds nor route_config"
    yield from _http_filters(manager.every(5))


def _http_filters(filters: list[Peek]) -> Iterator[str]:
    kinds = [_kind(one) for one in filters]
    known = [kind for kind, one in zip(kinds, filters, strict=True) if kind in _FILTERS or not one.number(6)]
    if not known or known[-1] != _ROUTER:
        yield "the last of http_filters must be the router"
    if _ROUTER in known[:-1]:
        yield "the router must be the last of http_filters"
    names = Counter(one.text(1) for one in filters)
    yield from (f"http_filters has {name!r} twice" for name, count in names.items() if count > 1)
    if "" in names:
        yield "a filter of http_filters has no name"
    for kind in known:
        if kind not in _FILTERS:
            yield f"the HTTP filter {kind or 'without a typed_config'} is not supported, and not is_optional"


def _kind(http_filter: Peek) -> str:
    return http_filter.text(4, 1).rpartition("/")[2]


# -- routes -----------------------------------------------------------------------------------------------------------


def _routes(configuration: Peek) -> Iterator[str]:
    for host in configuration.every(2):
        name = host.text(1)
        domains = [domain.string for domain in host.every(2)]
        if not domains:
            yield f"virtual host {name!r} has no domains"
        yield from (f"virtual host {name!r}: domain {domain!r} is no pattern" for domain in domains if not _is(domain))
        for number, route in enumerate(host.every(3)):
            yield from (f"route {number} of virtual host {name!r}: {problem}" for problem in _route(route))


def _is(domain: str) -> bool:
    """A name, or one whose first or last character alone is a star."""
    return bool(domain) and "*" not in domain[1:-1] and (domain.count("*") < 2)


def _route(route: Peek) -> Iterator[str]:
    match = route(1)
    if not match.has(1, 2, 10):
        yield "the match needs a prefix, a path or a safe_regex"
    if match.has(7):
        yield "it is ignored, for it matches query_parameters"
    for path in (*match.every(1), *match.every(2)):
        if path.string and not path.string.startswith("/"):
            yield f"it is ignored, for {path.string!r} does not begin with /"
    if route.has(2):
        yield from _action(route(2))
    elif not route.has(18):
        yield "calls fail on it: only route, and non_forwarding_action of servers, are supported"


def _action(action: Peek) -> Iterator[str]:
    if action.has(3):
        weights = [cluster.number(2, 1) for cluster in action.every(3, 1)]
        if not 0 < sum(weights) <= _UINT32:
            yield "the sum of weights must be greater than 0, and fit into 32 bits"
    elif action.has(2):
        yield "it is ignored, for it uses cluster_header"
    elif not action.text(1):
        yield "it leads to no cluster"
    retries = action(9)
    if retries.has(2) and not retries.number(2, 1):
        yield "retry_policy.num_retries must be greater than 0"
    if retries.has(8) and not retries(8).has(1):
        yield "retry_policy.retry_back_off needs a base_interval"


# -- clusters ---------------------------------------------------------------------------------------------------------


def _cluster(cluster: Peek) -> Iterator[str]:
    kind = cluster.number(2)
    if cluster.has(38):
        if cluster.text(38, 1) != "envoy.clusters.aggregate":
            yield "of cluster_type only envoy.clusters.aggregate is supported"
    elif kind == _EDS_TYPE:
        if not over_ads(cluster(3, 1)):
            yield "eds_cluster_config.eds_config must be ads or self"
    elif kind == _LOGICAL_DNS:
        if len(cluster.every(33, 2)) != 1 or len(cluster.every(33, 2, 2)) != 1:
            yield "a LOGICAL_DNS cluster needs one endpoint"
    else:
        yield "its type must be EDS, LOGICAL_DNS or aggregate"
    if not cluster.has(41) and cluster.number(6) not in _BALANCERS:
        yield f"lb_policy must be one of {', '.join(_BALANCERS.values())}"
    if cluster.has(42) and not cluster(42).has(5):
        yield "lrs_server must be self"
    for socket in cluster.every(24):
        yield from _tls(socket(3).any(_UPSTREAM_TLS))


def _tls(context: Peek) -> Iterator[str]:
    """CommonTlsContext; certificates come from providers named in the client's bootstrap, never by SDS (A29)."""
    if not context.present:
        yield "transport_socket must be an UpstreamTlsContext"
        return
    tls = context(1)
    for number, name in _NOT_OF_TLS.items():
        if tls.has(number):
            yield f"common_tls_context.{name} is not supported"
    validations = [*tls.every(3), *tls.every(8, 1)]
    if not (tls.has(12) or tls(8).has(4) or any(one.has(13, 17) for one in validations)):
        yield "common_tls_context names no ca_certificate_provider_instance"


_NOT_OF_TLS = {
    1: "tls_params",
    2: "tls_certificates",
    6: "tls_certificate_sds_secret_configs",
    7: "validation_context_sds_secret_config",
    13: "custom_handshaker",
}


# -- endpoints --------------------------------------------------------------------------------------------------------


def _assignment(assignment: Peek) -> Iterator[str]:
    localities = assignment.every(2)
    seen: set[tuple[int, str]] = set()
    weights: Counter[int] = Counter()
    for locality in localities:
        priority, weight = locality.number(5), locality.number(3, 1)
        where = _place(locality)
        weights[priority] += weight
        if not locality.has(1):
            yield f"locality {where} has no locality message"
        if not weight:
            yield f"locality {where} is ignored, for it has no load_balancing_weight"
        if (priority, where) in seen:
            yield f"locality {where} is twice in priority {priority}"
        seen.add((priority, where))
    yield from _priorities(weights)
    yield from _endpoints(endpoint for locality in localities for endpoint in locality.every(2))


def _place(locality: Peek) -> str:
    return "/".join(locality.text(1, number) or "-" for number in (1, 2, 3))


def _priorities(weights: Counter[int]) -> Iterator[str]:
    if sorted(weights) != list(range(len(weights))):
        yield f"priorities must be 0 to N without gaps, and are {', '.join(map(str, sorted(weights)))}"
    yield from (
        f"the weights of priority {priority} do not fit into 32 bits"
        for priority, weight in weights.items()
        if weight > _UINT32
    )


def _endpoints(endpoints: Iterable[Peek]) -> Iterator[str]:
    seen: set[tuple[str, int]] = set()
    for endpoint in endpoints:
        socket = endpoint(1, 1, 1)
        address, port = socket.text(2), socket.number(3)
        if not socket.present:
            yield "an endpoint has no socket_address"
            continue
        if not _is_ip(address):
            yield f"endpoint address {address!r} is no IP"
        if port > 65535:
            yield f"endpoint port {port} is greater than 65535"
        if (address, port) in seen:
            yield f"endpoint {address}:{port} is there twice"
        seen.add((address, port))
        if endpoint.has(4) and not endpoint.number(4, 1):
            yield f"the weight of endpoint {address}:{port} must be greater than 0"


def _is_ip(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


_CHECKS: dict[str, Callable[[Peek], Iterator[str]]] = {LDS: _listener, RDS: _routes, CDS: _cluster, EDS: _assignment}
