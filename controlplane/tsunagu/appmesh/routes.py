"""Routes of virtual routers as Routes of the aliases that their virtual services are.

The one rule: what App Mesh sends nowhere goes nowhere. A router answers 404 to what none of its routes takes, where an alias
of ours would serve it, so a last rule says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tsunagu.appmesh.documents import Made, without_empty
from tsunagu.appmesh.names import port_name, slug
from tsunagu.appmesh.nodes import duration, timeouts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tsunagu.appmesh.documents import Report
    from tsunagu.appmesh.index import MeshIndex, RouterRoute, Target
    from tsunagu.appmesh.reading import Part

NOT_FOUND: Final = {"fixedResponse": {"statusCode": 404}}
_LAST: Final = "zz-unmatched"  # at the lowest priority, the last by name


def of_service(mesh: MeshIndex, service: str, router: str, report: Report) -> Iterator[Made]:
    """The Routes of a virtual service that a router provides."""
    origin = mesh.of("VirtualService")[service].origin
    for port in mesh.router_ports(router):
        routes = [route for route in mesh.routes[router] if route.port in {0, port}]
        if any(route.protocol == "tcp" for route in routes):
            _tcp(routes, report)
            continue
        alias = f"{service}:{port}"
        for route in routes:
            document = {
                "kind": "Route",
                "name": f"{mesh.name}/{slug(f'{service}-{port}-{route.found.name}')}",
                "alias": alias,
                "priority": route.priority,
                **without_empty({"match": match(route.rule.part("match"))}),
                "action": {"weightedTargets": targets(mesh, route.targets)},
                **behaviour(route.rule),
            }
            yield Made(document, route.found.origin)
        if routes and not any(takes_all(route) for route in routes):
            name = f"{mesh.name}/{_LAST}-{slug(f'{service}-{port}')}"
            yield Made({"kind": "Route", "name": name, "alias": alias, "priority": 1000, "action": NOT_FOUND}, origin)


def _tcp(routes: Iterable[RouterRoute], report: Report) -> None:
    """A tcp route is the alias itself, so it can have one target."""
    for route in routes:
        weighted = [target for target in route.targets if target.weight]
        if len(weighted) > 1:
            report.refuse(
                route.rule.part("action"), "weightedTargets", "connections of a tcp alias go to one service",
                "weigh revisions of it by a deployment",
            )  # fmt: skip


def takes_all(route: RouterRoute) -> bool:
    return not match(route.rule.part("match"))


def targets(mesh: MeshIndex, found: Iterable[Target]) -> list[dict[str, Any]]:
    return [{"target": port_name(mesh, one.node, one.port), "weight": one.weight} for one in found]


def behaviour(rule: Part) -> dict[str, Any]:
    """The timeouts and retries of a rule."""
    return without_empty({"timeout": timeouts(rule.part("timeout")), "retryPolicy": _retries(rule.part("retryPolicy"))})


def _retries(part: Part) -> dict[str, Any]:
    if not part.values:
        return {}
    events = ("httpRetryEvents", "tcpRetryEvents", *(("grpcRetryEvents",) if part.shape == "GrpcRetryPolicy" else ()))
    return {
        **without_empty({name: list(part.get(name) or ()) for name in events}),
        "maxRetries": part.get("maxRetries"),
        "perRetryTimeout": duration(part.part("perRetryTimeout")),
    }


def match(part: Part) -> dict[str, Any]:
    """What a rule matches, without the port and the host, which are its front's. Empty: every request."""
    if part.shape.startswith("Grpc"):
        names = ("serviceName", "methodName") if "Gateway" not in part.shape else ("serviceName",)
        return without_empty(
            {**{name: part.get(name) for name in names}, "metadata": [_header(one) for one in part.parts("metadata")]}
        )
    prefix, path = part.get("prefix"), part.part("path")
    return without_empty(
        {
            "prefix": prefix if prefix != "/" else "",
            "path": without_empty({"exact": path.get("exact"), "regex": path.get("regex")}),
            "method": part.get("method"),
            "headers": [_header(one) for one in part.parts("headers")],
            "queryParameters": [_query(one) for one in part.parts("queryParameters")],
        }
    )


def _header(part: Part) -> dict[str, Any]:
    value = part.part("match")
    numbers = value.part("range")
    its = {name: value.get(name) for name in ("exact", "prefix", "suffix", "regex") if name in value}
    if numbers.values:
        its["range"] = {"start": numbers.get("start"), "end": numbers.get("end")}
    return without_empty({"name": part.get("name"), "invert": part.get("invert"), "match": its})


def _query(part: Part) -> dict[str, Any]:
    value = part.part("match")
    return without_empty({"name": part.get("name"), "match": {"exact": value.get("exact")} if value.values else None})
