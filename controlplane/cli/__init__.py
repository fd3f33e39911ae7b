"""The command `tsunagu`. Importing it costs typer and no more: see `surface`."""

from __future__ import annotations

import typer

from controlplane.cli.surface import LazyGroup

main = typer.Typer(
    name="tsunagu",
    cls=LazyGroup,
    help="ECS Service Connect on this machine, with real Envoys.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@main.callback()
def root() -> None:
    """ECS Service Connect on this machine, with real Envoys."""


__all__ = ["main"]
