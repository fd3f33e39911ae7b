"""Virtual nodes as services: their ports, the names under which virtual services make them known, and their policies.

The one rule: a virtual service is an alias of the port that answers to it. Where a router decides, that is the port to which
its last rule leads, which takes what no other rule does; the rules themselves are Routes of the alias.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

from tsunagu.appmesh import tls
from tsunagu.appmesh.documents import Made, without_empty
from tsunagu.appmesh.names import port_name, slug

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tsunagu.appmesh.documents import Report
    from tsunagu.appmesh.index import MeshIndex, RouterRoute, Target
    from tsunagu.appmesh.reading import Found, Part

    #: (virtual node, port) -> the aliases (DNS name, port) of it
    Aliases = Mapping[tuple[str, int], list[tuple[str, int]]]

_LIMITS: Final = ("maxConnections", "maxPendingRequests", "maxRequests")


def aliases(mesh: MeshIndex, report: Report) -> Aliases:
    """Which port answers to the aliases of each virtual service."""
    found: dict[tuple[str, int], list[tuple[str, int]]] = defaultdict(list)
    for service in sorted(mesh.of("VirtualService")):
        for key, port in _answering(mesh, service, report):
            found[key].append((service, port))
    return found


def _answering(mesh: MeshIndex, service: str, report: Report) -> Iterator[tuple[tuple[str, int], int]]:
    """((virtual node, its port), port of the alias) of each port of a virtual service."""
    kind, name = mesh.provider(service)
    body = mesh.of("VirtualService")[service].body
    if kind == "VirtualNode":
        yield from (((name, port), port) for port in mesh.ports(name))
    elif kind == "VirtualRouter":
        for port in mesh.router_ports(name):
            target = last_target(mesh.routes[name], port)
            if target is None:
                report.note(
                    body, "spec", f"no route of router {name} takes calls of {service}:{port}; nobody offers it"
                )
            else:
                yield (target.node, target.port), port
    else:
        report.note(body, "spec", f"{service} has no provider; nobody offers it")


def last_target(routes: list[RouterRoute], port: int) -> Target | None:
    """Where the last route of a router's port leads: the target of the greatest weight."""
    of_port = [route for route in routes if route.port in {0, port} and route.targets]
    return max(of_port[-1].targets, key=lambda target: target.weight) if of_port else None


def service(mesh: MeshIndex, node: Found, known: Aliases, family: str, report: Report) -> Made:
    """The service of a virtual node. `family`: its task definition, whose ports are called as `port_name` says."""
    document: dict[str, Any] = {
        "kind": "Service",
        "serviceName": slug(node.name),
        "taskDefinition": family,
        "desiredCount": 1,
        "serviceConnectConfiguration": without_empty(
            {
                "enabled": True,
                "namespace": mesh.name,
                "services": list(_offered(mesh, node, known, report)),
                "accessLogConfiguration": access_log(node.spec, report),
            }
        ),
    }
    backends = _backends(mesh, node, known)
    if backends:
        document["tsunagu"] = {"backends": backends}
    elif node.spec.parts("listeners"):
        report.note(node.body, "spec", f"{node.name} has no backends, and may call every name of the mesh here")
    return Made(document, node.origin)


def externals(mesh: MeshIndex, node: Found, known: Aliases, report: Report) -> Iterator[Made]:
    """The Externals of a virtual node that leads out of the mesh, one for each listener."""
    host = mesh.outside(node.name)
    report.note(node.body, "spec", f"{node.name} leads to {host}, outside of the mesh: it becomes an External")
    for listener in node.spec.parts("listeners"):
        port, protocol = (listener.part("portMapping").get(name) for name in ("port", "protocol"))
        document = {
            "kind": "External",
            "name": f"{mesh.name}/{port_name(mesh, node.name, port)}",
            "addresses": [f"{host}:{port}"],
            "appProtocol": protocol,
            "aliases": [{"dnsName": name, "port": at} for name, at in known.get((node.name, port), ())],
            "timeout": _timeout_seconds(listener) if protocol != "tcp" else {},
        }
        verified = tls.of_external(mesh, node.name, listener, report)
        yield Made(without_empty(document) | ({} if verified is None else {"tls": verified}), node.origin)


def discovery_names(mesh: MeshIndex, node: str, port: int, known: Aliases) -> list[str]:
    """The discovery names of a port: AWS gives each one alias, so a port has one for each alias."""
    name = port_name(mesh, node, port)
    if mesh.outside(node):
        return [name]  # an External has as many aliases as one likes
    return [name, *(f"{name[:60]}-{number}" for number in range(2, len(known.get((node, port), ())) + 1))]


