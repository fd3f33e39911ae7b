"""Makes every name that goes on the wire, and parses it again for displays.

A name is a path, so that a reader of Envoy's admin pages sees what a thing is and to what it belongs. The one rule: the
parts come from validated objects, which have no "/" in them, so a name splits into exactly the parts it was made from.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tsunagu.mesh.traffic.model import Destination

#: The listener to which a task's nat rule redirects every connection to a virtual IP.
CAPTURE: Final = "capture"
#: The envoy cluster without endpoints, to which connections to an address that is no alias go.
BLACKHOLE: Final = "blackhole"
#: The envoy cluster to which proxies that trace send their spans.
COLLECTOR: Final = "collector"
#: Its assignment for proxies that speak TLS with it.
SECURED_COLLECTOR: Final = "tls-collector"
#: The first part of an alias listener's name; node agents look for `alias/NAMESPACE/DNSNAME:`.
ALIAS: Final = "alias"
SERVICE: Final = "svc"
INGRESS: Final = "in"
#: Ingress listeners and assignments with TLS.
TLS: Final = "tls"
#: SDS: the certificates that proxies trust, and the certificate and key of the proxy itself, which are in a file.
TRUST: Final = "trust"
IDENTITY: Final = "identity"
APP: Final = "app"
GRPC: Final = "grpc"
GATEWAY: Final = "gateway"
ACCESS: Final = "access"
ADMITTED: Final = "admitted"
AUDITED: Final = "audited"
_OF_ACCESS: Final = {ACCESS: "served by", ADMITTED: "let in at", AUDITED: "counted at"}
_REVISION: Final = 3  # parts of a service revision's name
#: Stats of connections to an address that is no alias: `unoffered.calls.to.IP:PORT`.
UNOFFERED: Final = "unoffered"
UNOFFERED_STAT: Final = "calls"
UNOFFERED_TAG: Final = "to"
#: What failed is counted in `flagged.egress.responses...` and `flagged.ingress.PORTNAME.responses...` (translate/flagged.py).
FLAGGED: Final = "flagged"
FLAGGED_EGRESS: Final = f"{FLAGGED}.egress"
FLAGGED_STAT: Final = "responses"
#: The runtime key of the least status that counts as failed there, which nobody sets.
FLAGGED_FROM: Final = "tsunagu.flagged_from"
#: The certificate authorities that a proxy's machine trusts, relative to its working directory.
AUTHORITIES: Final = "./tls-authorities.pem"
#: How a proxy names itself in `proxy-status`.
PROXY: Final = "tsunagu"
#: Runtime keys that switch the egress access log: 100 for all calls, or for those that failed.
EGRESS_LOG: Final = "tsunagu.egress_log"
EGRESS_ERRORS: Final = "tsunagu.egress_errors"
#: The lowest HTTP status that counts as a failure.
EGRESS_ERRORS_FROM: Final = "tsunagu.egress_errors_from"


def service_cluster(namespace: str, discovery_name: str) -> str:
    """Name of the envoy cluster of a discovery name, and of its ClusterLoadAssignment."""
    return f"{SERVICE}/{namespace}/{discovery_name}"


def destination(namespace: str, to: Destination) -> str:
    """Name of the envoy cluster of a destination: that of its discovery name, or of one revision of it alone."""
    name = service_cluster(namespace, to.discovery_name)
    return f"{name}/{to.revision}" if to.revision else name


def alias_listener(namespace: str, dns_name: str, port: int) -> str:
    """Name of the listener of an alias, and of its route configuration."""
    return f"{ALIAS}/{namespace}/{dns_name}:{port}"


def ingress_listener(revision: str, port_name: str) -> str:
    """Name of the listener of a service revision's port, and of its inline route configuration."""
    return f"{INGRESS}/{revision}/{port_name}"


def secured_assignment(namespace: str, to: Destination) -> str:
    """Name of the ClusterLoadAssignment of a destination for callers that can speak TLS."""
    return f"{TLS}-{destination(namespace, to)}"


def tls_ingress(revision: str, port_name: str) -> str:
    """Name of the listener at which a service revision's port takes TLS."""
    return f"{TLS}/{revision}/{port_name}"


def app_cluster(revision: str, port_name: str) -> str:
    """Name of the envoy cluster of the app that shares the task with the proxy."""
    return f"{APP}/{revision}/{port_name}"


def access(service: str, port_name: str) -> str:
    """Name of the filter that refuses requests at a service's port, and of the resource that says which. `service`: CLUSTER/SERVICE."""
    return f"{ACCESS}/{service}/{port_name}"


def audited(service: str, port_name: str) -> str:
    """Name of the filter that counts the connections to a tcp port that an audited policy would refuse, and of its resource."""
    return f"{AUDITED}/{service}/{port_name}"


def admitted(service: str, port_name: str) -> str:
    """Name of the secret that says whose certificates a tcp port takes. It holds no key: certificates of CAs, and names."""
    return f"{ADMITTED}/{service}/{port_name}"


