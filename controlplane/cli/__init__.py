"""The command `tsunagu`. Importing it costs typer and no more: see `surface`."""

from __future__ import annotations

try:
    import typer
except ModuleNotFoundError as error:  # the library of xDS servers is installed alone
    if error.name != "typer":
        raise
    raise SystemExit("error: tsunagu's command line is not installed\n  pip install 'tsunagu[mesh]'") from None

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
