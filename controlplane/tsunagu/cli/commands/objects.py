"""`tsunagu get`, `describe` and `delete`: any kind of object, as the registry has it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tsunagu.cli import columns, errors, output
from tsunagu.cli.command import command
from tsunagu.cli.errors import CliError
from tsunagu.cli.output import Format, Output
from tsunagu.client.connection import connected
from tsunagu.client.lookup import kind_named, readable
from tsunagu.client.nodes import delete_node
from tsunagu.model import ids
from tsunagu.settings import Home

if TYPE_CHECKING:
    from tsunagu.client.connection import Link

Kind = Annotated[str, typer.Argument(help="e.g. service, tasks, taskdefinition, ns; case does not matter.")]
Name = Annotated[str, typer.Argument(help="May be shortened where that is unique.")]


@command
async def get(home: Home, kind: Kind, name: Name = "", output_as: Output = Format.table) -> None:
    """List the objects of a kind, or show one."""
    wanted = kind_named(kind)
    async with connected(home) as link:
        if name:
            found = [await link.find(wanted, name)]
        else:
            found, _ = await link.registry.list(wanted)
    titles, cells = columns.of_kind(wanted, found)
    if name and output_as is not Format.table:
        output.document(output_as, output.object_dict(found[0]))
    else:
        output.listing(output_as, [output.object_dict(obj) for obj in found], titles, cells)


@command
async def describe(home: Home, kind: Kind, name: Name) -> None:
    """Tell all about one object: its members as YAML; of a service also its tasks."""
    wanted = kind_named(kind)
    async with connected(home) as link:
        obj = await link.find(wanted, name)
        tasks = await _tasks_of(link, obj) if wanted == "Service" else []
    typer.echo(output.as_yaml(_readable(output.object_dict(obj))))
    if tasks:
        typer.echo("\nTasks")
        titles, cells = columns.of_kind("Task", tasks)
        output.listing(Format.table, [], titles, cells)


async def _tasks_of(link: Link, service: Any) -> list[Any]:
    tasks, _ = await link.registry.list("Task")
    return [
        task for task in tasks if ids.service_name(task.task.spec.cluster, task.task.spec.service) == service.meta.name
    ]


def _readable(shown: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in shown.items() if value not in ({}, [], "")}


@command
async def delete(
    home: Home,
    kind: Annotated[str, typer.Argument(help="Kind of the object.")] = "",
    name: Annotated[str, typer.Argument(help="Its whole name, or that without its cluster.")] = "",
    file: Annotated[list[Path] | None, typer.Option("-f", "--file", help="Delete what these manifests name.")] = None,
    force: Annotated[
        bool, typer.Option("--force", help="A lost node, though no other has room for its tasks.")
    ] = False,
) -> None:
    """Delete an object, or everything that manifests name. A deleted service drains its tasks; those of a node are lost."""
    if bool(file) == bool(kind and name):
        raise CliError("delete takes KIND NAME, or -f PATH", errors.USAGE, "e.g. tsunagu delete service default/web")
    async with connected(home) as link:
        if file:
            await _delete_named(link, file)
        else:
            wanted = kind_named(kind)
            obj = await link.find(wanted, name, whole=True)
            if wanted == "Node":
                await delete_node(link, obj, force=force)
            else:
                await link.registry.delete(wanted, obj.meta.name, expected=obj.meta.revision)
            typer.echo(f"{readable(wanted)} {obj.meta.name} deleted")


async def _delete_named(link: Link, paths: list[Path]) -> None:
    from tsunagu.client.apply import delete_documents  # noqa: PLC0415 - reading YAML is not everybody's cost
    from tsunagu.client.manifest_files import read_manifests  # noqa: PLC0415

    deleted = await delete_documents(link, read_manifests(paths))
    for change in deleted:
        typer.echo(f"{readable(change.kind)} {change.name} deleted")
    if not deleted:
        typer.echo("nothing of it is there")
