"""Reads `kind: Route` and `kind: TrafficPolicy` into the model.

The one rule: every default of these kinds stands here or in the model; what is read was validated (`model.rules.traffic`),
so nothing is refused here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tsunagu.mesh.traffic import model as traffic

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from tsunagu.v1 import traffic_pb2

#: What App Mesh's events mean: (conditions, HTTP status codes). Source: App Mesh API Reference, HttpRetryPolicy.
_HTTP_EVENTS: Final[dict[str, tuple[tuple[str, ...], tuple[int, ...]]]] = {
    "server-error": ((), (500, 501, 502, 503, 504, 505, 506, 507, 508, 510, 511)),
    "gateway-error": ((), (502, 503, 504)),
    "client-error": ((), (409,)),
    "stream-error": (("refused-stream",), ()),
}
_TCP_EVENTS: Final = {"connection-error": "connect-failure"}
_RETRIES: Final = 2
_LAST: Final = 1000  # the priority of a route that has none
_TEST_HEADER: Final = "x-amzn-ecs-blue-green-test"


@dataclass(frozen=True, slots=True)
class Front:
    """Whose requests a route takes: those to an alias (`port` 0: at all of its ports), or those at a gateway."""

    dns_name: str = ""
    port: int = 0
    gateway: str = ""
    hosts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RouteRow:
    """One Route: its rule, and its place among those of its front."""

    namespace: str
    front: Front
    priority: int
    rule: traffic.Rule

    @property
    def order(self) -> tuple[int, str]:
        return self.priority, self.rule.name

    def destinations(self) -> Iterator[traffic.Destination]:
        """Where its requests, or copies of them, may go."""
        if isinstance(self.rule.action, traffic.Forward):
            yield from (target.to for target in self.rule.action.targets)
            if self.rule.action.mirror is not None:
                yield self.rule.action.mirror.to


def route(name: str, body: traffic_pb2.Route) -> RouteRow:
    """Return the row of a Route. `name`: NAMESPACE/NAME."""
    dns_name, _, port = body.alias.partition(":")
    return RouteRow(
        namespace=name.partition("/")[0],
        front=Front(dns_name, int(port or 0), body.gateway, tuple(body.hosts)),
        priority=body.priority if body.HasField("priority") else _LAST,
        rule=traffic.Rule(
            name=name,
            match=_match(body.match),
            action=_action(body.action),
            limits=_limits(body.timeout),
            retry=_retry(body.retry_policy) if body.HasField("retry_policy") else None,
            fault=_fault(body.fault) if body.HasField("fault") else None,
            request_headers=_headers(body.action.request_headers),
            response_headers=_headers(body.action.response_headers),
        ),
    )


def policy(body: traffic_pb2.TrafficPolicy) -> traffic.Policy:
    """Return what a TrafficPolicy says."""
    endpoints = traffic.EndpointPolicy(
        balancing=_balancing(body.load_balancing),
        pool=_pool(body.connection_pool),
        ejection=_ejection(body.outlier_detection),
        check=_check(body.health_check) if body.HasField("health_check") else None,
        budget=_budget(body.retry_budget) if body.HasField("retry_budget") else None,
    )
    requests = traffic.RequestPolicy(
        limits=_limits(body.timeout),
        retry=_retry(body.retry_policy) if body.HasField("retry_policy") else None,
        fault=_fault(body.fault) if body.HasField("fault") else None,
        hash_keys=tuple(map(_hash_key, body.load_balancing.hash_keys)),
    )
    return traffic.Policy(endpoints, requests)


def test_rule(name: str, header: str, value: str | None, to: traffic.Destination) -> traffic.Rule:
    """The rule by which test traffic of an alias goes to the revision that is tested. `name`: that of its service."""
    test = traffic.Condition(header or _TEST_HEADER, "present" if value is None else "exact", value or "")
    return traffic.Rule(
        traffic.Forward((traffic.Weighted(to),)), name=f"test/{name}", match=traffic.Match(headers=(test,))
    )


# -- rules ------------------------------------------------------------------------------------------------------------


def _match(body: traffic_pb2.RouteMatch) -> traffic.Match:
    kind, path = _path(body)
    return traffic.Match(
        path_kind=kind,
        path=path,
        method=body.method,
        headers=tuple(map(_test, (*body.headers, *body.metadata))),
        query=tuple(_value_test(one.name, one.match) for one in body.query_parameters),
    )


def _path(body: traffic_pb2.RouteMatch) -> tuple[str, str]:
    if body.method_name:
        return "exact", f"/{body.service_name}/{body.method_name}"
    if body.service_name:
        return "prefix", f"/{body.service_name}/"
    if body.path.regex:
        return "regex", body.path.regex
    return ("exact", body.path.exact) if body.path.exact else ("prefix", body.prefix or "/")


def _test(body: traffic_pb2.HeaderMatch) -> traffic.Condition:
    return _value_test(body.name, body.match, invert=body.invert)


def _value_test(name: str, body: traffic_pb2.ValueMatch, *, invert: bool = False) -> traffic.Condition:
    if body.HasField("range"):
        return traffic.Condition(name, "range", numbers=(body.range.start, body.range.end), invert=invert)
    if body.HasField("exact"):
        return traffic.Condition(name, "exact", body.exact, invert=invert)
    kind = next((kind for kind in ("prefix", "suffix", "regex") if getattr(body, kind)), "present")
    return traffic.Condition(name, kind, getattr(body, kind, ""), invert=invert)


def _action(body: traffic_pb2.RouteAction) -> traffic.Forward | traffic.Redirect | traffic.Answer:
    if body.HasField("redirect"):
        one = body.redirect
        status = one.status_code if one.HasField("status_code") else 301
        return traffic.Redirect(one.scheme, one.host, one.port, one.path, one.prefix, status, one.strip_query)
    if body.HasField("fixed_response"):
        answer = body.fixed_response
        return traffic.Answer(answer.status_code, answer.body, answer.content_type or "text/plain")
    mirror = None
    if body.HasField("mirror"):
        percent = body.mirror.percent if body.mirror.HasField("percent") else 100.0
        mirror = traffic.Mirror(traffic.Destination(body.mirror.target, body.mirror.revision), percent)
    targets = tuple(
        traffic.Weighted(traffic.Destination(one.target, one.revision), one.weight if one.HasField("weight") else 1)
        for one in body.weighted_targets
    )
    return traffic.Forward(targets, traffic.Rewrite(body.rewrite.path, body.rewrite.prefix, body.rewrite.host), mirror)


def _headers(body: traffic_pb2.HeaderChanges) -> traffic.HeaderChanges:
    return traffic.HeaderChanges(_pairs(body.set), _pairs(body.add), tuple(body.remove))


def _pairs(entries: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(entries.items()))


# -- requests ---------------------------------------------------------------------------------------------------------


def _limits(body: traffic_pb2.RouteTimeout) -> traffic.Limits:
    return traffic.Limits(
        _milliseconds(body.per_request) if body.HasField("per_request") else None,
        _milliseconds(body.idle) if body.HasField("idle") else None,
    )


def _retry(body: traffic_pb2.RetryPolicy) -> traffic.Retry:
    events = [_HTTP_EVENTS[event] for event in body.http_retry_events]
    conditions = [condition for found, _ in events for condition in found]
    conditions += [_TCP_EVENTS[event] for event in body.tcp_retry_events]
    return traffic.Retry(
        times=body.max_retries if body.HasField("max_retries") else _RETRIES,
        conditions=_once(conditions),
        codes=tuple(sorted({code for _, codes in events for code in codes})),
        grpc=_once(body.grpc_retry_events),
        per_try=_milliseconds(body.per_retry_timeout),
        only_idempotent=body.only_idempotent,
    )


def _fault(body: traffic_pb2.Fault) -> traffic.Fault:
    return traffic.Fault(
        delay_percent=body.delay.percent,
        delay=_milliseconds(body.delay.fixed),
        abort_percent=body.abort.percent,
        http_status=body.abort.http_status,
        grpc_status=body.abort.grpc_status if body.abort.HasField("grpc_status") else None,
    )


def _hash_key(body: traffic_pb2.HashKey) -> traffic.HashKey:
    if body.source_ip:
        return traffic.HashKey("source_ip")
    kind = next(kind for kind in ("header", "cookie", "query_parameter") if getattr(body, kind))
    ttl = _milliseconds(body.cookie_ttl) if body.HasField("cookie_ttl") else None
    return traffic.HashKey(kind, getattr(body, kind), ttl)


# -- endpoints --------------------------------------------------------------------------------------------------------


def _balancing(body: traffic_pb2.LoadBalancing) -> traffic.Balancing:
    start = body.slow_start
    return traffic.Balancing(
        algorithm=body.algorithm or "ROUND_ROBIN",
        choices=body.choices if body.HasField("choices") else 2,
        slow_start=_milliseconds(start.window),
        slow_start_percent=start.min_weight_percent if start.HasField("min_weight_percent") else 10,
    )


def _pool(body: traffic_pb2.ConnectionPool) -> traffic.Pool:
    """Only the member of the port's protocol is there."""
    connections, pending, requests = None, None, None
    for pool in (body.http, body.tcp):
        connections = pool.max_connections if pool.HasField("max_connections") else connections
    if body.http.HasField("max_pending_requests"):
        pending = body.http.max_pending_requests
    for limited in (body.http2, body.grpc):
        requests = limited.max_requests if limited.HasField("max_requests") else requests
    return traffic.Pool(connections, pending, requests)


