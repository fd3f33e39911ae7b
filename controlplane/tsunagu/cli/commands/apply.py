"""`tsunagu apply` and `validate`: write manifests to the registry, or only check them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from tsunagu.cli.command import command, plain
from tsunagu.cli.manifest_options import Allow, Cluster, EnvFile, Quiet, Runtime, RuntimeName, ServiceName, Sets
from tsunagu.cli.output import notice
from tsunagu.client.apply import apply_documents, planned, summary, warnings
from tsunagu.client.manifest_files import read_all, read_secrets
from tsunagu.model.manifests.reading import CommandLine
from tsunagu.model.masking import MASK
from tsunagu.settings import Home

Paths = Annotated[list[Path], typer.Argument(metavar="PATH...", help="Manifests, directories of them, or - .")]


@command
async def apply(  # noqa: PLR0913, PLR0917 - the options of the command
    home: Home,
    paths: Paths,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done, field by field.")] = False,
    unmask: Annotated[
        bool, typer.Option("--unmask", help="With --dry-run, also values that look like secrets.")
    ] = False,
    env_file: EnvFile = None,
    service_name: ServiceName = "",
    cluster: Cluster = "",
    sets: Sets = None,
    quiet: Quiet = False,
    force: Annotated[
        bool, typer.Option("--force-new-deployment", help="Replace the services' tasks though nothing has changed.")
    ] = False,
) -> None:
    """Bring manifests into the running mesh: all of them, or nothing when one is wrong."""
    from tsunagu.client.connection import connected  # noqa: PLC0415 - `validate` needs no gRPC

    reading, secrets = read_all(paths, CommandLine(service_name, cluster, tuple(sets or ()))), read_secrets(env_file)
    async with connected(home) as link:
        made = await apply_documents(link, reading, secrets, dry_run=dry_run, force=force)
    lines = list(summary(made, dry_run=dry_run, unmask=unmask))
    for line in lines:
        typer.echo(line)
    if any(MASK in line for line in lines):
        notice("values that look like secrets are masked; --unmask shows them")
    for line in warnings(made, reading.notes, quiet=quiet):
        notice(line)


def _print_schema(wanted: bool) -> None:
    """Print the JSON Schema of manifests and end."""
    if wanted:
        from tsunagu.model.json_schema import schema  # noqa: PLC0415 - for this alone

        typer.echo(json.dumps(schema(), indent=1))
        raise typer.Exit


Schema = Annotated[
    bool,
    typer.Option(
        "--schema", is_eager=True, callback=_print_schema, help="Print a JSON Schema of manifests, for editors."
    ),
]


@plain
def validate(  # noqa: PLR0913, PLR0917 - the options of the command
    paths: Paths,
    env_file: EnvFile = None,
    service_name: ServiceName = "",
    cluster: Cluster = "",
    sets: Sets = None,
    quiet: Quiet = False,
    runtime: Runtime = RuntimeName.auto,
    allow: Allow = None,
    schema: Schema = False,  # noqa: ARG001 - its callback has printed it
) -> None:
    """Check manifests as if they were applied to an empty mesh; needs none."""
    from tsunagu.cli.local.request import needs, with_nodes  # noqa: PLC0415 - `apply` asks the mesh
    from tsunagu.cli.local.runtime import wish  # noqa: PLC0415

    reading = read_all(paths, CommandLine(service_name, cluster, tuple(sets or ())))
    chosen = wish(runtime, allow or ()).expected(needs(reading.documents))
    made = planned(reading, with_nodes(chosen), read_secrets(env_file))
    for line in warnings(made, reading.notes, quiet=quiet):
        notice(line)
    count = len(reading.documents)
    typer.echo(f"{count} document{' is' if count == 1 else 's are'} valid")
