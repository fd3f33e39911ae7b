"""What becomes of each member of App Mesh's objects: it is converted, or one of these three.

The one rule: what changes nothing for callers has no meaning here and is told once; so is what is there in another way; what callers,
or those who rely on being safe from them, would miss is refused, so that nobody believes in what is not there. Every member that is not
in the table is converted (tests/unit/appmesh/test_classes.py: the conversion reads it).
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


REFUSED: Final = "refused"
DIFFERS: Final = "differs"
NO_MEANING: Final = "no meaning"


@dataclass(frozen=True, slots=True)
class Class:
    """`verdict`: REFUSED, DIFFERS (it is here, in another way) or NO_MEANING; `why`; `unless` tells the values that ask for nothing."""

    verdict: str
    why: str
    unless: Callable[[Any], bool] = lambda _value: False


def _no_meaning(why: str) -> Class:
    return Class(NO_MEANING, why)


def _differs(why: str) -> Class:
    return Class(DIFFERS, why)


def _refused(why: str, unless: Callable[[Any], bool] = lambda _value: False) -> Class:
    return Class(REFUSED, why, unless)


def _off(tls: Mapping[str, object]) -> bool:
    return tls.get("mode") == "DISABLED"


def _is_outside(discovery: Mapping[str, Any]) -> bool:
    return is_public(discovery.get("dns", {}).get("hostname", ""))


def _not_enforced(policy: Mapping[str, Any]) -> bool:
    return policy.get("tls", {}).get("enforce") is False


#: SHAPE.MEMBER -> the values with which the whole member asks for nothing.
_NOTHING: Final[Mapping[str, Callable[[Any], bool]]] = {
    "Listener.tls": _off,
    "VirtualGatewayListener.tls": _off,
    "BackendDefaults.clientPolicy": _not_enforced,
    "VirtualServiceBackend.clientPolicy": _not_enforced,
    "VirtualGatewayBackendDefaults.clientPolicy": _not_enforced,
}
_SHOWN: Final = _differs("every proxy shows a certificate of the mesh's own authority, or of yours (`--ca-cert`)")
_TRUSTED: Final = _differs("proxies trust the mesh's own authority, or yours (`--ca-cert`)")
_TRUSTED_SERVER: Final = _differs(
    "proxies trust the mesh's own authority, or yours (`--ca-cert`); of an External a file is its caFile"
)
_NAMED_SERVER: Final = _differs(
    "proxies insist on the SPIFFE ID of the service that they call; of an External names are its subjectAltNames"
)
_OF_FILES: Final = _refused(
    "a gateway's certificate is in files: write `tls: {certificateChain, privateKey}` of its port"
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
    "MeshSpec.serviceDiscovery": _IPV4,
    "VirtualNodeSpec.serviceDiscovery": Class(
        NO_MEANING, "tasks are found by what they serve, and need no other name", _is_outside
    ),
    "ListenerTls.certificate": _SHOWN,
    "ListenerTlsValidationContext.trust": _TRUSTED,
    "ClientPolicyTls.certificate": _SHOWN,
    "TlsValidationContext.trust": _TRUSTED_SERVER,
    "TlsValidationContext.subjectAlternativeNames": _NAMED_SERVER,
    "VirtualGatewayClientPolicyTls.certificate": _SHOWN,
    "VirtualGatewayTlsValidationContext.trust": _TRUSTED_SERVER,
    "VirtualGatewayTlsValidationContext.subjectAlternativeNames": _NAMED_SERVER,
    "VirtualGatewayListenerTls.mode": _refused(
        "every request at a gateway's port with tls has to be encrypted: write another port without it for plaintext",
        lambda mode: mode != "PERMISSIVE",
    ),
    "VirtualGatewayListenerTls.validation": _refused(
        "callers of a gateway show no certificate: let a proxy in front of it, or the app, ask for one"
    ),
    "VirtualGatewayListenerTlsCertificate.acm": _OF_FILES,
    "VirtualGatewayListenerTlsCertificate.sds": _OF_FILES,
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
        asks_for_nothing = _NOTHING.get(f"{part.shape}.{name}")
        if asks_for_nothing is not None and asks_for_nothing(value):
            continue
        its = of(part.shape, name)
        if its is not None:
            if not its.unless(value):
                yield its, part.issue(name, its.why)
        elif member.kind == "part":
            for inner in part.parts(name) if member.many else [part.part(name)]:
                yield from _walk(inner)
