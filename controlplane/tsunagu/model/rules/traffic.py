"""What Routes and TrafficPolicies must be to be kept: their names and targets exist, and what they ask for has an effect.

The one rule: what could have no effect where it is written is refused, with what would have one; nobody should look at a
retry policy of a tcp port and believe in it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from tsunagu.kit.spelling import did_you_mean
from tsunagu.model.rules.constraints import issue, words

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tsunagu.model.errors import Issue
    from tsunagu.model.rules.subject import Subject
    from tsunagu.v1 import traffic_pb2

_STATUS_OF_REDIRECT: Final = (301, 302, 303, 307, 308)
_BODY: Final = 4096  # bytes: Envoy's default of max_direct_response_body_size_bytes
_HASHING: Final = ("RING_HASH", "MAGLEV")
_STARTING: Final = ("ROUND_ROBIN", "LEAST_REQUEST")
_KEYS: Final = ("header", "cookie", "query_parameter", "source_ip")
#: Members of a TrafficPolicy that say something of requests; a tcp port has none.
_OF_REQUESTS: Final = ("timeout", "retry_policy", "retry_budget", "fault")


def namespace_exists(subject: Subject) -> Iterator[Issue]:
    namespace = subject.name.partition("/")[0]
    known = subject.indexes.objects("Namespace")
    if namespace not in known:
        yield issue("name", f"there is no namespace {namespace!r}", did_you_mean(namespace, known))


# -- routes -----------------------------------------------------------------------------------------------------------


def route_front(subject: Subject) -> Iterator[Issue]:
    """A route is of an alias or of a gateway, which is there."""
    route = subject.obj.route
    if bool(route.alias) == bool(route.gateway):
        yield issue("", "must say whose requests it takes: either alias or gateway")
    elif route.alias:
        yield from _alias(subject, route.alias)
    else:
        yield from _gateway(subject, route.gateway)
    if route.hosts and not route.gateway:
        yield issue("hosts", "only a gateway has several hosts", "match a header, or leave it out")


def _alias(subject: Subject, written: str) -> Iterator[Issue]:
    namespace = subject.name.partition("/")[0]
    name, _, port = written.partition(":")
    offered = [(key[1], key[2]) for key in subject.indexes.aliases if key[0] == namespace]
    found = [(dns_name, number) for dns_name, number in offered if dns_name == name and port in ("", number)]
    if not found:
        known = sorted({":".join(key) for key in offered} | {key[0] for key in offered})
        yield issue(
            "alias",
            f"nobody offers {written!r} in namespace {namespace}",
            did_you_mean(written, known, f"there are {words(known)}" if known else ""),
        )
    elif all(subject.indexes.alias_protocols.get((namespace, *key)) == "tcp" for key in found):
        yield issue(
            "alias",
            f"{written} is a tcp alias: it has no requests that a rule could match",
            "revisions of its service are weighted by a deployment",
        )


def calls_led_to_http(subject: Subject) -> Iterator[Issue]:
    """A warning: calls of a grpc alias reach a server that does not speak it."""
    route, namespace = subject.obj.route, subject.name.partition("/")[0]
    name, _, port = route.alias.partition(":")
    of_grpc = [
        f"{alias}:{number}"
        for (where, alias, number), protocol in subject.indexes.alias_protocols.items()
        if (where, alias) == (namespace, name) and port in ("", number) and protocol == "grpc"
    ]
    for index, target in enumerate(route.action.weighted_targets):
        if of_grpc and subject.indexes.protocols.get((namespace, target.target)) == "http":
            told = f"{target.target} speaks http, and the route takes calls of grpc, too, at {words(of_grpc)}"
            hint = "name the port of its http alias (alias: NAME:PORT), and write another route for grpc"
            yield issue(f"action.weightedTargets[{index}].target", f"{told}: they fail", hint)


def _gateway(subject: Subject, name: str) -> Iterator[Issue]:
    gateways = subject.indexes.objects("Gateway")
    gateway = gateways.get(name)
    if gateway is None:
        yield issue("gateway", f"there is no gateway {name!r}", did_you_mean(name, gateways))
    elif all(port.alias for port in gateway.gateway.ports):
        yield issue(
            "gateway", f"no port of gateway {name} takes routes", "leave out alias and port of one of its ports"
        )
    elif gateway.gateway.namespace != subject.name.partition("/")[0]:
        yield issue("gateway", f"gateway {name} is of namespace {gateway.gateway.namespace}")


def route_targets(subject: Subject) -> Iterator[Issue]:
    """A route leads somewhere: to destinations of which one has a weight, or it answers by itself."""
    action = subject.obj.route.action
    kinds = [field for field in ("weighted_targets", "redirect", "fixed_response") if _has(action, field)]
    if len(kinds) != 1:
        yield issue("action", "must set exactly one of weightedTargets, redirect and fixedResponse")
        return
    if kinds == ["weighted_targets"] and not any(_weight(one) for one in action.weighted_targets):
        yield issue("action.weightedTargets", "no target has a weight", "give one of them a weight above 0")
    for index, target in enumerate(action.weighted_targets):
        yield from _target(subject, f"action.weightedTargets[{index}].target", target.target)
    if action.HasField("mirror"):
        yield from _target(subject, "action.mirror.target", action.mirror.target)
    alone = [field for field in ("rewrite", "mirror") if action.HasField(field)]
    if kinds != ["weighted_targets"] and alone:
        yield issue(f"action.{alone[0]}", "has no effect: nothing is forwarded", "leave it out")


def _target(subject: Subject, path: str, name: str) -> Iterator[Issue]:
    namespace = subject.name.partition("/")[0]
    known = {key[1] for key in subject.indexes.discovery_names if key[0] == namespace}
    if name and name not in known:
        yield issue(path, f"there is no discovery name {name!r} in namespace {namespace}", did_you_mean(name, known))
    elif subject.indexes.protocols.get((namespace, name)) == "tcp":
        yield issue(path, f"{name} speaks tcp; a route forwards requests", "name an http, http2 or grpc port")


def route_match(subject: Subject) -> Iterator[Issue]:
    match = subject.obj.route.match
    if match.prefix and match.HasField("path"):
        yield issue("match", "must not set both prefix and path")
    if match.prefix and not match.prefix.startswith("/"):
        yield issue("match.prefix", f"{match.prefix!r} does not begin with '/'")
    if match.method_name and not match.service_name:
        yield issue("match.methodName", "needs serviceName", "write the service of which it is a method")
    if match.service_name and (match.prefix or match.HasField("path")):
        yield issue("match.serviceName", "is the path of a gRPC call; prefix and path are another", "leave one out")
    for path, expression in _expressions(match):
        yield from _expression(path, expression)
    for path, found in _ranges(match):
        if found.end <= found.start:
            yield issue(path, f"holds no number: {found.start} to {found.end} without {found.end}")


def _expressions(match: traffic_pb2.RouteMatch) -> Iterator[tuple[str, str]]:
    yield "match.path.regex", match.path.regex
    for field in ("headers", "metadata"):
        for index, one in enumerate(getattr(match, field)):
            yield f"match.{field}[{index}].match.regex", one.match.regex
    for index, parameter in enumerate(match.query_parameters):
        yield f"match.queryParameters[{index}].match.regex", parameter.match.regex


def _ranges(match: traffic_pb2.RouteMatch) -> Iterator[tuple[str, traffic_pb2.NumberRange]]:
    for field in ("headers", "metadata"):
        for index, one in enumerate(getattr(match, field)):
            if one.match.HasField("range"):
                yield f"match.{field}[{index}].match.range", one.match.range


def _expression(path: str, expression: str) -> Iterator[Issue]:
    """Envoy's expressions are RE2's: Python's without what looks around, and without references to groups."""
    if re.search(r"\(\?(=|!|<=|<!|P=|>)|\\[1-9]", expression):
        yield issue(path, "is not RE2: it looks around, or refers to a group", "write it without")
        return
    try:
        re.compile(expression)
    except re.error as error:
        yield issue(path, f"is no regular expression: {error}")


