"""Which ingresses the tasks of a revision have for a port, and what is taken at the one with TLS.

The one rule: what is refused there stands in resources of their own (`translate.access`), whose content may change while the
listener stays as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from tsunagu.mesh import tls as modes
from tsunagu.mesh.access import admissions
from tsunagu.translate.access import PortAccess, PortAdmitted

if TYPE_CHECKING:
    from tsunagu.mesh.rows import PortRow, RevisionRow
    from tsunagu.mesh.view import View

#: A port, with the revision that serves it.
Served: TypeAlias = "tuple[RevisionRow, PortRow]"


def plain(view: View, served: Served | None) -> Served | None:
    """The inputs of the listener for plaintext; None if the tasks of the revision have none."""
    return served if served is not None and modes.ingresses(view.tables, *served).plain else None


def secured(view: View, served: Served | None) -> Served | None:
    """The inputs of the listener for TLS; None if the tasks of the revision have none."""
    return served if served is not None and modes.ingresses(view.tables, *served).tls else None


def access(view: View, served: Served | None) -> PortAccess | None:
    """What is taken at a listener for TLS, of which `served` are the inputs."""
    if served is None:
        return None
    revision, port = served
    admission = admissions.of_port(view, revision.service, revision.namespace, port.port_name)
    return PortAccess(revision.service, port.port_name, admission, modes.trust_domain(view.tables))


def admitted(view: View, served: Served | None) -> PortAdmitted | None:
    """Whose certificates are taken there, if it is a tcp port's."""
    found = access(view, served) if served is not None and served[1].protocol == "tcp" else None
    return None if found is None else PortAdmitted(found, view.tables.trusted())
