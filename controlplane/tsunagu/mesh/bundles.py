"""The names of the bundles that proxies' scopes are made of. They never go on the wire (`translate.names` does that)."""

from __future__ import annotations

NAMESPACE_PREFIX = "ns/"
REVISION_PREFIX = "rev/"
GRPC_PREFIX = "grpc/"


def namespace_bundle(namespace: str) -> str:
    """What every proxy of a namespace sees: envoy clusters, endpoints, alias listeners, routes."""
    return NAMESPACE_PREFIX + namespace


def revision_bundle(revision: str) -> str:
    """What the proxies of one service revision (CLUSTER/SERVICE/HASH) see besides: their ingress."""
    return REVISION_PREFIX + revision


def grpc_bundle(namespace: str) -> str:
    """What gRPC clients of a namespace see besides: its aliases as they ask for them. Envoys, which take every
    listener that there is, do not have it.
    """
    return GRPC_PREFIX + namespace
