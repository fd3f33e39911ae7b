"""`tsunagu resolve`: what a DNS name is, for tasks and for programs of this machine, and which instance is given or not, and why.

The one rule: it computes the answer as node agents do, from the same objects with the same functions (`mesh.discovery`), and asks no
name server: so it also says what a server could not.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tsunagu.cli import output
from tsunagu.cli.command import command
from tsunagu.cli.errors import NOT_FOUND, CliError
from tsunagu.cli.output import Cell, Format, Output
from tsunagu.client.connection import connected, short
from tsunagu.kit.spelling import did_you_mean
from tsunagu.mesh.discovery import catalogue
from tsunagu.mesh.discovery.records import Answer, Audience, answer
from tsunagu.settings import Home

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tsunagu.client.connection import Link
    from tsunagu.mesh.discovery.instances import Instance
    from tsunagu.mesh.discovery.records import Record, Told
    from tsunagu.v1.objects_pb2 import Object

_KINDS = ("Namespace", "CloudMapService", "CloudMapInstance", "ServiceRevision", "Task", "VirtualAddress", "Node")
_COLUMNS = ("INSTANCE", "FOR TASKS", "FOR THIS MACHINE", "PORT", "GIVEN", "WHY")


class Type(enum.StrEnum):
    """Of record."""

    A = "A"
    AAAA = "AAAA"
    SRV = "SRV"
    CNAME = "CNAME"
    SOA = "SOA"
    NS = "NS"


@command
async def resolve(
    home: Home,
    name: Annotated[str, typer.Argument(metavar="NAME", help="A DNS name, e.g. users.corp.internal.")],
    kind: Annotated[Type, typer.Option("--type", case_sensitive=False, help="The type of record.")] = Type.A,
    output_as: Output = Format.table,
) -> None:
    """Say what a DNS name is, for tasks and for programs of this machine, with TTL and the reason for each instance."""
    wanted = name.rstrip(".").lower()
    async with connected(home) as link:
        state = {one: await _objects(link, one) for one in _KINDS}
    found = catalogue.of_state(state)
    tasks, machine = (answer(found, (wanted, kind.value), one, _first) for one in (Audience.TASK, Audience.MACHINE))
    addresses = _connected(state["VirtualAddress"], wanted)
    if tasks is None or machine is None:
        _foreign(name, wanted, found.names(), addresses)
        tasks = machine = Answer(exists=bool(addresses))
    servers = sorted(obj.node.dns for obj in state["Node"].values() if obj.node.dns)
    document = _document(wanted, kind.value, (tasks, machine), addresses, servers)
    if output_as is not Format.table:
        output.document(output_as, document)
        return
    _show(document, (tasks, machine))
    if not tasks.exists and not addresses:
        raise CliError(f"there is no {name}", NOT_FOUND, did_you_mean(wanted, found.names()))


async def _objects(link: Link, kind: str) -> dict[str, Object]:
    listed, _ = await link.registry.list(kind)
    return {obj.meta.name: obj for obj in listed}


def _first(instances: Sequence[Instance], most: int) -> Sequence[Instance]:
    """In their order: servers give any of them, in any order."""
    return instances[:most]


def _connected(addresses: Mapping[str, Object], name: str) -> dict[str, str]:
    """Namespace -> virtual address of a name of Service Connect."""
    bodies = (obj.virtual_address for obj in addresses.values())
    return {one.namespace: one.ip for one in bodies if one.dns_name.lower() == name and not one.HasField("released_at")}


def _foreign(name: str, wanted: str, known: Sequence[str], addresses: Mapping[str, str]) -> None:
    """Raises CliError for a name that is nobody's here."""
    if not addresses:
        why = f"{name} is in no DNS namespace of this mesh: tasks that reach the internet are told what this machine's servers say"
        raise CliError(why, NOT_FOUND, did_you_mean(wanted, known, "'tsunagu get namespaces' lists namespaces"))


def _document(
    name: str, kind: str, answers: tuple[Answer, Answer], addresses: Mapping[str, str], servers: Sequence[str]
) -> dict[str, Any]:
    tasks, machine = answers
    return {
        "name": name,
        "type": kind,
        "status": "NOERROR" if tasks.exists else "NXDOMAIN",
        "forTasks": [_record(one) for one in (*tasks.records, *tasks.additional)],
        "forThisMachine": [_record(one) for one in (*machine.records, *machine.additional)],
        "negativeTtl": tasks.soa.ttl if tasks.soa else None,
        "instances": [_instance(one, other) for one, other in _pairs(tasks, machine)],
        "serviceConnect": dict(addresses),
        "servers": {"tasks": "169.254.169.253", "machine": list(servers)},
    }


def _record(record: Record) -> dict[str, Any]:
    return {"name": record.name, "type": record.type, "ttl": record.ttl, "value": record.value}


def _pairs(tasks: Answer, machine: Answer) -> list[tuple[Told, Told]]:
    outside = {one.instance.id: one for one in machine.told}
    inside = sorted(tasks.told, key=lambda one: one.instance.id)
    return [(one, outside[one.instance.id]) for one in inside]


def _instance(task: Told, machine: Told) -> dict[str, Any]:
    one = task.instance
    outside = one.outside
    return {
        "id": one.id,
        "task": one.task,
        "healthy": one.healthy,
        "address": one.attributes.get("AWS_INSTANCE_IPV4", ""),
        "outside": outside.ip if outside else "",
        "port": one.port,
        "outsidePort": outside.port(one.port) if outside and one.port else 0,
        "given": {"tasks": task.given, "machine": machine.given},
        "why": task.why if task.why == machine.why else f"{task.why}; for this machine: {machine.why}",
    }


def _show(document: Mapping[str, Any], answers: tuple[Answer, Answer]) -> None:
    answered = zip(("tasks", "this machine"), answers, strict=True) if answers[0].told or answers[0].soa else ()
    for title, answer_ in answered:
        values = ", ".join(record.value for record in answer_.records)
        ttl = f", TTL {answer_.records[0].ttl} s" if answer_.records else ""
        kept = f" (kept for {answer_.soa.ttl} s)" if answer_.soa else ""
        empty = "no record of this type" if answer_.exists else "NXDOMAIN"
        typer.echo(f"{document['type']} for {title}: {(values + ttl) if values else empty + kept}")
    for namespace, ip in document["serviceConnect"].items():
        typer.echo(
            f"for tasks of namespace {short(namespace)} first of all: {ip}, of Service Connect, by their /etc/hosts"
        )
    if servers := document["servers"]["machine"]:
        typer.echo(f"this machine asks at {', '.join(servers)}")
    if document["instances"]:
        typer.echo()
        output.table(_COLUMNS, [_cells(one) for one in document["instances"]])


def _cells(one: Mapping[str, Any]) -> list[Cell]:
    port = str(one["port"] or "-")
    if one["outsidePort"] not in (0, one["port"]):
        port += f" ({one['outsidePort']} here)"
    given = one["given"]["tasks"] or one["given"]["machine"]
    words = (one["id"], one["address"] or "-", one["outside"] or "-", port, "yes" if given else "no", one["why"])
    return [Cell(word) for word in words]