def route_changes(subject: Subject) -> Iterator[Issue]:
    """What is changed of a request has something to be changed."""
    route = subject.obj.route
    for path, change in (("action.rewrite", route.action.rewrite), ("action.redirect", route.action.redirect)):
        if change.path and change.prefix:
            yield issue(path, "must not set both path and prefix")
        if change.prefix and not route.match.prefix:
            yield issue(f"{path}.prefix", "there is no prefix that it could replace", "match a prefix, or set the path")
    redirect = route.action.redirect
    if redirect.HasField("status_code") and redirect.status_code not in _STATUS_OF_REDIRECT:
        yield issue(
            "action.redirect.statusCode", f"{redirect.status_code} is none of {words(map(str, _STATUS_OF_REDIRECT))}"
        )
    if len(route.action.fixed_response.body.encode()) > _BODY:
        yield issue("action.fixedResponse.body", f"is longer than {_BODY} bytes")
    yield from fault(route.fault)


# -- policies ---------------------------------------------------------------------------------------------------------


def policy_target(subject: Subject) -> Iterator[Issue]:
    yield from _policy_target(subject.name, {"/".join(key) for key in subject.indexes.discovery_names})


def _policy_target(name: str, known: Iterable[str]) -> Iterator[Issue]:
    known = sorted(known)
    if name not in known:
        yield issue(
            "name", f"there is no discovery name {name!r}", did_you_mean(name, known) or "it is NAMESPACE/DISCOVERYNAME"
        )


