"""`tsunagu register` and `tsunagu deregister`: names for what is no task: a database, a virtual machine, a program on this host.

The one rule: what they write is what Cloud Map's RegisterInstance writes, so either side sees and takes away what the other made.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from tsunagu.cli.command import command
from tsunagu.cli.errors import USAGE, CliError
from tsunagu.cli.local import aws_endpoint
from tsunagu.client import lookup
from tsunagu.client.connection import connected
from tsunagu.client.wait_converged import Deadline, until_converged
from tsunagu.model import cloud_map, ids
from tsunagu.registry.objects import DeleteObject, PutObject
from tsunagu.settings import Home
from tsunagu.v1 import objects_pb2

if TYPE_CHECKING:
    from tsunagu.client.connection import Link

#: Says of a service that `register` made it, so that it goes with its last instance.
_MARK = "tsunagu-register"
_LOCAL = "127.0.0.1"
_NOT_IN_DOCKER = (
    "warning: containers do not reach this machine's loopback; register the address that it has in the engine's network"
)


class Protocol(StrEnum):
    """What tasks speak with an instance."""

    tcp = "tcp"
    http = "http"
    http2 = "http2"
    grpc = "grpc"


Name = Annotated[
    str, typer.Argument(metavar="NAME", help="What tasks call it; NAMESPACE/NAME where there are several.")
]
Seconds = Annotated[float, typer.Option("--timeout", min=0, help="Seconds until it gives up waiting for the proxies.")]


@command
async def register(  # noqa: PLR0913, PLR0917 - the options of the command
    home: Home,
    name: Name,
    address: Annotated[str, typer.Argument(metavar="ADDRESS:PORT", help="Where it answers, as this machine sees it.")],
    protocol: Annotated[Protocol, typer.Option(help="What it speaks: tcp carries anything.")] = Protocol.tcp,
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="The port that tasks call [default: its own].")
    ] = 0,
    identifier: Annotated[str, typer.Option("--id", help="Its ID as an instance [default: ADDRESS:PORT].")] = "",
    timeout: Seconds = 10.0,
) -> None:
    """Give tasks a name for something that is no task; again with another address, and calls are balanced over both."""
    ip, number = _address(address)
    aws_endpoint.refuse(home, ip, number)
    async with connected(home) as link:
        service = await _service_name(link, name)
        body = objects_pb2.CloudMapInstance(attributes={cloud_map.IPV4: ip, cloud_map.PORT: str(number)})
        body.created_at.GetCurrentTime()
        instance = ids.cloud_map_instance_name(service, identifier or f"{ip}:{number}")
        changes = [PutObject(ids.make("CloudMapInstance", instance, body))]
        if await link.registry.get("CloudMapService", service) is None:
            changes.insert(0, PutObject(_service(service, protocol, port), 0))
        revision = await link.registry.batch(changes)
        await until_converged(link, revision, Deadline(timeout), typer.echo)
        if ip.startswith("127.") and any(
            node.node.runtime == "docker" for node in (await link.registry.list("Node"))[0]
        ):
            typer.echo(_NOT_IN_DOCKER, err=True)
    called = service.partition("/")[2]
    typer.echo(f"tasks of namespace {service.partition('/')[0]} reach {ip}:{number} at {called}:{port or number}")


@command
async def deregister(
    home: Home,
    name: Name,
    which: Annotated[str, typer.Argument(metavar="[ADDRESS:PORT]", help="Which one, or its ID [default: all].")] = "",
    timeout: Seconds = 10.0,
) -> None:
    """Take such a name away again, or one of the addresses behind it."""
    async with connected(home) as link:
        service = lookup.find("CloudMapService", name, await _names(link, "CloudMapService"))
        registered = await _names(link, "CloudMapInstance", f"{service}/")
        instance = ids.cloud_map_instance_name(service, which)
        gone = [lookup.find("CloudMapInstance", instance, registered, whole=True)] if which else registered
        changes = [DeleteObject("CloudMapInstance", one) for one in gone]
        made = await link.registry.get("CloudMapService", service)
        if set(gone) == set(registered) and made is not None and made.cloud_map_service.creator_request_id == _MARK:
            changes.append(DeleteObject("CloudMapService", service))
        if changes:
            revision = await link.registry.batch(changes)
            await until_converged(link, revision, Deadline(timeout), typer.echo)
    for one in gone:
        typer.echo(f"{ids.cloud_map_service_of(one)[1]} of {service} is deregistered")


def _service(name: str, protocol: Protocol, port: int) -> objects_pb2.Object:
    body = objects_pb2.CloudMapService(app_protocol=protocol.value, creator_request_id=_MARK)
    body.created_at.GetCurrentTime()
    if port:
        namespace, _, called = name.partition("/")
        for dns_name in (called, f"{called}.{namespace}".lower()):
            body.aliases.add(dns_name=dns_name, port=port)
    return ids.make("CloudMapService", name, body)


def _address(text: str) -> tuple[str, int]:
    ip, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal():
        raise CliError(f"{text!r} is no ADDRESS:PORT", USAGE, "e.g. 127.0.0.1:5432, for a database on this machine")
    return _LOCAL if ip == "localhost" else ip, int(port)


async def _service_name(link: Link, name: str) -> str:
    """NAMESPACE/NAME; a name alone is of the only namespace. Raises CliError when there are several, or none."""
    if "/" in name:
        return name
    namespaces = await _names(link, "Namespace")
    if len(namespaces) != 1:
        known = f"the namespaces are {', '.join(namespaces)}" if namespaces else "there is no namespace yet"
        raise CliError(f"in which namespace is {name!r}? {known}", USAGE, f"write NAMESPACE/{name}")
    return ids.cloud_map_service_name(namespaces[0], name)


async def _names(link: Link, kind: str, prefix: str = "") -> list[str]:
    return [obj.meta.name for obj in (await link.registry.list(kind, prefix))[0]]
