"""TLS of listeners and client policies: modes of the Namespace and its ports, AccessPolicies, and TLS of Externals.

A certificate, and whom a proxy trusts, are never taken from the files: here they are the mesh's own (`classes` says so of each
member). The one rule: what a file insists on is insisted on here, or refused. So a policy that calls a listener without TLS, which
fails in App Mesh, is refused, and does not become plaintext.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from tsunagu.appmesh.documents import Made, without_empty
from tsunagu.appmesh.names import port_name, slug

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tsunagu.appmesh.documents import Report
    from tsunagu.appmesh.index import MeshIndex, Target
    from tsunagu.appmesh.reading import Found, Part

STRICT: Final = "STRICT"
PERMISSIVE: Final = "PERMISSIVE"
DISABLED: Final = "DISABLED"


@dataclass(frozen=True, slots=True)
class Call:
    """What a virtual node or gateway calls: a listener, and the client policy that it has for that; empty: none."""

    policy: Part
    target: Target

    @property
    def insists(self) -> bool:
        """Whether the call fails if it is not encrypted."""
        ports = self.policy.get("ports") or [self.target.port]
        return bool(self.policy.values) and self.policy.get("enforce", True) and self.target.port in ports


def of_namespace(mesh: MeshIndex) -> str:
    """`tls` of the Namespace: strict if all listeners are, permissive if one is; empty if each port says it for itself."""
    own = [node for name, node in mesh.of("VirtualNode").items() if not mesh.outside(name)]
    modes = {_mode(listener) for node in own for listener in node.spec.parts("listeners")}
    if PERMISSIVE in modes:
        return "permissive"
    return "strict" if modes == {STRICT} else ""


def of_port(mesh: MeshIndex, listener: Part, report: Report) -> dict[str, Any] | None:
    """`tls` of a service's port, with which it is strict by itself; None: it is as the Namespace says."""
    if _mode(listener) == STRICT:
        return {"issuerCertificateAuthority": {}} if mesh.tls != "strict" else None
    if _mode(listener) == DISABLED and mesh.tls == "permissive":
        report.note(
            listener, "tls", "takes TLS as well here, since other listeners are PERMISSIVE and so is the Namespace"
        )
    return None


def of_external(mesh: MeshIndex, node: str, listener: Part, report: Report) -> dict[str, Any] | None:
    """`tls` of the External of a virtual node's listener: as its callers' policies say; None: plaintext."""
    port = listener.part("portMapping").get("port")
    its = [call for call in _calls(mesh) if (call.target.node, call.target.port) == (node, port)]
    insisting = [call.policy for call in its if call.insists]
    if not insisting:
        if _mode(listener) != DISABLED:
            report.refuse(
                listener.part("tls"), "mode", "the certificate of a place outside is always verified, and no policy says by whom",
                "write a clientPolicy with its validation at those who call it",
            )  # fmt: skip
        return None
    found = [_verified(policy, report) for policy in insisting]
    if len(insisting) < len(its) or any(one != found[0] for one in found):
        report.refuse(
            insisting[0], "validation", f"not all callers of {node}:{port} have this policy, and an External is the same for all",
            "give all of them the same clientPolicy",
        )  # fmt: skip
    return found[0]


def check(mesh: MeshIndex, report: Report) -> None:
    """Tell of each policy that insists on more than the called listener gives."""
    for call in _calls(mesh):
        node, port = call.target.node, call.target.port
        if not call.insists or mesh.outside(node):
            continue
        mode = _mode(_listener(mesh, node, port))
        if mode == DISABLED:
            report.refuse(
                call.policy, "enforce", f"insists on TLS, which listener {port} of virtual node {node} does not take",
                "set the listener's tls.mode to STRICT, or `enforce: false` here",
            )  # fmt: skip
        elif mode == PERMISSIVE:
            report.note(
                call.policy, "enforce",
                f"calls of {node}:{port} are encrypted as soon as a task of it is ready for TLS; make the listener STRICT to insist on that",
            )  # fmt: skip


