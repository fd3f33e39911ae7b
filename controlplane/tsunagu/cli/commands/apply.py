"""`tsunagu apply` and `validate`: write manifests to the registry, or only check them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tsunagu.cli.command import command, plain
from tsunagu.cli.output import notice
from tsunagu.client.apply import apply_documents, planned, summary, warnings
from tsunagu.client.manifest_files import read_manifests, read_secrets
from tsunagu.settings import Home

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
    from tsunagu.client.connection import connected  # noqa: PLC0415 - `validate` needs no gRPC

    documents, secrets = read_manifests(paths), read_secrets(env_file)
    async with connected(home) as link:
        made = await apply_documents(link, documents, secrets, dry_run=dry_run)
    for line in summary(made, dry_run=dry_run):
        typer.echo(line)
    for line in warnings(made):
        notice(line)


@plain
def validate(paths: Paths, env_file: EnvFile = None) -> None:
    """Check manifests as if they were applied to an empty mesh; needs none."""
    documents = read_manifests(paths)
    made = planned(documents, {}, read_secrets(env_file))
    for line in warnings(made):
        notice(line)
    typer.echo(f"{len(documents)} document{' is' if len(documents) == 1 else 's are'} valid")
