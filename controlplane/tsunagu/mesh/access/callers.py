"""The identities that a person may mean: a service, a gateway, a family of tasks, programs of a machine.

| written | whose identity |
|---|---|
| `web`, `batch/web` | a service of cluster `default`, or of another |
| `gateway:front` | a gateway |
| `family:job` | tasks of a family that belong to no service |
| `host`, `host:NODE` | programs of any machine, or of one |

The service of a program that `tsunagu connect` runs is one of the last, by whatever name it is called.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tsunagu.kit.spelling import did_you_mean
from tsunagu.mesh import tls
from tsunagu.mesh.access import admissions
from tsunagu.mesh.frozenmap import FrozenMap
from tsunagu.model import identities, references

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tsunagu.mesh.view import View


class UnknownCaller(LookupError):
    """Nobody is called so. `right`: what would be right."""

    def __init__(self, message: str, right: str = "") -> None:
        self.right = right
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Caller:
    """A caller: the namespace whose names it sees (empty: any), and the path of its SPIFFE ID there."""

    written: str
    namespace: str
    kind: str
    name: str

    def identity(self, view: View, namespace: str) -> str:
        """The path of its SPIFFE ID, as a member of a namespace."""
        domain = tls.trust_domain(view.tables)
        if self.kind == "gateway":
            return identities.of_gateway(domain, namespace, self.name).path
        if self.kind == "host":
            return identities.of_host(domain, namespace, self.name).path
        cluster, _, name = references.service_name(self.name).partition("/")
        if self.kind == "family":
            return identities.of_family(domain, namespace, cluster, name).path
        return identities.of_service(domain, namespace, cluster, name).path


def find(view: View, written: str) -> Caller:
    """Return the caller that is written so. Raises UnknownCaller."""
    kind, colon, name = written.partition(":")
    if written == "host" or (colon and kind == "host"):
        return Caller(written, "", "host", name or _any_node(view))
    if colon and kind == "family":
        return Caller(written, "", "family", name)
    if colon and kind == "gateway":
        gateway = view.gateway(name)
        if gateway is None:
            raise UnknownCaller(f"there is no gateway {name!r}", _nearest(name, view.tables.gateways))
        return Caller(written, gateway.namespace, "gateway", name)
    service = references.service_name(written)
    revisions = admissions.revisions_of(view, service)
    if not revisions:
        known = {row.service for row in view.tables.in_force.values() if not row.registered}
        raise UnknownCaller(f"no connected service is called {service!r}", _nearest(service, known))
    newest = view.tables.in_force[revisions[-1]]
    if newest.host:
        return Caller(written, newest.namespace, "host", _node_of(view, newest.name))
    return Caller(written, newest.namespace, "service", service)


def _node_of(view: View, revision: str) -> str:
    """The node of a task of a revision; any node while it has none."""
    tasks = view.tables.tasks_of.get(revision, FrozenMap()).values()
    return min((task.node for task in tasks if task.alive), default=_any_node(view))


def _any_node(view: View) -> str:
    return min(view.tables.nodes, default="any")


def _nearest(name: str, known: Iterable[str]) -> str:
    return did_you_mean(name, known, "a caller is a service, gateway:NAME, family:NAME or host")
