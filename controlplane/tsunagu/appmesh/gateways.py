"""Virtual gateways as Gateways, and their routes as Routes of them.

A gateway route leads to a virtual service, behind which a router may decide further; a Route of ours leads to destinations.
So the two are joined: one Route for each pair that can take the same request. The one rule: where the two cannot be joined
exactly (both look at the path), that is refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tsunagu.appmesh.documents import Made, without_empty
from tsunagu.appmesh.index import DEFAULT_PRIORITY
from tsunagu.appmesh.names import slug
from tsunagu.appmesh.nodes import access_log
from tsunagu.appmesh.routes import NOT_FOUND, behaviour, match, takes_all, targets

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tsunagu.appmesh.documents import Report
    from tsunagu.appmesh.index import MeshIndex, RouterRoute
    from tsunagu.appmesh.reading import Found, Part

_MEMBERS: Final = ("httpRoute", "http2Route", "grpcRoute")
_PATHS: Final = ("prefix", "path", "serviceName")
_LISTS: Final = ("headers", "queryParameters", "metadata")


def gateway(mesh: MeshIndex, found: Found, report: Report) -> Made:
    """A Gateway with a port for each listener; its requests take the Gateway's Routes."""
    document = {
        "kind": "Gateway",
        "name": slug(found.name),
        "namespace": mesh.name,
        "ports": [_port_of(one) for one in found.spec.parts("listeners")],
        **without_empty({"accessLog": access_log(found.spec, report)}),
    }
    return Made(document, found.origin)


def _port_of(listener: Part) -> dict[str, Any]:
    tls = listener.part("tls")
    files = tls.part("certificate").part("file") if tls.get("mode", "DISABLED") != "DISABLED" else None
    names = ("certificateChain", "privateKey")
    certificate = without_empty({name: files.get(name) for name in names}) if files else {}
    return without_empty({"hostPort": listener.part("portMapping").get("port"), "tls": certificate})


def routes(mesh: MeshIndex, name: str, report: Report) -> Iterator[Made]:
    """The Routes of a gateway, in the order in which App Mesh tries them, which is their priority."""
    found = sorted(mesh.gateway_routes[name], key=lambda one: (one.spec.get("priority", DEFAULT_PRIORITY), one.name))
    made = [document for one in found for document in _of_route(mesh, name, one, report)]
    for priority, (document, origin) in enumerate(made):
        yield Made({**document, "priority": priority}, origin)


def _of_route(mesh: MeshIndex, gateway_name: str, found: Found, report: Report) -> Iterator[tuple[dict[str, Any], str]]:
    rule = next((found.spec.part(name) for name in _MEMBERS if name in found.spec), None)
    if rule is None:
        mesh.issues.append(found.body.issue("spec", f"must set one of {', '.join(_MEMBERS)}"))
        return
    target = rule.part("action").part("target")
    service = mesh.named("VirtualService", target.part("virtualService"), "virtualServiceName")
    if service is None:
        return
    matched = rule.part("match")
    if matched.get("port") and len(mesh.of("VirtualGateway")[gateway_name].spec.parts("listeners")) > 1:
        report.refuse(
            matched, "port", f"a Route takes the requests at every port of its gateway; this one is of {matched.get('port')}",
            "make a virtual gateway for each port",
        )  # fmt: skip
    front = without_empty({"gateway": slug(gateway_name), "hosts": _hosts(matched.part("hostname"))})
    joined = list(_joined(mesh, service.name, rule, report))
    if not joined:
        port = _port(rule)
        named = f"port {port} of {service.name}" if port else service.name
        report.refuse(target, "virtualService", f"nothing answers HTTP at {named}")
    for suffix, members in joined:
        name = f"{mesh.name}/{slug(f'{gateway_name}-{found.name}{suffix}')}"
        yield {"kind": "Route", "name": name, **front, **members}, found.origin


def _hosts(hostname: Part) -> list[str]:
    exact, suffix = hostname.get("exact"), hostname.get("suffix")
    return [exact] if exact else [f"*{suffix}" if suffix.startswith(".") else f"*.{suffix}"] if suffix else []


def _joined(mesh: MeshIndex, service: str, rule: Part, report: Report) -> Iterator[tuple[str, dict[str, Any]]]:
    """(suffix of the name, match, action and behaviour) of the gateway's rule with each rule of what it leads to."""
    kind, name = mesh.provider(service)
    at_gateway, rewrite = match(rule.part("match")), _rewrite(rule, service)
    if kind == "VirtualNode":
        ports = mesh.ports(name)
        its = [one for one in mesh.destinations(service) if _port(rule) in {0, one.port} and ports[one.port] != "tcp"][
            :1
        ]
        action = without_empty({"weightedTargets": targets(mesh, its), "rewrite": rewrite})
        if its:
            yield "", without_empty({"match": at_gateway, "action": action})
        return
    for route in mesh.routes[name] if kind else ():
        if route.protocol == "tcp" or route.port not in {0, _port(rule) or route.port}:
            continue
        both = _both(at_gateway, match(route.rule.part("match")), route, report)
        if both is not None:
            action = without_empty({"weightedTargets": targets(mesh, route.targets), "rewrite": rewrite})
            yield f"-{route.found.name}", without_empty({"match": both, "action": action}) | behaviour(route.rule)
    if kind and not any(takes_all(route) for route in mesh.routes[name]):
        yield "-unmatched", without_empty({"match": at_gateway}) | {"action": NOT_FOUND}


def _port(rule: Part) -> int:
    """The port of the virtual service that a rule calls; 0: whichever it has."""
    return int(rule.part("action").part("target").get("port", 0))


def _both(
    at_gateway: dict[str, Any], behind: dict[str, Any], route: RouterRoute, report: Report
) -> dict[str, Any] | None:
    """What both rules match; None if no request can be taken by both."""
    if any(name in at_gateway for name in _PATHS) and any(name in behind for name in _PATHS):
        report.refuse(
            route.rule, "match", "the gateway's route looks at the path, too, and may change it before this one does",
            "match the path at one of the two",
        )  # fmt: skip
        return None
    if at_gateway.get("method", behind.get("method")) != behind.get("method", at_gateway.get("method")):
        return None
    lists = {name: [*at_gateway.get(name, ()), *behind.get(name, ())] for name in _LISTS}
    return {**behind, **at_gateway, **without_empty(lists)}


def _rewrite(rule: Part, service: str) -> dict[str, Any]:
    """What a gateway changes: App Mesh replaces a prefix by / and the host by the virtual service, if it is not told otherwise."""
    written, found = rule.part("action").part("rewrite"), {}
    if written.part("hostname").get("defaultTargetHostname", "ENABLED") == "ENABLED":
        found["host"] = service
    if written.shape.startswith("Grpc"):
        return found
    matched, prefix = rule.part("match").get("prefix"), written.part("prefix")
    if written.part("path").get("exact"):
        found["path"] = written.part("path").get("exact")
    elif matched and prefix.get("value"):
        found["prefix"] = prefix.get("value")
    elif matched and matched != "/" and prefix.get("defaultPrefix", "ENABLED") == "ENABLED":
        found["prefix"] = "/"
    return found
