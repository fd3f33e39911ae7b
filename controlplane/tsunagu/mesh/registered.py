"""Rows of what is registered by hand in Cloud Map, in the terms of services and tasks.

A CloudMapService is a service revision that offers one port, each instance with an address a task of it that is always there and has no proxy
of its own. The one rule: whatever holds for endpoints (balancing, outlier detection, who sees them) holds for these without another word.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tsunagu.mesh.rows import PortRow, RevisionRow, TaskRow
from tsunagu.model import cloud_map, ids, revisions

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tsunagu.v1 import objects_pb2

#: Begins the names of these rows; no service revision's name begins so, since a cluster has no colon.
PREFIX: Final = "cloudmap:"


@dataclass(frozen=True, slots=True)
class RegisteredRow:
    """One CloudMapService, without its instances. `aliases`: its own, empty if they follow from its instances."""

    name: str
    protocol: str
    aliases: tuple[tuple[str, int], ...]
    created: int  # registry revision at which the object was created


def revision_name(service: str) -> str:
    """Name of the row of a CloudMapService among the service revisions."""
    return PREFIX + service


def of_service(obj: objects_pb2.Object) -> RegisteredRow:
    body = obj.cloud_map_service
    aliases = tuple((alias.dns_name, alias.port) for alias in body.aliases)
    return RegisteredRow(obj.meta.name, body.app_protocol or "tcp", aliases, obj.meta.created_revision)


def of_instance(name: str, obj: objects_pb2.Object) -> TaskRow | None:
    """The row of an instance; None if it has no address, so that nobody can be led to it."""
    body = obj.cloud_map_instance
    address = cloud_map.address_of(body.attributes)
    if address is None or cloud_map.unreachable(address.ip):
        return None
    service, _ = ids.cloud_map_service_of(name)
    return TaskRow(
        name=PREFIX + name,
        namespace=service.partition("/")[0],
        revision=revision_name(service),
        gateway="",
        node="",
        zone="",
        ip=address.from_tasks,
        status="",
        alive=True,
        serving=cloud_map.is_healthy(body),
        port=address.port,
    )


def revision(row: RegisteredRow, instances: Iterable[TaskRow]) -> RevisionRow:
    """Return what a service offers with these instances."""
    namespace, _, name = row.name.partition("/")
    port = PortRow(
        port_name=name,
        discovery_name=name,
        container_port=0,
        protocol=row.protocol,
        ingress_port=0,
        aliases=row.aliases or cloud_map.implied_aliases(row.name, (instance.port for instance in instances)),
        idle_timeout=revisions.IDLE_TIMEOUT.get(row.protocol, revisions.IDLE_TIMEOUT_HTTP),
        request_timeout=0 if row.protocol == "tcp" else revisions.PER_REQUEST_TIMEOUT,
        intercept=True,
    )
    return RevisionRow(
        name=revision_name(row.name),
        service=revision_name(row.name),
        namespace=namespace,
        connect=True,
        created=row.created,
        ports=(port,),
        access_log=None,
        registered=True,
    )