def access(mesh: MeshIndex, node: Found, report: Report) -> Iterator[Made]:
    """An AccessPolicy for each listener that names its callers by their certificates."""
    for listener in node.spec.parts("listeners"):
        match = listener.part("tls").part("validation").part("subjectAlternativeNames").part("match")
        if _mode(listener) == DISABLED or not match.get("exact"):
            continue
        callers = {name: _caller(mesh, name) for name in match.get("exact")}
        unknown = [name for name, caller in callers.items() if caller is None]
        if unknown:
            report.refuse(
                match, "exact", f"no virtual node or gateway here is {', '.join(unknown)}",
                "write an AccessPolicy, which names callers by their services",
            )  # fmt: skip
            continue
        known = [caller for caller in callers.values() if caller is not None]
        told = ", ".join(
            f"{name} is {kind} {who}"
            for name, caller in zip(callers, known, strict=True)
            for kind, who in caller.items()
        )
        report.note(match, "exact", f"becomes an AccessPolicy, in which {told}")
        port = port_name(mesh, node.name, listener.part("portMapping").get("port"))
        document = {
            "kind": "AccessPolicy",
            "name": f"{mesh.name}/{port}",
            "to": {"service": slug(node.name), "ports": [port]},
            "allow": [{"from": [dict(one) for one in dict.fromkeys(tuple(each.items()) for each in known)]}],
        }
        yield Made(document, node.origin)


def _mode(listener: Part) -> str:
    return str(listener.part("tls").get("mode", DISABLED))


def _listener(mesh: MeshIndex, node: str, port: int) -> Part:
    listeners = mesh.of("VirtualNode")[node].spec.parts("listeners")
    return next(one for one in listeners if one.part("portMapping").get("port") == port)


def _calls(mesh: MeshIndex) -> Iterator[Call]:
    """Everything that the files let somebody call."""
    for node in mesh.of("VirtualNode").values():
        for backend in node.spec.parts("backends"):
            service = backend.part("virtualService")
            policy = service if "clientPolicy" in service else node.spec.part("backendDefaults")
            yield from _called(mesh, policy, service.get("virtualServiceName"))
    for name, gateway in mesh.of("VirtualGateway").items():
        for route in mesh.gateway_routes[name]:
            for member in ("httpRoute", "http2Route", "grpcRoute"):
                service = route.spec.part(member).part("action").part("target").part("virtualService")
                yield from _called(mesh, gateway.spec.part("backendDefaults"), service.get("virtualServiceName"))


def _called(mesh: MeshIndex, policy: Part, service: str | None) -> Iterator[Call]:
    if service in mesh.of("VirtualService"):  # of others `index` tells
        yield from (Call(policy.part("clientPolicy").part("tls"), target) for target in mesh.destinations(service))


def _verified(policy: Part, report: Report) -> dict[str, Any]:
    """How a policy has the certificate of a place outside verified."""
    if policy.part("certificate").values:
        report.refuse(policy, "certificate", "a place outside is shown no certificate", "let the app itself speak TLS")
    validation = policy.part("validation")
    trust = validation.part("trust")
    file = trust.part("file").get("certificateChain")
    if not file:
        report.refuse(
            trust, next(iter(trust.values), ""), "whom an External trusts is in a file",
            "write trust.file, with the certificates of that authority",
        )  # fmt: skip
    names = validation.part("subjectAlternativeNames").part("match").get("exact")
    return without_empty({"caFile": file, "subjectAltNames": list(names or ())})


def _caller(mesh: MeshIndex, name: str) -> dict[str, str] | None:
    """Who has a certificate of this name: a SPIFFE ID that ends in its name, or a name by which it is found; None if it is not clear."""
    called = name.rpartition("/")[2] if "://" in name else name
    nodes = [node for node in mesh.of("VirtualNode") if not mesh.outside(node)]
    found = [{"service": slug(node)} for node in nodes if called in _names(mesh, node, spiffe="://" in name)]
    found += [{"gateway": slug(gateway)} for gateway in mesh.of("VirtualGateway") if called == gateway]
    return found[0] if len(found) == 1 else None


def _names(mesh: MeshIndex, node: str, *, spiffe: bool) -> set[str]:
    if spiffe:
        return {node}
    discovery = mesh.of("VirtualNode")[node].spec.part("serviceDiscovery")
    mapped = discovery.part("awsCloudMap")
    answered = {name for name in mesh.of("VirtualService") if mesh.provider(name) == ("VirtualNode", node)}
    return {
        node,
        discovery.part("dns").get("hostname"),
        f"{mapped.get('serviceName')}.{mapped.get('namespaceName')}",
    } | answered