def policy_protocol(subject: Subject) -> Iterator[Issue]:
    """A policy asks for nothing that the port's protocol does not have."""
    policy = subject.obj.traffic_policy
    namespace, _, name = subject.name.partition("/")
    protocol = subject.indexes.protocols.get((namespace, name), "")
    if not protocol:
        return
    for field in _OF_REQUESTS if protocol == "tcp" else ():
        if policy.HasField(field):
            yield issue(
                _json(policy, field), f"has no effect: {name} speaks tcp, which has no requests", "leave it out"
            )
    for pool, _ in policy.connection_pool.ListFields():
        if pool.name != protocol:
            yield issue(f"connectionPool.{pool.name}", f"has no effect: {name} speaks {protocol}", f"write {protocol}")


def policy_balancing(subject: Subject) -> Iterator[Issue]:
    balancing = subject.obj.traffic_policy.load_balancing
    algorithm = balancing.algorithm or "ROUND_ROBIN"
    if balancing.hash_keys and algorithm not in _HASHING:
        yield issue("loadBalancing.hashKeys", f"have no effect with {algorithm}", f"choose {words(_HASHING)}")
    if algorithm in _HASHING and not balancing.hash_keys:
        yield issue("loadBalancing", f"{algorithm} needs hashKeys", "say what belongs to one endpoint, e.g. a header")
    if balancing.HasField("choices") and algorithm != "LEAST_REQUEST":
        yield issue("loadBalancing.choices", f"has no effect with {algorithm}", "leave it out")
    if balancing.HasField("slow_start") and algorithm not in _STARTING:
        yield issue("loadBalancing.slowStart", f"has no effect with {algorithm}", f"choose {words(_STARTING)}")
    for index, key in enumerate(balancing.hash_keys):
        if sum(bool(getattr(key, field)) for field in _KEYS) != 1:
            yield issue(f"loadBalancing.hashKeys[{index}]", "must set one of header, cookie, queryParameter, sourceIp")
        if key.HasField("cookie_ttl") and not key.cookie:
            yield issue(f"loadBalancing.hashKeys[{index}].cookieTtl", "there is no cookie", "leave it out")


def policy_fault(subject: Subject) -> Iterator[Issue]:
    yield from fault(subject.obj.traffic_policy.fault)


def fault(found: traffic_pb2.Fault) -> Iterator[Issue]:
    """What is aborted has one status."""
    if found.HasField("abort") and bool(found.abort.http_status) == found.abort.HasField("grpc_status"):
        yield issue("fault.abort", "must set exactly one of httpStatus and grpcStatus")


def _has(message: traffic_pb2.RouteAction, field: str) -> bool:
    return bool(message.weighted_targets) if field == "weighted_targets" else message.HasField(field)  # type: ignore[arg-type]


def _weight(target: traffic_pb2.WeightedTarget) -> int:
    return target.weight if target.HasField("weight") else 1


def _json(message: traffic_pb2.TrafficPolicy, field: str) -> str:
    return message.DESCRIPTOR.fields_by_name[field].json_name


def gateway_ports(subject: Subject) -> Iterator[Issue]:
    """A port of a gateway leads to an alias, or takes Routes."""
    for index, port in enumerate(subject.obj.gateway.ports):
        path = f"ports[{index}]"
        if bool(port.alias) != bool(port.port):
            missing = "alias" if port.port else "port"
            yield issue(path, f"{missing} is missing", "write both, or none: then the port takes Routes")
        if port.alias and port.HasField("tls"):
            yield issue(
                f"{path}.tls", "has no effect: what leads to an alias is passed on as it is", "leave out alias and port"
            )
        for field, file in (("certificateChain", port.tls.certificate_chain), ("privateKey", port.tls.private_key)):
            if file and not file.startswith("/"):
                yield issue(f"{path}.tls.{field}", f"{file!r} is a relative path", "write an absolute path")


ROUTE_RULES: Final = (namespace_exists, route_front, route_targets, route_match, route_changes)
POLICY_RULES: Final = (namespace_exists, policy_target, policy_protocol, policy_balancing, policy_fault)