def _offered(mesh: MeshIndex, node: Found, known: Aliases, report: Report) -> Iterator[dict[str, Any]]:
    for listener in node.spec.parts("listeners"):
        port = listener.part("portMapping").get("port")
        names = discovery_names(mesh, node.name, port, known)
        its = [*known.get((node.name, port), ()), *[None] * len(names)]
        secured = tls.of_port(mesh, listener, report)
        for name, alias in zip(names, its, strict=False):
            yield without_empty(
                {
                    "portName": names[0],
                    "discoveryName": name if name != names[0] else "",
                    "clientAliases": [{"dnsName": alias[0], "port": alias[1]}] if alias else [],
                    "timeout": _timeout_seconds(listener),
                    "tls": secured,
                }
            )


def _timeouts(listener: Part) -> Part:
    return listener.part("timeout").part(listener.part("portMapping").get("protocol"))


def _timeout_seconds(listener: Part) -> dict[str, int]:
    """The timeouts that are whole seconds, as a service has them."""
    found = _timeouts(listener)
    members = {"idle": "idleTimeoutSeconds", "perRequest": "perRequestTimeoutSeconds"}
    written = {member: found.part(name) for name, member in members.items() if name in found}
    return {member: _millis(each) // 1000 for member, each in written.items() if not _millis(each) % 1000}


def _millis(duration: Part) -> int:
    return int(duration.get("value", 0)) * (1000 if duration.get("unit", "s") == "s" else 1)


def duration(part: Part) -> dict[str, Any]:
    return without_empty({"unit": part.get("unit", "s")}) | {"value": part.get("value", 0)}


def timeouts(part: Part) -> dict[str, Any]:
    """A timeout of a route or listener, as App Mesh and we have it."""
    return {name: duration(part.part(name)) for name in ("idle", "perRequest") if name in part}


def policies(mesh: MeshIndex, node: Found, known: Aliases, report: Report) -> Iterator[Made]:
    """How callers treat the ports of a virtual node, for each of its discovery names."""
    for listener in node.spec.parts("listeners"):
        mapping = listener.part("portMapping")
        members = without_empty(_policy(listener, mapping.get("protocol"), report))
        if members:
            for name in discovery_names(mesh, node.name, mapping.get("port"), known):
                yield Made({"kind": "TrafficPolicy", "name": f"{mesh.name}/{name}", **members}, node.origin)


def _policy(listener: Part, protocol: str, report: Report) -> dict[str, Any]:
    pool, timeout = listener.part("connectionPool").part(protocol), _timeouts(listener)
    limits = {name: pool.get(name) for name in _LIMITS if name in pool}
    odd = {name: value for name, value in timeouts(timeout).items() if _millis(timeout.part(name)) % 1000}
    if odd and protocol == "tcp":
        report.refuse(timeout, "idle", "the idle timeout of a tcp port is whole seconds", "round it")
        odd = {}
    return {
        "connectionPool": {protocol: limits} if limits else None,
        "outlierDetection": _outlier_detection(listener.part("outlierDetection")),
        "healthCheck": _health_check(listener.part("healthCheck")),
        "timeout": odd,
    }


def _outlier_detection(part: Part) -> dict[str, Any]:
    if not part.values:
        return {}
    return {
        "maxServerErrors": part.get("maxServerErrors"),
        "interval": duration(part.part("interval")),
        "baseEjectionDuration": duration(part.part("baseEjectionDuration")),
        "maxEjectionPercent": part.get("maxEjectionPercent"),
    }


def _health_check(part: Part) -> dict[str, Any]:
    names = ("protocol", "path", "healthyThreshold", "unhealthyThreshold", "intervalMillis", "timeoutMillis")
    return without_empty({name: part.get(name) for name in names})


def access_log(spec: Part, report: Report) -> dict[str, str]:
    """The access log of a virtual node or gateway, as a service or a Gateway has it; empty: none."""
    file = spec.part("logging").part("accessLog").part("file")
    if not file.values:
        return {}
    if file.get("path") != "/dev/stdout":
        report.note(file, "path", "a proxy logs to its output, which `tsunagu logs -c envoy` shows")
    return {"format": "JSON" if "json" in file.part("format") else "TEXT"}


def _backends(mesh: MeshIndex, node: Found, known: Aliases) -> list[str]:
    """The discovery names of the aliases that a virtual node calls, and of where these lead."""
    found = set()
    for backend in node.spec.parts("backends"):
        called = mesh.named("VirtualService", backend.part("virtualService"), "virtualServiceName")
        if called is not None:
            found |= {port_name(mesh, one.node, one.port) for one in mesh.destinations(called.name)}
            found |= set(_names_of_alias(mesh, called.name, known))
    return sorted(found)


def _names_of_alias(mesh: MeshIndex, service_name: str, known: Aliases) -> Iterator[str]:
    for (node, port), its in known.items():
        if mesh.outside(node):
            continue  # its one name is among the destinations
        names = discovery_names(mesh, node, port, known)
        yield from (name for name, (dns_name, _) in zip(names, its, strict=False) if dns_name == service_name)
