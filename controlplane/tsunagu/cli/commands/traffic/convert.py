"""`tsunagu convert`: turns other tools' descriptions of a mesh into manifests.

The one rule: what was not converted is told, on standard error, with its place; the manifest is whole or not written.
"""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotation
from typing import Annotated

import typer

from tsunagu.cli.command import plain
from tsunagu.cli.output import notice
from tsunagu.client.manifest_files import read_texts
from tsunagu.model.errors import ManifestError

convert = typer.Typer(
    help="Turn other tools' files into manifests.", no_args_is_help=True, rich_markup_mode=None, add_completion=False
)


@convert.callback()
def group() -> None:
    """Turn other tools' descriptions of a mesh into manifests of ours; needs no mesh."""


@convert.command("appmesh")
@plain
def app_mesh(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="App Mesh's JSON: inputs, or `describe-*` answers.")],
    into: Annotated[Path | None, typer.Option("-o", "--output", metavar="FILE", help="Instead of to stdout.")] = None,
    without_refused: Annotated[
        bool, typer.Option("--without-refused", help="Convert though members that would be missed are left out.")
    ] = False,
) -> None:
    """Convert an App Mesh mesh to Services, Routes, TrafficPolicies and Gateways."""
    from tsunagu.appmesh import convert as converter  # noqa: PLC0415 - for this alone
    from tsunagu.appmesh.manifest import manifest  # noqa: PLC0415

    found = converter.convert(read_texts(folder))
    refused = () if without_refused else found.refused
    if found.errors or refused:
        raise ManifestError([*found.errors, *refused])
    for issue in [*found.refused, *found.notes]:
        notice(str(issue))
    text = manifest(found.documents)
    if into is None:
        typer.echo(text, nl=False)
    else:
        into.write_text(text)
        notice(f"{into}: {len(found.documents)} documents; `tsunagu validate {into}` checks them")
