"""What the ports of a mesh take: the policies of a View, by service and port.

The one rule: a policy counts for a service in its own namespace alone, whatever somebody has written into the registry.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tsunagu.mesh.access.words import admission
from tsunagu.mesh.frozenmap import FrozenMap

if TYPE_CHECKING:
    from tsunagu.mesh.access.words import Admission, PolicyRow
    from tsunagu.mesh.view import View


def policies_of(view: View, service: str, namespace: str) -> tuple[PolicyRow, ...]:
    """The policies that select a service (CLUSTER/SERVICE), by name."""
    if not len(view.tables.access):
        return ()
    rows = view.tables.access.get(service, FrozenMap()).values()
    return tuple(sorted((row for row in rows if row.namespace == namespace), key=lambda row: row.name))


def of_port(view: View, service: str, namespace: str, port_name: str) -> Admission:
    """What one port of a service takes; OPEN if no policy selects it."""
    return admission(policies_of(view, service, namespace), port_name)


def revisions_of(view: View, service: str) -> tuple[str, ...]:
    """Names of a service's revisions in force."""
    return tuple(sorted(view.tables.revisions_of.get(service, FrozenMap[None]()).keys()))
