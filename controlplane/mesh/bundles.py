"""The names of the bundles that proxies' scopes are made of. They never go on the wire (`translate.names` does that)."""

from __future__ import annotations

NAMESPACE_PREFIX = "ns/"
REVISION_PREFIX = "rev/"


def namespace_bundle(namespace: str) -> str:
    """What every proxy of a namespace sees: envoy clusters, endpoints, alias listeners, routes."""
    return NAMESPACE_PREFIX + namespace


def revision_bundle(revision: str) -> str:
    """What the proxies of one service revision (CLUSTER/SERVICE/HASH) see besides: their ingress."""
    return REVISION_PREFIX + revision