def _ejection(body: traffic_pb2.OutlierDetection) -> traffic.Ejection:
    default = traffic.Ejection()
    return traffic.Ejection(
        errors=body.max_server_errors if body.HasField("max_server_errors") else default.errors,
        interval=_milliseconds(body.interval) or default.interval,
        base=_milliseconds(body.base_ejection_duration) or default.base,
        longest=_milliseconds(body.max_ejection_duration)
        or max(default.longest, _milliseconds(body.base_ejection_duration)),
        percent=body.max_ejection_percent if body.HasField("max_ejection_percent") else default.percent,
    )


def _check(body: traffic_pb2.HealthCheckPolicy) -> traffic.Check:
    default = traffic.Check()
    return traffic.Check(
        protocol=body.protocol,
        path=body.path or default.path,
        healthy=body.healthy_threshold if body.HasField("healthy_threshold") else default.healthy,
        unhealthy=body.unhealthy_threshold if body.HasField("unhealthy_threshold") else default.unhealthy,
        interval=body.interval_millis if body.HasField("interval_millis") else default.interval,
        timeout=body.timeout_millis if body.HasField("timeout_millis") else default.timeout,
        service=body.service_name,
    )


def _budget(body: traffic_pb2.RetryBudget) -> traffic.Budget:
    default = traffic.Budget()
    return traffic.Budget(
        body.percent if body.HasField("percent") else default.percent,
        body.min_concurrency if body.HasField("min_concurrency") else default.at_least,
    )


def _milliseconds(body: traffic_pb2.Duration) -> int:
    return body.value * (1000 if body.unit == "s" else 1)


def _once(words: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(words))
