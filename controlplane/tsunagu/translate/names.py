"""Every name that goes on the wire is minted here, and read back here for displays.

Names are paths of words: a reader of Envoy's admin pages sees what a thing is and whose. The one rule: words come from
validated objects (no "/" in them), so a name splits back into exactly the words it was made of.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

#: The listener to which the task's netfilter rule sends every connection to a virtual IP.
CAPTURE: Final = "capture"
#: The envoy cluster without endpoints: where a connection to an address that is no alias ends.
BLACKHOLE: Final = "blackhole"
#: What the names of the aliases of all namespaces begin with; node agents look for `alias/NAMESPACE/DNSNAME:`.
ALIAS: Final = "alias"
SERVICE: Final = "svc"
INGRESS: Final = "in"
APP: Final = "app"
GRPC: Final = "grpc"


def service_cluster(namespace: str, discovery_name: str) -> str:
    """The envoy cluster of a discovery name, and the name of its ClusterLoadAssignment."""
    return f"{SERVICE}/{namespace}/{discovery_name}"


def alias_listener(namespace: str, dns_name: str, port: int) -> str:
    """The listener of an alias, and the name of its route configuration."""
    return f"{ALIAS}/{namespace}/{dns_name}:{port}"


def ingress_listener(revision: str, port_name: str) -> str:
    """The listener of a service revision's port, and of its inline route configuration."""
    return f"{INGRESS}/{revision}/{port_name}"


def app_cluster(revision: str, port_name: str) -> str:
    """The envoy cluster of the app that shares the task with the proxy."""
    return f"{APP}/{revision}/{port_name}"


def grpc_listener(dns_name: str, port: int) -> str:
    """The listener that a gRPC client of a namespace asks for by `xds:///DNSNAME:PORT`: what stands after the slashes.

    So it bears no namespace: two namespaces may each have one of this name, and no scope has the gRPC bundles of two.
    """
    return f"{dns_name}:{port}"


def grpc_route(namespace: str, dns_name: str, port: int) -> str:
    """The route configuration of an alias for gRPC clients."""
    return f"{GRPC}/{namespace}/{dns_name}:{port}"


def ingress_stat_prefix(port_name: str) -> str:
    return f"ingress.{port_name}"


def egress_stat_prefix(dns_name: str, port: int) -> str:
    return f"egress.{dns_name}_{port}"


@dataclass(frozen=True, slots=True)
class Words:
    """What a wire name says. Fields that its kind has no word for are empty."""

    kind: str  # svc, alias, grpc, in, app, capture, blackhole
    namespace: str = ""
    discovery_name: str = ""
    dns_name: str = ""
    port: int = 0
    revision: str = ""  # CLUSTER/SERVICE/HASH
    port_name: str = ""

    def __str__(self) -> str:
        """As a display shows it."""
        match self.kind:
            case "svc":
                return f"{self.discovery_name} in {self.namespace}"
            case "alias":
                return f"{self.dns_name}:{self.port} in {self.namespace}"
            case "grpc":
                return f"{self.dns_name}:{self.port} in {self.namespace} for gRPC clients"
            case "in" | "app":
                cluster, service, digest = self.revision.split("/")
                return f"{'ingress' if self.kind == 'in' else 'app'} {self.port_name} of {cluster}/{service} ({digest})"
            case _:
                return self.kind


def parse(name: str) -> Words | None:
    """The words of a wire name; None when it is not one of ours (an override, somebody else's control plane)."""
    kind, *words = name.split("/")
    match kind, words:
        case (("capture" | "blackhole"), []):
            return Words(kind)
        case "svc", [namespace, discovery_name]:
            return Words(kind, namespace=namespace, discovery_name=discovery_name)
        case (("alias" | "grpc"), [namespace, authority]):
            dns_name, _, port = authority.rpartition(":")
            return Words(kind, namespace=namespace, dns_name=dns_name, port=int(port)) if port.isdecimal() else None
        case (("in" | "app"), [cluster, service, digest, port_name]):
            return Words(kind, revision=f"{cluster}/{service}/{digest}", port_name=port_name)
        case _:
            return None
