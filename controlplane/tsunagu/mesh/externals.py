"""Rows of Externals, services outside of the mesh, in the terms of services and tasks.

An External is a service revision that offers one port, each of its addresses a task that is always there and has no proxy of its own. The one
rule: whatever holds for endpoints (balancing, outlier detection, who sees them) holds for these. DNS names are no endpoints that the control
plane could tell, since each proxy resolves them where it calls: of an External that has one, all addresses are part of its `Outside`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tsunagu.mesh.rows import Outside, PortRow, RevisionRow, TaskRow, Tls
from tsunagu.model.outside import external

if TYPE_CHECKING:
    from tsunagu.v1 import external_pb2, objects_pb2

#: Begins the names of these rows; no service revision's name begins so, since a cluster has no colon.
PREFIX: Final = "external:"


def revision_name(name: str) -> str:
    """Name of the row of an External among the service revisions."""
    return PREFIX + name


def outside(body: external_pb2.External) -> Outside:
    addresses = external.addresses(body)
    named = not all(one.is_ip for one in addresses)
    tls = Tls(body.tls.server_name, external.certificate_names(body), body.tls.ca_certificates)
    return Outside(
        resolved=tuple((one.from_tasks, one.port) for one in addresses) if named else (),
        tls=tls if body.HasField("tls") else None,
    )


def of_external(obj: objects_pb2.Object) -> RevisionRow:
    """The row of what an External offers."""
    name, body = obj.meta.name, obj.external
    namespace, _, called = name.partition("/")
    idle, request = external.timeouts(body)
    port = PortRow(
        port_name=called,
        discovery_name=called,
        container_port=0,
        protocol=external.protocol(body),
        ingress_port=0,
        aliases=external.aliases(name, body),
        idle_timeout=idle,
        request_timeout=request,
        intercept=True,
        outside=outside(body),
    )
    return RevisionRow(
        name=revision_name(name),
        service=revision_name(name),
        namespace=namespace,
        connect=True,
        created=obj.meta.created_revision,
        ports=(port,),
        access_log=None,
        registered=True,
    )


def of_addresses(obj: objects_pb2.Object) -> dict[str, TaskRow]:
    """The rows of its addresses, by name. One that is resolved by proxies, or stands beside such a one, serves nothing by itself."""
    name = revision_name(obj.meta.name)
    named = bool(outside(obj.external).resolved)
    return {
        row.name: row
        for one in external.addresses(obj.external)
        for row in [
            TaskRow(
                name=f"{name}/{one.host}:{one.port}",
                namespace=obj.meta.name.partition("/")[0],
                revision=name,
                gateway="",
                node="",
                zone="",
                ip="" if named else one.from_tasks,
                status="",
                alive=True,
                serving=not named,
                port=one.port,
            )
        ]
    }
