"""The command `tsunagu`. Importing it costs typer and no more: see `surface`."""

from __future__ import annotations

import os
import sys
from typing import Annotated

try:
    import typer
except ModuleNotFoundError as error:  # the library of xDS servers is installed alone
    if error.name != "typer":
        raise
    raise SystemExit(
        "error: tsunagu's command line is not installed\n  install its extra `mesh`: pip install '.[mesh]' in a checkout"
    ) from None

from tsunagu.cli.command_table import LazyGroup

main = typer.Typer(
    name="tsunagu",
    cls=LazyGroup,
    help="ECS Service Connect on this machine, with real Envoys.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    """Show the versions and end, as the command `version` does: many try the option first."""
    if wanted:
        from tsunagu.cli.commands.version import version  # noqa: PLC0415 - for this alone

        version()
        raise typer.Exit


@main.callback()
def root(
    version: Annotated[  # noqa: ARG001 - its callback has shown it
        bool, typer.Option("--version", is_eager=True, callback=_show_version, help="Show the versions and end.")
    ] = False,
) -> None:
    """ECS Service Connect on this machine, with real Envoys."""
    _open_what_is_closed()


def _open_what_is_closed() -> None:
    """A standard stream that our caller has closed is /dev/null: else a socket gets its number, and what is written
    there with it.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            null = os.open(os.devnull, os.O_RDWR)
            if null != number:
                os.dup2(null, number)
                os.close(null)
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115 - as long as we live


__all__ = ["main"]
