"""Where TLS is spoken: the mode that is wanted of a port, and what follows from how far its tasks are with it.

Whoever looks at a port from outside sees three things: what its callers' clusters expect, where its tasks' endpoints are, and
at which ingresses the tasks listen. They change one after the other, in an order in which no call fails:

| to                    | first                             | then, task by task                    | at last                    |
|-----------------------|-----------------------------------|---------------------------------------|----------------------------|
| permissive            | clusters may speak TLS, and       | its endpoint is the TLS ingress, once | -                          |
|                       | tasks listen at their TLS ingress | it says that it is `ready`            |                            |
| strict                | (as permissive)                   | (as permissive)                       | no plain ingress, when all |
|                       |                                   |                                       | tasks say they are `alone` |
| from strict           | tasks listen at the plain ingress | it is not `alone` any more            | -                          |
| off                   | clusters speak plaintext, unless  | it is not `ready` any more            | no TLS ingress             |
|                       | a task is still `alone`           |                                       |                            |

The one rule: only what tasks have said of themselves, and the mode, decide; so every step is a step of the registry's, and a
restart of whoever takes part changes nothing. Nothing of this is looked up in a mesh that has no TLS.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tsunagu.mesh.frozenmap import FrozenMap
from tsunagu.model import identities
from tsunagu.model.identity.modes import OFF, STRICT
from tsunagu.model.statuses import Status

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tsunagu.mesh.indexes import Indexes
    from tsunagu.mesh.rows import PortRow, RevisionRow, TaskRow

#: The states in which callers may still have connections to a task's plain ingress, if it was led to there.
_LED: Final = frozenset({Status.RUNNING, Status.DEACTIVATING})
#: Name of the trust bundle whose trust domain is the mesh's.
DEFAULT: Final = "default"


@dataclass(frozen=True, slots=True)
class Ingresses:
    """The listeners that the tasks of a revision have for one port."""

    plain: bool
    tls: bool


def mode(tables: Indexes, namespace: str, port: PortRow | None = None) -> str:
    """The mode that is wanted in a namespace, or of one port there: one whose service has `tls` is strict by itself."""
    if port is not None and port.strict:
        return STRICT
    if not len(tables.tls):
        return OFF
    return tables.tls.get(namespace, OFF)


def secured(tables: Indexes, namespace: str) -> bool:
    """Whether any port of the namespace has to do with TLS. Nearly always nothing has, and no more is looked up."""
    if not len(tables.tls) and not len(tables.secured):
        return False
    return namespace in tables.tls or namespace in tables.secured


def involved(tables: Indexes, namespace: str, discovery_name: str) -> bool:
    """Whether callers of a name may have to speak TLS: a mode says so, or tasks that still listen for it."""
    if not secured(tables, namespace):
        return False
    return any(
        mode(tables, namespace, port) != OFF or any(_says(task, port) for task in _alive(tables, revision))
        for revision, port in providers(tables, namespace, discovery_name)
    )


def peers(tables: Indexes, namespace: str, discovery_name: str) -> tuple[str, ...]:
    """The identities of those behind a name, one of which a caller with TLS insists on; sorted. None: callers speak plaintext."""
    if not secured(tables, namespace):
        return ()
    of_name = list(providers(tables, namespace, discovery_name))
    if not any(_wanted(tables, revision, port) for revision, port in of_name):
        return ()
    domain = trust_domain(tables)
    services = {revision.service for revision, _ in of_name}
    return tuple(sorted(str(identities.of_service(domain, namespace, *name.split("/", 1))) for name in services))


def ingresses(tables: Indexes, revision: RevisionRow, port: PortRow) -> Ingresses:
    """Which listeners a revision's tasks have for a port."""
    if not secured(tables, revision.namespace):
        return Ingresses(plain=True, tls=False)
    wanted = mode(tables, revision.namespace, port)
    tasks = list(_alive(tables, revision))
    led = any(task.status in _LED and port.port_name not in task.alone for task in tasks)
    ready = any(port.port_name in task.ready for task in tasks)
    return Ingresses(plain=wanted != STRICT or led, tls=wanted != OFF or ready)


def port_of(task: TaskRow, port: PortRow, *, secured: bool) -> int:
    """Where a serving task's endpoint is. `secured`: for callers that can speak TLS. 0: the task takes nothing else, and they cannot."""
    if secured and port.port_name in task.ready:
        return port.tls_port
    return 0 if port.port_name in task.alone else port.endpoint_port


def trust_domain(tables: Indexes) -> str:
    row = tables.trust.get(DEFAULT)
    return row.trust_domain if row is not None else identities.TRUST_DOMAIN


def trusted(tables: Indexes, namespace: str) -> str | None:
    """What the proxies of a namespace trust, in PEM; None if none of them speaks TLS."""
    return tables.trusted() if secured(tables, namespace) else None


def providers(tables: Indexes, namespace: str, discovery_name: str) -> Iterator[tuple[RevisionRow, PortRow]]:
    """The revisions in force whose tasks serve a name, with the port. What is registered by hand has no proxy and no TLS."""
    for provider in tables.ports.get(namespace, FrozenMap()).get(discovery_name, frozenset()):
        revision = tables.in_force[provider.revision]
        if not revision.registered:
            yield revision, revision.ports[provider.slot]


def _wanted(tables: Indexes, revision: RevisionRow, port: PortRow) -> bool:
    """Whether callers of a port have to be able to speak TLS: by its mode, or since a task has nothing else as yet."""
    if mode(tables, revision.namespace, port) != OFF:
        return True
    return any(port.port_name in task.alone for task in _alive(tables, revision))


def _says(task: TaskRow, port: PortRow) -> bool:
    return port.port_name in task.ready or port.port_name in task.alone


def _alive(tables: Indexes, revision: RevisionRow) -> Iterator[TaskRow]:
    return (task for task in tables.tasks_of.get(revision.name, FrozenMap()).values() if task.alive)
