"""Names the bundles that a proxy's scope consists of.

The one rule: these names never go on the wire; `translate.names` makes those that do.
"""

from __future__ import annotations

NAMESPACE_PREFIX = "ns/"
REVISION_PREFIX = "rev/"
ZONE_PREFIX = "zone/"
TRACED_PREFIX = "traced/"
GRPC_PREFIX = "grpc/"
GATEWAY_PREFIX = "gateway/"
OVERRIDE_PREFIX = "override/"


def namespace_bundle(namespace: str) -> str:
    """The bundle of what every proxy of a namespace sees: envoy clusters, endpoints, alias listeners, routes."""
    return NAMESPACE_PREFIX + namespace


def revision_bundle(revision: str) -> str:
    """The bundle of what only the proxies of one service revision (CLUSTER/SERVICE/HASH) see: their ingress."""
    return REVISION_PREFIX + revision


def zone_bundle(namespace: str, zone: str) -> str:
    """The bundle of what proxies in one zone of a namespace see instead of the namespace's: assignments as they prefer them."""
    return f"{ZONE_PREFIX}{namespace}/{zone}"


def traced_bundle(namespace: str) -> str:
    """The bundle of what only the proxies that trace see of a namespace: alias listeners with a tracer, and the collector.

    It hides the namespace's alias listeners, which have none.
    """
    return TRACED_PREFIX + namespace


def gateway_bundle(gateway: str) -> str:
    """The bundle of what only the proxy of a gateway sees: its listeners, and the table of its Routes."""
    return GATEWAY_PREFIX + gateway


def limited_bundle(bundle: str, backends: tuple[str, ...]) -> str:
    """The part of a bundle that proxies of services with these backends see instead of it; without backends, itself."""
    return f"{bundle}/only/{','.join(backends)}" if backends else bundle


def grpc_bundle(namespace: str) -> str:
    """The bundle of what only gRPC clients of a namespace see: its aliases by the names that they ask for.

    Envoys do not have it in their scope, because an Envoy takes every listener that it may see.
    """
    return GRPC_PREFIX + namespace


def override_bundle(namespace: str) -> str:
    """The bundle of raw resources, for lessons and tests: the first in the scopes of a namespace, so it hides the others'."""
    return OVERRIDE_PREFIX + namespace


def shared_bundles(
    namespace: str, zone: str, *, traces: bool = False, backends: tuple[str, ...] = ()
) -> tuple[str, ...]:
    """The bundles that a proxy shares with the others of its namespace, of those that trace there, or of its zone.

    A zone's bundle holds assignments alone, for which nobody asks who does not see the cluster.
    """
    of_tracing = (limited_bundle(traced_bundle(namespace), backends),) if traces else ()
    of_zone = (zone_bundle(namespace, zone),) if zone else ()
    return override_bundle(namespace), *of_tracing, *of_zone, limited_bundle(namespace_bundle(namespace), backends)
