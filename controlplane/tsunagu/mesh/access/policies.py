"""Reads `kind: AccessPolicy` into the words of access.

The one rule: every default of the kind stands here; what is read was validated (`model.rules.access`), so nothing is refused here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tsunagu.mesh.access.words import AccessRule, PolicyRow, Principal, Requests
from tsunagu.model import identities, references

if TYPE_CHECKING:
    from tsunagu.v1 import access_pb2

AUDIT = "audit"


def policy(name: str, body: access_pb2.AccessPolicy) -> PolicyRow:
    """Return the row of an AccessPolicy. `name`: NAMESPACE/NAME."""
    namespace = name.partition("/")[0]
    return PolicyRow(
        name=name,
        namespace=namespace,
        service=references.service_name(body.to.service),
        ports=tuple(sorted(body.to.ports)),
        audit=body.mode == AUDIT,
        rules=tuple(
            AccessRule(
                f"{name}[{index}]",
                tuple(dict.fromkeys(_principal(namespace, one) for one in rule.callers)),
                tuple(dict.fromkeys(map(_requests, rule.requests))),
            )
            for index, rule in enumerate(body.allow)
        ),
    )


def _principal(own: str, body: access_pb2.AccessCaller) -> Principal:
    """`own`: the namespace of the policy."""
    domain, namespace = identities.TRUST_DOMAIN, body.namespace or own
    if body.anyone:
        return Principal()
    if body.service:
        cluster, _, service = references.service_name(body.service).partition("/")
        return Principal(identities.of_service(domain, namespace, cluster, service).path)
    if body.family:
        cluster = body.cluster or references.DEFAULT_CLUSTER
        return Principal(identities.of_family(domain, namespace, cluster, body.family).path)
    if body.gateway:
        return Principal(identities.of_gateway(domain, namespace, body.gateway).path)
    return Principal(identities.hosts(namespace) if body.hosts else identities.members(namespace))


def _requests(body: access_pb2.AccessRequest) -> Requests:
    if body.method_name:
        return Requests(path_kind="exact", path=f"/{body.service_name}/{body.method_name}")
    if body.service_name:
        return Requests(path_kind="below", path=f"/{body.service_name}/")
    if body.path:
        return Requests(body.method, "exact", body.path)
    return Requests(body.method, "below" if body.prefix else "", body.prefix)
