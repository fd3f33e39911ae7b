"""`tsunagu apply` and `validate`: write manifests to the registry, or only check them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tsunagu.cli.command import command, plain
from tsunagu.cli.manifest_options import Cluster, EnvFile, Quiet, ServiceName
from tsunagu.cli.output import notice
from tsunagu.client.apply import apply_documents, planned, summary, warnings
from tsunagu.client.manifest_files import read_all, read_secrets
from tsunagu.model.manifests.reading import Names
from tsunagu.settings import Home

Paths = Annotated[list[Path], typer.Argument(metavar="PATH...", help="Manifests, directories of them, or - .")]


@command
async def apply(  # noqa: PLR0913, PLR0917 - the options of the command
    home: Home,
    paths: Paths,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    env_file: EnvFile = None,
    service_name: ServiceName = "",
    cluster: Cluster = "",
    quiet: Quiet = False,
    force: Annotated[
        bool, typer.Option("--force-new-deployment", help="Replace the services' tasks though nothing has changed.")
    ] = False,
) -> None:
    """Bring manifests into the running mesh: all of them, or nothing when one is wrong."""
    from tsunagu.client.connection import connected  # noqa: PLC0415 - `validate` needs no gRPC

    reading, secrets = read_all(paths, Names(service_name, cluster)), read_secrets(env_file)
    async with connected(home) as link:
        made = await apply_documents(link, reading, secrets, dry_run=dry_run, force=force)
    for line in summary(made, dry_run=dry_run):
        typer.echo(line)
    for line in warnings(made, reading.notes, quiet=quiet):
        notice(line)


@plain
def validate(
    paths: Paths,
    env_file: EnvFile = None,
    service_name: ServiceName = "",
    cluster: Cluster = "",
    quiet: Quiet = False,
) -> None:
    """Check manifests as if they were applied to an empty mesh; needs none."""
    reading = read_all(paths, Names(service_name, cluster))
    made = planned(reading, {}, read_secrets(env_file))
    for line in warnings(made, reading.notes, quiet=quiet):
        notice(line)
    count = len(reading.documents)
    typer.echo(f"{count} document{' is' if count == 1 else 's are'} valid")
