"""What becomes of each member of App Mesh's objects: it is converted, or one of these two.

The one rule: what changes nothing for callers has no meaning here and is told once; what callers, or those who rely on being
safe from them, would miss is refused, so that nobody believes in what is not there. Every member that is not in the table is
converted (tests/unit/appmesh/test_classes.py: the conversion reads it).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from tsunagu.appmesh.index import is_public
from tsunagu.appmesh.shapes import members

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tsunagu.appmesh.reading import Found, Part
    from tsunagu.model.errors import Issue


@dataclass(frozen=True, slots=True)
class Class:
    """`refused`, or without meaning here; `why`; `unless` tells the values that ask for nothing."""

    refused: bool
    why: str
    unless: Callable[[Any], bool] = lambda _value: False


def _no_meaning(why: str) -> Class:
    return Class(refused=False, why=why)


def _refused(why: str, unless: Callable[[Any], bool] = lambda _value: False) -> Class:
    return Class(refused=True, why=why, unless=unless)


def _off(tls: Mapping[str, object]) -> bool:
    return tls.get("mode") == "DISABLED"


def _of_files(tls: Mapping[str, Any]) -> bool:
    return tls.get("mode") == "STRICT" and "file" in tls.get("certificate", {}) and "validation" not in tls


def _is_outside(discovery: Mapping[str, Any]) -> bool:
    return is_public(discovery.get("dns", {}).get("hostname", ""))


def _not_enforced(tls: Mapping[str, object]) -> bool:
    return tls.get("enforce") is False


_IN_MESH: Final = (
    "how tasks speak with each other is said by `tls` of the Namespace (permissive, strict), or of a port in"
    " serviceConnectConfiguration; a proxy's certificate is the mesh's own, and not from files or AWS's services"
)
_IPV4: Final = _no_meaning("the addresses of a mesh are IPv4")
_FORMAT: Final = _no_meaning("an access log has Service Connect's fields")
_TOKEN: Final = _no_meaning("it makes a request safe to repeat; a manifest is")
_TAGS: Final = _no_meaning("tags are of accounts and bills")
_PROBES: Final = _no_meaning("it asked AWS's proxies about themselves; a gateway's Envoy is looked after by its node")

#: SHAPE.MEMBER, or *.MEMBER of every request.
CLASSES: Final[dict[str, Class]] = {
    "*.clientToken": _TOKEN,
    "*.tags": _TAGS,
    "*.meshOwner": _no_meaning("a mesh here is of nobody's account"),
    "MeshSpec.egressFilter": _no_meaning("only calls to names of the mesh pass the proxy; others leave past it"),
    "MeshSpec.serviceDiscovery": _IPV4,
    "VirtualNodeSpec.serviceDiscovery": Class(
        refused=False, why="tasks are found by what they serve, and need no other name", unless=_is_outside
    ),
    "BackendDefaults.clientPolicy": _refused(_IN_MESH, lambda policy: _not_enforced(policy.get("tls", {}))),
    "VirtualServiceBackend.clientPolicy": _refused(_IN_MESH, lambda policy: _not_enforced(policy.get("tls", {}))),
    "VirtualGatewayBackendDefaults.clientPolicy": _refused(
        _IN_MESH, lambda policy: _not_enforced(policy.get("tls", {}))
    ),
    "Listener.tls": _refused(_IN_MESH, _off),
    "VirtualGatewayListener.tls": _refused(
        "a gateway's certificate is in files, every request has to be encrypted, and callers show no certificate",
        lambda tls: _off(tls) or _of_files(tls),
    ),
    "VirtualGatewayListener.connectionPool": _refused(
        "a gateway has no limits of its own; a TrafficPolicy's connectionPool limits the calls to a destination"
    ),
    "VirtualGatewayListener.healthCheck": _PROBES,
    "FileAccessLog.format": _FORMAT,
    "VirtualGatewayFileAccessLog.format": _FORMAT,
    "TcpRoute.timeout": _no_meaning("the idle timeout of a tcp alias is that of the port behind it"),
    "VirtualGatewayPortMapping.protocol": _no_meaning("a gateway's port takes HTTP/1 and HTTP/2"),
    "HttpRouteMatch.scheme": _refused("requests within a mesh are http", lambda scheme: scheme == "http"),
    "HealthCheckPolicy.port": _no_meaning("the port that serves is the one that is checked"),
}


def of(shape: str, member: str) -> Class | None:
    """The class of a member that is not converted; None if it is."""
    return CLASSES.get(f"{shape}.{member}") or (CLASSES.get(f"*.{member}") if shape.endswith("Input") else None)


def not_converted(found: Found) -> Iterator[tuple[Class, Issue]]:
    """Each member of an object that is not converted, at its place. Its members must be sound (`reading.check`)."""
    yield from _walk(found.body)


def _walk(part: Part) -> Iterator[tuple[Class, Issue]]:
    for name, value in part.values.items():
        member = members(part.shape).get(name)
        if member is None:
            continue
        its = of(part.shape, name)
        if its is not None:
            if not its.unless(value):
                yield its, part.issue(name, its.why)
        elif member.kind == "part":
            for inner in part.parts(name) if member.many else [part.part(name)]:
                yield from _walk(inner)
