"""`tsunagu grpc-bootstrap`: what a gRPC program outside of the mesh's tasks needs to call its services by `xds:///`.

The one rule: the token goes where the user says, the file or standard output, and nowhere else; what it is good for is
printed on standard error. (A task's containers find a file of their own: tsunagu_node.task.grpc_clients.)
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tsunagu.cli.command import command
from tsunagu.cli.errors import FAILED, USAGE, CliError
from tsunagu.client import lookup
from tsunagu.client.connection import connected
from tsunagu.kit import grpc_bootstrap as bootstraps
from tsunagu.kit import tokens
from tsunagu.settings import Home

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tsunagu.client.connection import Link
    from tsunagu.v1 import objects_pb2

_SPOKEN = frozenset({"http2", "grpc"})


@command
async def grpc_bootstrap(
    home: Home,
    client: Annotated[str, typer.Argument(help="What the program is called where proxies are shown.")] = "outside",
    namespace: Annotated[str, typer.Option("--namespace", help="Whose services it calls; may be shortened.")] = "",
    output: Annotated[Path | None, typer.Option("--output", help="A file, only its owner's [default: stdout].")] = None,
) -> None:
    """Write the bootstrap file with which a gRPC program calls the mesh's services by xds:///NAME:PORT."""
    if not client or "/" in client:
        raise CliError(f"{client!r} is no name of a program", USAGE, "use a word without a slash")
    async with connected(home) as link:
        revisions, _ = await link.registry.list("ServiceRevision")
        chosen = await _namespace(link, namespace, revisions)
        nodes, _ = await link.registry.list("Node")
    name = bootstraps.client_name(chosen, client)
    try:
        token = tokens.mint(tokens.load_key(home.key), name)
    except tokens.BadKey as error:
        raise CliError(str(error), FAILED) from error
    _write(bootstraps.render(name, token, str(home.xds_socket)), output)
    for line in _told(output, targets(chosen, revisions), nodes):
        typer.echo(line, err=True)


async def _namespace(link: Link, word: str, revisions: Iterable[objects_pb2.Object]) -> str:
    declared, _ = await link.registry.list("Namespace")
    used = {obj.service_revision.namespace for obj in revisions if obj.service_revision.connect}
    known = {obj.meta.name for obj in declared} | used
    if word or len(known) != 1:
        if not word and known:
            raise CliError("there are several namespaces", USAGE, "say which: --namespace " + "|".join(sorted(known)))
        return lookup.find("Namespace", word, known)
    return known.pop()


def targets(namespace: str, revisions: Iterable[objects_pb2.Object]) -> list[str]:
    """What such a program can call there: `xds:///NAME:PORT` of each http2 or grpc alias."""
    ports = (
        port
        for obj in revisions
        if obj.service_revision.connect and obj.service_revision.namespace == namespace
        for port in obj.service_revision.ports
        if port.app_protocol in _SPOKEN
    )
    return sorted({f"xds:///{alias.dns_name}:{alias.port}" for port in ports for alias in port.aliases})


def _write(text: str, output: Path | None) -> None:
    if output is None:
        typer.echo(text, nl=False)
        return
    fd = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "w") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(text)


def _told(output: Path | None, found: list[str], nodes: Iterable[objects_pb2.Object]) -> list[str]:
    where = str(output.absolute()) if output else "FILE"
    lines = [f"start the program with {bootstraps.VARIABLE}={where}"]
    lines.append(f"it can call {', '.join(found)}" if found else "there is no http2 or grpc service to be called yet")
    inside = sorted({obj.node.task_cidr for obj in nodes if obj.node.runtime == "linux"})
    if inside:
        lines.append(
            f"tasks have addresses of {', '.join(inside)}, which only other tasks reach: run the program in one, where "
            f"{bootstraps.VARIABLE} is set already"
        )
    return lines
