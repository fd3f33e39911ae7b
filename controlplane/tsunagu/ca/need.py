"""Which namespaces need identities, and which authority signs for a task: read from the registry alone.

The one rule: a mesh in which nobody speaks TLS has no authority, and loads nothing of what makes one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tsunagu.registry.informer import Informer
    from tsunagu.v1 import objects_pb2

    State = Mapping[str, Mapping[str, objects_pb2.Object]]

DEFAULT: Final = "default"
"""The name of the authority that signs unless a service names another."""
WATCHED: Final = frozenset({"Namespace", "ServiceRevision", "TrustBundle"})
"""The kinds of which a change may change the answer."""
_SPEAK_TLS: Final = frozenset({"permissive", "strict"})


def namespaces(state: State) -> Sequence[str]:
    """Return the namespaces whose tasks have identities, sorted: those that speak TLS, or in which a service does."""
    found = {name for name, obj in state.get("Namespace", {}).items() if obj.namespace.tls in _SPEAK_TLS}
    for obj in state.get("ServiceRevision", {}).values():
        body = obj.service_revision
        if body.namespace not in found and any(port.HasField("tls") for port in body.ports):
            found.add(body.namespace)
    return sorted(found - {""})


def authority_of(spec: objects_pb2.TaskSpec, state: State) -> str:
    """Return the name of the authority that signs for a task: the one that its service names, if it is here."""
    revision = state.get("ServiceRevision", {}).get(spec.service_revision)
    ports = revision.service_revision.ports if revision is not None else ()
    named = (called(port.tls.authority) for port in ports if port.tls.authority)
    return next((name for name in named if name in state.get("TrustBundle", {})), DEFAULT)


def called(authority: str) -> str:
    """Return the name by which an authority is known here: what follows `certificate-authority/` in its ARN, in lower case."""
    return authority.rpartition("certificate-authority/")[2].lower()


async def arises(informer: Informer) -> None:
    """Return when a namespace needs identities, or once did."""
    follower = informer.follow()
    await informer.wait_synced()
    while not informer.objects("TrustBundle") and not namespaces(informer.state):
        async for item in follower:
            if any(change.kind in WATCHED for change in item.changes):
                break