def grpc_listener(dns_name: str, port: int) -> str:
    """Name of the listener that a gRPC client asks for by `xds:///DNSNAME:PORT`.

    It is what follows the slashes, so it cannot contain the namespace. Two namespaces may each have a listener of one
    name, since no scope has the gRPC bundles of two namespaces.
    """
    return f"{dns_name}:{port}"


def grpc_route(namespace: str, dns_name: str, port: int) -> str:
    """Name of the route configuration of an alias for gRPC clients."""
    return f"{GRPC}/{namespace}/{dns_name}:{port}"


def gateway_listener(gateway: str, port: int) -> str:
    """Name of the listener of a gateway's port that takes Routes."""
    return f"{GATEWAY}/{gateway}:{port}"


def gateway_table(gateway: str) -> str:
    """Name of the route configuration of a gateway."""
    return f"{GATEWAY}/{gateway}"


def gateway_stat_prefix(gateway: str, port: int) -> str:
    return f"ingress.{gateway}_{port}"


def certificate_files(port: int) -> tuple[str, str]:
    """The files of a gateway's port, certificate chain and key, relative to its proxy's working directory."""
    return f"./tls-{port}.crt", f"./tls-{port}.key"


def ingress_stat_prefix(port_name: str) -> str:
    return f"ingress.{port_name}"


def egress_stat_prefix(dns_name: str, port: int) -> str:
    return f"egress.{dns_name}_{port}"


def unoffered_destination(stat: str) -> str:
    """The IP:PORT that a stat counts connections to; empty if it is another stat."""
    prefix = f"{UNOFFERED}.{UNOFFERED_STAT}.{UNOFFERED_TAG}."
    return stat.removeprefix(prefix) if stat.startswith(prefix) else ""


def flagged_ingress(port_name: str) -> str:
    """Prefix of the counters of what failed at a port."""
    return f"{FLAGGED}.ingress.{port_name}"


@dataclass(frozen=True, slots=True)
class ParsedName:
    """The parts of a wire name. Parts that a name of its kind does not have are empty."""

    kind: str  # svc, alias, grpc, in, tls, app, capture, blackhole, collector, trust, admitted
    namespace: str = ""
    discovery_name: str = ""
    dns_name: str = ""
    port: int = 0
    revision: str = ""  # CLUSTER/SERVICE/HASH
    service: str = ""  # CLUSTER/SERVICE
    port_name: str = ""
    gateway: str = ""

    def __str__(self) -> str:
        """The name as displays show it."""
        match self.kind:
            case "gateway":
                return f"gateway {self.gateway}" + (f", port {self.port}" if self.port else "")
            case "svc" if self.revision:
                return f"{self.discovery_name} in {self.namespace}, revision {self.revision} alone"
            case "svc":
                return f"{self.discovery_name} in {self.namespace}"
            case "alias":
                return f"{self.dns_name}:{self.port} in {self.namespace}"
            case "grpc":
                return f"{self.dns_name}:{self.port} in {self.namespace} for gRPC clients"
            case "access" | "admitted" | "audited":
                return f"who is {_OF_ACCESS[self.kind]} port {self.port_name} of {self.service}"
            case "in" | "tls" | "app":
                cluster, service, digest = self.revision.split("/")
                return f"{_OF_PORT[self.kind]} {self.port_name} of {cluster}/{service} ({digest})"
            case "trust":
                return "the certificates that are trusted"
            case _:
                return self.kind


_OF_PORT: Final = {INGRESS: "ingress", TLS: "TLS ingress", APP: "app"}


def parse(name: str) -> ParsedName | None:
    """Parse a wire name; None if it is not made here (an override, or a resource of another control plane)."""
    kind, *parts = name.split("/")
    match kind, parts:
        case (("capture" | "blackhole" | "collector" | "trust"), []):
            return ParsedName(kind)
        case "tls-svc", _:
            return parse(name.removeprefix("tls-"))
        case "gateway", [gateway]:
            called, _, port = gateway.partition(":")
            return ParsedName(kind, gateway=called, port=int(port or 0)) if port.isdecimal() or not port else None
        case "svc", [namespace, discovery_name]:
            return ParsedName(kind, namespace=namespace, discovery_name=discovery_name)
        case "svc", [namespace, discovery_name, *revision] if len(revision) == _REVISION:
            return ParsedName(kind, namespace=namespace, discovery_name=discovery_name, revision="/".join(revision))
        case (("alias" | "grpc"), [namespace, authority]):
            dns_name, _, port = authority.rpartition(":")
            return (
                ParsedName(kind, namespace=namespace, dns_name=dns_name, port=int(port)) if port.isdecimal() else None
            )
        case (("access" | "admitted" | "audited"), [cluster, service, port_name]):
            return ParsedName(kind, service=f"{cluster}/{service}", port_name=port_name)
        case (("in" | "tls" | "app"), [cluster, service, digest, port_name]):
            return ParsedName(kind, revision=f"{cluster}/{service}/{digest}", port_name=port_name)
        case _:
            return None
