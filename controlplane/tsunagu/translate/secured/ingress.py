"""Which ingresses the tasks of a revision have for a port, and what is taken at the one with TLS.

The one rule: what is refused there stands in resources of their own (`translate.secured.access`), whose content may change while the
listener stays as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from tsunagu.mesh import tls as modes
from tsunagu.mesh.access import admissions
from tsunagu.translate import names
from tsunagu.translate.secured import access
from tsunagu.xds.resources import ECDS, SDS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tsunagu.mesh.rows import PortRow, RevisionRow
    from tsunagu.mesh.view import View
    from tsunagu.translate.codec import Codec
    from tsunagu.xds.resources import Resource

#: A port, with the revision that serves it.
Served: TypeAlias = "tuple[RevisionRow, PortRow]"


@dataclass(frozen=True, slots=True)
class Part:
    """A resource that is not built yet: how it is, and from which inputs."""

    build: Callable[[Codec, Any], Resource]
    inputs: access.PortAccess | access.PortAdmitted


def plain(view: View, served: Served | None) -> Served | None:
    """The inputs of the listener for plaintext; None if the tasks of the revision have none."""
    return served if served is not None and modes.ingresses(view.tables, *served).plain else None


def secured(view: View, served: Served | None) -> Served | None:
    """The inputs of the listener for TLS; None if the tasks of the revision have none."""
    return served if served is not None and modes.ingresses(view.tables, *served).tls else None


def taken(view: View, served: Served | None) -> Mapping[tuple[str, str], Part]:
    """What says who and what is taken at a listener for TLS, of which `served` are the inputs: type URL and name -> resource."""
    if served is None:
        return {}
    revision, port = served
    admission = admissions.of_port(view, revision.service, revision.namespace, port.port_name)
    row = access.PortAccess(revision.service, port.port_name, admission, modes.trust_domain(view.tables))
    if port.protocol != "tcp":
        return {(ECDS, names.access(*row.port)): Part(access.build_http, row)}
    return {
        (ECDS, names.audited(*row.port)): Part(access.build_network, row),
        (SDS, names.admitted(*row.port)): Part(access.build_admitted, access.PortAdmitted(row, view.tables.trusted())),
    }
