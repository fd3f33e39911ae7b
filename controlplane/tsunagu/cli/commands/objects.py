"""`tsunagu get`, `describe` and `delete`: any kind of object, as the registry has it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tsunagu.cli import columns, differences, errors, notices, output, unoffered
from tsunagu.cli.command import command
from tsunagu.cli.display import outside_counts
from tsunagu.cli.errors import CliError
from tsunagu.cli.output import Format, Output
from tsunagu.client.connection import connected
from tsunagu.client.lookup import kind_named, readable, short_words
from tsunagu.client.nodes import delete_node
from tsunagu.client.tasks import all_tasks, has_stopped
from tsunagu.model import ids
from tsunagu.model.masking import MASK
from tsunagu.settings import Home

if TYPE_CHECKING:
    from tsunagu.client.connection import Link
    from tsunagu.v1.objects_pb2 import Object

Kind = Annotated[str, typer.Argument(help="e.g. service, tasks, taskdefinition, ns; case does not matter.")]
Name = Annotated[str, typer.Argument(help="May be shortened where that is unique.")]
Unmask = Annotated[bool, typer.Option("--unmask", help="Show environment values that look like secrets, too.")]


@command
async def get(
    home: Home,
    kind: Annotated[str, typer.Argument(help="A kind, in any case, singular, plural or short; without it: all.")] = "",
    name: Name = "",
    unmask: Unmask = False,
    output_as: Output = Format.table,
) -> None:
    """List the objects of a kind, or show one; without a kind, list the kinds."""
    if not kind:
        _kinds(output_as)
        return
    wanted = kind_named(kind)
    async with connected(home) as link:
        if name:
            found = [await _named(link, wanted, name)]
        else:
            found, _ = await link.registry.list(wanted)
        if wanted == "Node":
            await notices.show(link)
    titles, cells = columns.of_kind(wanted, found)
    shown = [output.object_dict(obj, unmask=unmask) for obj in found]
    if name and output_as is not Format.table:
        output.document(output_as, shown[0])
    else:
        output.listing(output_as, shown, titles, cells)
    if output_as is not Format.table:
        _notice_masked(shown)


def _kinds(form: Format) -> None:
    rows = [
        {"kind": kind.name, "name": kind.prefix[:-1], "short": ", ".join(short_words(kind.name))}
        for kind in ids.KINDS.values()
    ]
    output.listing(form, rows, ["KIND", "NAME", "SHORT"], [list(row.values()) for row in rows])


async def _named(link: Link, kind: str, name: str) -> Object:
    """The object that a name means; of a task also by the name of its service. Raises UnknownName, InvalidRequest."""
    if kind != "Task":
        return await link.find(kind, name)
    choice = (await all_tasks(link)).choose(name)
    if choice.why:
        output.notice(choice.why)
    return choice.task


def _notice_masked(shown: Any) -> None:
    if MASK in str(shown):
        output.notice("values that look like secrets are masked; --unmask shows them")


@command
async def describe(
    home: Home,
    kind: Kind,
    name: Name,
    unmask: Unmask = False,
    every: Annotated[bool, typer.Option("-a", "--all", help="Of a service: also tasks that have stopped.")] = False,
) -> None:
    """Tell all about one object: its members as YAML; of a service also its tasks, and what AWS would do otherwise."""
    wanted = kind_named(kind)
    async with connected(home) as link:
        obj = await _named(link, wanted, name)
        owned = (await all_tasks(link)).of_owner(obj.meta.name, stopped=True) if wanted == "Service" else []
        beside = await differences.of_service(link, obj) if wanted == "Service" else []
        callers = [obj] if wanted == "Task" else owned
        to_nobody = await unoffered.rows(link, callers)
        left = await outside_counts.rows(link, callers)
    shown = _readable(output.object_dict(obj, unmask=unmask))
    typer.echo(output.as_yaml(shown))
    tasks = [task for task in owned if every or not has_stopped(task)] or owned[-1:]
    if tasks:
        typer.echo("\nTasks")
        titles, cells = columns.of_kind("Task", columns.newest_first(tasks))
        output.listing(Format.table, [], titles, cells)
    for line in beside:
        typer.echo(line)
    if to_nobody:
        typer.echo("\nCalls to what nobody offers ('tsunagu why' says more)")
        output.listing(Format.table, [], ["TASK", "CALLED", "TIMES"], to_nobody)
    if left:
        typer.echo("\nOutside of the mesh")
        output.listing(Format.table, [], outside_counts.TITLES, left)
    _notice_masked(shown)


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
