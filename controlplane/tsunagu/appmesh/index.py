"""The objects of one App Mesh mesh, and how they hang together: which virtual node answers to which name.

The one rule: an object that names one which is not among the files is an issue, since what it asks for cannot be made.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from tsunagu.kit.spelling import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tsunagu.appmesh.reading import Found, Part
    from tsunagu.model.errors import Issue

#: Member of a RouteSpec -> the protocol of its targets.
ROUTES: Final[dict[str, str]] = {"httpRoute": "http", "http2Route": "http2", "grpcRoute": "grpc", "tcpRoute": "tcp"}
DEFAULT_PRIORITY: Final = 1000
_PRIVATE: Final = frozenset({"local", "internal", "localhost"})


@dataclass(frozen=True, slots=True)
class Target:
    """One weighted target of a route: a listener of a virtual node."""

    node: str
    port: int
    weight: int


@dataclass(frozen=True, slots=True)
class RouterRoute:
    """A route of a virtual router: the member of its spec that is set, and where it leads. `port` 0: every listener."""

    found: Found
    protocol: str
    rule: Part
    targets: tuple[Target, ...]

    @property
    def priority(self) -> int:
        return int(self.found.spec.get("priority", DEFAULT_PRIORITY))

    @property
    def port(self) -> int:
        return int(self.rule.part("match").get("port", 0))


@dataclass(slots=True)
class MeshIndex:
    """What the files say of one mesh. Kind -> name -> object; routes are of their router, gateway routes of their gateway."""

    name: str
    objects: dict[str, dict[str, Found]] = field(default_factory=lambda: defaultdict(dict))
    routes: dict[str, list[RouterRoute]] = field(default_factory=lambda: defaultdict(list))
    gateway_routes: dict[str, list[Found]] = field(default_factory=lambda: defaultdict(list))
    issues: list[Issue] = field(default_factory=list)
    tasks: frozenset[str] = frozenset()  # the virtual nodes whose task definitions are among the files
    tls: str = ""  # the mode of the Namespace

    def of(self, kind: str) -> dict[str, Found]:
        return self.objects[kind]

    def named(self, kind: str, part: Part, member: str) -> Found | None:
        """The object that a member names; an issue if there is none."""
        name = part.get(member)
        found = self.of(kind).get(name)
        if found is None:
            hint = did_you_mean(name, self.of(kind), f"describe it, too: appmesh/{kind} {name}")
            self.issues.append(part.issue(member, f"there is no appmesh/{kind} {name!r} in mesh {self.name}", hint))
        return found

    def ports(self, node: str) -> dict[int, str]:
        """Port -> protocol of each listener of a virtual node."""
        listeners = self.of("VirtualNode")[node].spec.parts("listeners")
        mappings = [one.part("portMapping") for one in listeners]
        return {one.get("port"): one.get("protocol") for one in mappings}

    def outside(self, node: str) -> str:
        """The host to which a virtual node leads that is nothing of this mesh; empty if it is.

        It is found by a public DNS name, calls nobody, and has no task definition.
        """
        spec = self.of("VirtualNode")[node].spec
        host: str = spec.part("serviceDiscovery").part("dns").get("hostname", "")
        own = node in self.tasks or spec.parts("backends") or not is_public(host)
        return "" if own else host

    def router_ports(self, router: str) -> list[int]:
        listeners = self.of("VirtualRouter")[router].spec.parts("listeners")
        return [one.part("portMapping").get("port") for one in listeners]

    def provider(self, service: str) -> tuple[str, str]:
        """(kind, name) of what answers to a virtual service: VirtualNode, VirtualRouter, or nothing."""
        provider = self.of("VirtualService")[service].spec.part("provider")
        for kind, member in (("VirtualNode", "virtualNode"), ("VirtualRouter", "virtualRouter")):
            if member in provider:
                found = self.named(kind, provider.part(member), f"{member}Name")
                return (kind, found.name) if found is not None else ("", "")
        return "", ""

    def destinations(self, service: str) -> list[Target]:
        """Every listener to which calls of a virtual service may lead."""
        kind, name = self.provider(service)
        if kind == "VirtualNode":
            return [Target(name, port, 1) for port in self.ports(name)]
        return [target for route in self.routes[name] for target in route.targets] if kind else []


def is_public(host: str) -> bool:
    """Whether a host name is one of the public DNS: it has a dot, and its last label is none of those for private use."""
    return "." in host and host.rpartition(".")[2].lower() not in _PRIVATE


def index(objects: Iterable[Found]) -> dict[str, MeshIndex]:
    """The objects by mesh. Issues are in each MeshIndex."""
    found: dict[str, MeshIndex] = {}
    routes = []
    for one in objects:
        mesh = found.setdefault(one.mesh, MeshIndex(one.mesh))
        if one.kind in {"Route", "GatewayRoute"}:
            routes.append(one)
        elif one.name in mesh.of(one.kind):
            mesh.issues.append(one.body.issue("meshName", f"appmesh/{one.kind} {one.name} is described twice"))
        else:
            mesh.of(one.kind)[one.name] = one
    for one in routes:
        _add_route(found[one.mesh], one)
    return found


def _add_route(mesh: MeshIndex, found: Found) -> None:
    if found.kind == "GatewayRoute":
        gateway = mesh.named("VirtualGateway", found.body, "virtualGatewayName")
        if gateway is not None:
            mesh.gateway_routes[gateway.name].append(found)
        return
    router = mesh.named("VirtualRouter", found.body, "virtualRouterName")
    written = [name for name in ROUTES if name in found.spec]
    if len(written) != 1:
        mesh.issues.append(found.body.issue("spec", f"must set exactly one of {', '.join(ROUTES)}"))
    elif router is not None:
        rule = found.spec.part(written[0])
        targets = tuple(_targets(mesh, rule))
        mesh.routes[router.name].append(RouterRoute(found, ROUTES[written[0]], rule, targets))
        mesh.routes[router.name].sort(key=lambda route: (route.priority, route.found.name))


def _targets(mesh: MeshIndex, rule: Part) -> Iterator[Target]:
    for one in rule.part("action").parts("weightedTargets"):
        node = mesh.named("VirtualNode", one, "virtualNode")
        if node is None:
            continue
        ports = mesh.ports(node.name)
        port = one.get("port") or next(iter(ports), 0)
        if port not in ports:
            known = ", ".join(map(str, ports)) or "none"
            mesh.issues.append(one.issue("port", f"virtual node {node.name} has no listener {port}; it has {known}"))
            continue
        yield Target(node.name, port, one.get("weight"))
