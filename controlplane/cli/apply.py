"""`tsunagu apply` and `validate`: manifests into the registry, or only under the magnifying glass."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from controlplane.cli import applying
from controlplane.cli.options import command, plain
from controlplane.cli.output import say
from controlplane.cli.reading import read_manifests, read_secrets
from controlplane.settings import Home

Paths = Annotated[list[Path], typer.Argument(metavar="PATH...", help="Manifests, directories of them, or - .")]
EnvFile = Annotated[Path | None, typer.Option(help="NAME=VALUE lines: the values of `secrets`.")]


@command
async def apply(
    home: Home,
    paths: Paths,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    env_file: EnvFile = None,
) -> None:
    """Bring manifests into the running mesh: all of them, or nothing when one is wrong."""
    from controlplane.cli.link import connected  # noqa: PLC0415 - `validate` needs no gRPC

    documents, secrets = read_manifests(paths), read_secrets(env_file)
    async with connected(home) as link:
        made = await applying.apply_documents(link, documents, secrets, dry_run=dry_run)
    for line in applying.told(made, dry_run=dry_run):
        typer.echo(line)
    for line in applying.remarks(made):
        say(line)


@plain
def validate(paths: Paths, env_file: EnvFile = None) -> None:
    """Check manifests as if they were applied to an empty mesh; needs none."""
    documents = read_manifests(paths)
    made = applying.planned(documents, {}, read_secrets(env_file))
    for line in applying.remarks(made):
        say(line)
    typer.echo(f"{len(documents)} document{' is' if len(documents) == 1 else 's are'} valid")
