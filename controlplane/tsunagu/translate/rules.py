"""From a rule of the traffic model to Envoy's routes: what is matched, and what becomes of a request.

The one rule: Service Connect's own rule makes the route that it always made, byte by byte; a member is set only where a
rule says something of it. A rule that tries idempotent requests alone makes two routes, one for each kind of method.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Final

from envoy_data_plane.envoy.config.core import v3 as core_v3
from envoy_data_plane.envoy.config.route import v3 as route_v3
from envoy_data_plane.envoy.extensions.filters.common.fault import v3 as delay_v3
from envoy_data_plane.envoy.extensions.filters.http.fault import v3 as fault_v3
from envoy_data_plane.envoy.extensions.retry.host.previous_hosts import v3 as previous_hosts_v3
from envoy_data_plane.envoy.extensions.retry.priority.previous_priorities import v3 as previous_priorities_v3
from envoy_data_plane.envoy.type import v3 as type_v3
from envoy_data_plane.envoy.type.matcher import v3 as matcher_v3

from tsunagu.mesh.traffic.model import Answer, Condition, Forward, Match, Redirect
from tsunagu.translate import names
from tsunagu.translate.codec import pack

if TYPE_CHECKING:
    from envoy_data_plane.google.protobuf import Any

    from tsunagu.mesh.traffic.model import Fault, HashKey, HeaderChanges, Mirror, Retry, Rule

#: The filter that delays and aborts; each HTTP listener of an alias has it, and routes say what it does.
FAULT_FILTER: Final = "envoy.filters.http.fault"
#: Methods that an app may be asked twice by mistake (RFC 9110, 9.2.2).
_IDEMPOTENT: Final = "GET|HEAD|OPTIONS|TRACE|PUT|DELETE"
_HOST_ATTEMPTS: Final = 3  # how often to pick again if the host has just been tried
_HUNDREDTHS: Final = 10_000  # parts of 1,000,000 in a percent
_NOBODY: Final = "no destination of this route is there\n"
_REDIRECTS: Final = {
    301: route_v3.RedirectActionRedirectResponseCode.MOVED_PERMANENTLY,
    302: route_v3.RedirectActionRedirectResponseCode.FOUND,
    303: route_v3.RedirectActionRedirectResponseCode.SEE_OTHER,
    307: route_v3.RedirectActionRedirectResponseCode.TEMPORARY_REDIRECT,
    308: route_v3.RedirectActionRedirectResponseCode.PERMANENT_REDIRECT,
}


def routes(namespace: str, rule: Rule, *, zoned: bool) -> list[route_v3.Route]:
    """Return the routes of a settled rule, in their order."""
    if rule.retry is None or not rule.retry.only_idempotent:
        return [_route(namespace, rule, zoned=zoned)]
    safe = replace(rule, retry=replace(rule.retry, only_idempotent=False))
    careful = replace(rule, retry=rule.retry.harmless)
    first = _route(namespace, safe, zoned=zoned)
    assert first.match is not None
    method = matcher_v3.StringMatcher(safe_regex=matcher_v3.RegexMatcher(regex=_IDEMPOTENT))
    first.match.headers = [*first.match.headers, route_v3.HeaderMatcher(name=":method", string_match=method)]
    return [first, _route(namespace, careful, zoned=zoned)]


def _route(namespace: str, rule: Rule, *, zoned: bool) -> route_v3.Route:
    route = route_v3.Route(name=rule.name, match=match(rule.match))
    _do(route, namespace, rule, zoned=zoned)
    _change_headers(route, rule.request_headers, rule.response_headers)
    if rule.fault is not None:
        route.typed_per_filter_config = {FAULT_FILTER: pack(_fault(rule.fault))}
    return route


# -- what is matched --------------------------------------------------------------------------------------------------


def match(found: Match) -> route_v3.RouteMatch:
    """The part of a route that says which requests it takes."""
    matched = _path(found)
    matched.headers = [_header(one) for one in found.headers]
    if found.method:
        method = matcher_v3.StringMatcher(exact=found.method)
        matched.headers.append(route_v3.HeaderMatcher(name=":method", string_match=method))
    matched.query_parameters = [_parameter(one) for one in found.query]
    return matched


def _path(found: Match) -> route_v3.RouteMatch:
    match found.path_kind:
        case "exact":
            return route_v3.RouteMatch(path=found.path)
        case "regex":
            return route_v3.RouteMatch(safe_regex=matcher_v3.RegexMatcher(regex=found.path))
        case _:
            return route_v3.RouteMatch(prefix=found.path)


def _header(test: Condition) -> route_v3.HeaderMatcher:
    matched = route_v3.HeaderMatcher(name=test.name, invert_match=test.invert)
    match test.kind:
        case "present":
            matched.present_match = True
        case "range":
            matched.range_match = type_v3.Int64Range(start=test.numbers[0], end=test.numbers[1])
        case _:
            matched.string_match = _text(test)
    return matched


def _parameter(test: Condition) -> route_v3.QueryParameterMatcher:
    if test.kind == "present":
        return route_v3.QueryParameterMatcher(name=test.name, present_match=True)
    return route_v3.QueryParameterMatcher(name=test.name, string_match=_text(test))


def _text(test: Condition) -> matcher_v3.StringMatcher:
    match test.kind:
        case "prefix":
            return matcher_v3.StringMatcher(prefix=test.value)
        case "suffix":
            return matcher_v3.StringMatcher(suffix=test.value)
        case "regex":
            return matcher_v3.StringMatcher(safe_regex=matcher_v3.RegexMatcher(regex=test.value))
        case _:
            return matcher_v3.StringMatcher(exact=test.value)


# -- what becomes of it -----------------------------------------------------------------------------------------------


def _do(route: route_v3.Route, namespace: str, rule: Rule, *, zoned: bool) -> None:
    match rule.action:
        case Forward(targets=()):
            route.direct_response = _answer(Answer(503, _NOBODY))
        case Forward():
            route.route = _forward(namespace, rule, rule.action, zoned=zoned)
        case Redirect():
            route.redirect = _redirect(rule.action)
        case Answer():
            route.direct_response = _answer(rule.action)
            changed = core_v3.HeaderValue(key="content-type", value=rule.action.content_type)
            route.response_headers_to_add = [_set(changed)]


def _forward(namespace: str, rule: Rule, action: Forward, *, zoned: bool) -> route_v3.RouteAction:
    made = route_v3.RouteAction(
        timeout=timedelta(milliseconds=rule.limits.request or 0),
        idle_timeout=timedelta(milliseconds=rule.limits.idle or 0),
        prefix_rewrite=action.rewrite.prefix,
        path_rewrite="",
        host_rewrite_literal=action.rewrite.host or None,
        hash_policy=list(map(_hash, rule.hash_keys)),
        request_mirror_policies=[_mirror(namespace, action.mirror)] if action.mirror is not None else [],
    )
    if action.by_own_name:
        made.auto_host_rewrite = True
    if action.rewrite.path:
        made.path_rewrite = action.rewrite.path
    if rule.retry is not None and rule.retry.times:
        made.retry_policy = retries(rule.retry, zoned=zoned)
    if len(action.targets) == 1:
        made.cluster = names.destination(namespace, action.targets[0].to)
    else:
        shares = [
            route_v3.WeightedClusterClusterWeight(name=names.destination(namespace, one.to), weight=one.weight)
            for one in action.targets
        ]
        made.weighted_clusters = route_v3.WeightedCluster(clusters=shares)
    return made


def _mirror(namespace: str, mirror: Mirror) -> route_v3.RouteActionRequestMirrorPolicy:
    fraction = core_v3.RuntimeFractionalPercent(default_value=percentage(mirror.percent))
    return route_v3.RouteActionRequestMirrorPolicy(
        cluster=names.destination(namespace, mirror.to), runtime_fraction=fraction
    )


def _redirect(action: Redirect) -> route_v3.RedirectAction:
    return route_v3.RedirectAction(
        scheme_redirect=action.scheme or None,
        host_redirect=action.host,
        port_redirect=action.port,
        path_redirect=action.path or None,
        prefix_rewrite=action.prefix or None,
        response_code=_REDIRECTS[action.status],
        strip_query=action.strip_query,
    )


def _answer(answer: Answer) -> route_v3.DirectResponseAction:
    body = core_v3.DataSource(inline_string=answer.body) if answer.body else None
    return route_v3.DirectResponseAction(status=answer.status, body=body)


def _change_headers(route: route_v3.Route, request: HeaderChanges, response: HeaderChanges) -> None:
    route.request_headers_to_add = _changes(request)
    route.request_headers_to_remove = list(request.remove)
    route.response_headers_to_add = [*route.response_headers_to_add, *_changes(response)]
    route.response_headers_to_remove = list(response.remove)


def _changes(changes: HeaderChanges) -> list[core_v3.HeaderValueOption]:
    added = [core_v3.HeaderValueOption(header=core_v3.HeaderValue(key=key, value=text)) for key, text in changes.add]
    return [*(_set(core_v3.HeaderValue(key=key, value=text)) for key, text in changes.set), *added]


def _set(header: core_v3.HeaderValue) -> core_v3.HeaderValueOption:
    over = core_v3.HeaderValueOptionHeaderAppendAction.OVERWRITE_IF_EXISTS_OR_ADD
    return core_v3.HeaderValueOption(header=header, append_action=over)


def _hash(key: HashKey) -> route_v3.RouteActionHashPolicy:
    """The first key that a request has decides; it needs no other."""
    match key.kind:
        case "header":
            header = route_v3.RouteActionHashPolicyHeader(header_name=key.name)
            return route_v3.RouteActionHashPolicy(header=header, terminal=True)
        case "cookie":
            ttl = None if key.ttl is None else timedelta(milliseconds=key.ttl)
            cookie = route_v3.RouteActionHashPolicyCookie(
                name=key.name, ttl=ttl, path="/" if key.ttl is not None else ""
            )
            return route_v3.RouteActionHashPolicy(cookie=cookie, terminal=True)
        case "query_parameter":
            parameter = route_v3.RouteActionHashPolicyQueryParameter(name=key.name)
            return route_v3.RouteActionHashPolicy(query_parameter=parameter, terminal=True)
        case _:
            properties = route_v3.RouteActionHashPolicyConnectionProperties(source_ip=True)
            return route_v3.RouteActionHashPolicy(connection_properties=properties, terminal=True)


# -- how it is tried --------------------------------------------------------------------------------------------------


def retries(retry: Retry, *, zoned: bool) -> route_v3.RetryPolicy:
    """When and where a request is tried again: not at the hosts just tried, and in a mesh with zones in another priority."""
    words = [*retry.conditions, *(["retriable-status-codes"] if retry.codes else []), *retry.grpc]
    predicate = route_v3.RetryPolicyRetryHostPredicate(
        name="envoy.retry_host_predicates.previous_hosts", typed_config=previous_hosts()
    )
    return route_v3.RetryPolicy(
        retry_on=",".join(words),
        retriable_status_codes=list(retry.codes),
        num_retries=retry.times,
        per_try_timeout=timedelta(milliseconds=retry.per_try) if retry.per_try else None,
        retry_host_predicate=[predicate],
        host_selection_retry_max_attempts=_HOST_ATTEMPTS,
        retry_priority=_other_priority() if zoned else None,
    )


def _fault(fault: Fault) -> fault_v3.HttpFault:
    made = fault_v3.HttpFault()
    if fault.delay:
        made.delay = delay_v3.FaultDelay(
            fixed_delay=timedelta(milliseconds=fault.delay), percentage=percentage(fault.delay_percent)
        )
    if fault.grpc_status is not None:
        made.abort = fault_v3.FaultAbort(grpc_status=fault.grpc_status, percentage=percentage(fault.abort_percent))
    elif fault.http_status:
        made.abort = fault_v3.FaultAbort(http_status=fault.http_status, percentage=percentage(fault.abort_percent))
    return made


def percentage(percent: float) -> type_v3.FractionalPercent:
    return type_v3.FractionalPercent(
        numerator=round(percent * _HUNDREDTHS), denominator=type_v3.FractionalPercentDenominatorType.MILLION
    )


@cache
def previous_hosts() -> Any:
    return pack(previous_hosts_v3.PreviousHostsPredicate())


@cache
def _other_priority() -> route_v3.RetryPolicyRetryPriority:
    """Otherwise a retry picks among the endpoints of the preferred zone again, though all of them may be dead."""
    config = previous_priorities_v3.PreviousPrioritiesConfig(update_frequency=1)
    return route_v3.RetryPolicyRetryPriority(
        name="envoy.retry_priorities.previous_priorities", typed_config=pack(config)
    )
