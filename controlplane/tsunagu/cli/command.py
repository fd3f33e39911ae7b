"""What every command shares: the options that say which mesh, the way it runs, and how its errors are shown.

The one rule: a command is an async function whose first parameter is the `Home`; `command` makes of it what typer
takes, so no command parses --home, starts a loop or prints an error by itself.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from tsunagu.cli import errors
from tsunagu.cli.errors import USER_ERRORS, code_of, describe
from tsunagu.client.errors import first
from tsunagu.settings import Home, SettingsError, home_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

HomeOption = Annotated[
    str | None,
    typer.Option(
        "--home", metavar="PATH", help="Directory of the mesh [default: $TSUNAGU_HOME, or the one of --name]."
    ),
]
NameOption = Annotated[
    str, typer.Option("--name", help="Name of the mesh, in place of a directory [default: default].")
]

_SHARED = {"mesh_home": (HomeOption, None), "mesh_name": (NameOption, "")}


def command(function: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """A typer command of ``async function(home, ...)``: adds --home and --name, runs it, shows its errors."""

    @functools.wraps(function)
    def run(*args: Any, mesh_home: str | None = None, mesh_name: str = "", **kwargs: Any) -> None:
        try:
            home = home_of(_folder(mesh_home), mesh_name, os.environ)
            asyncio.run(_main(function(home, *args, **kwargs)))
        except BaseExceptionGroup as group:  # of a TaskGroup: its first error is the cause of the others
            cause = first(group)
            if not isinstance(cause, USER_ERRORS):
                raise
            finish(cause)
        except USER_ERRORS as error:
            finish(error)

    signature = inspect.signature(function, eval_str=True)
    own = list(signature.parameters.values())[1:]
    shared = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
        for name, (annotation, default) in _SHARED.items()
    ]
    run.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[*own, *shared], return_annotation=None
    )
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in (*own, *shared)}
    del run.__wrapped__
    return run


def plain(function: Callable[..., None]) -> Callable[..., None]:
    """A typer command that needs no mesh; its errors are shown in the same way."""

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> None:
        try:
            function(*args, **kwargs)
        except USER_ERRORS as error:
            finish(error)

    return run


def _folder(given: str | None) -> Path | None:
    """The directory that --home names. Raises SettingsError for an empty one, which comes of an unset variable."""
    if given is not None and not given.strip():
        raise SettingsError("--home is empty; name a directory, . for this one")
    return None if given is None else Path(given)


async def _main(awaitable: Awaitable[None]) -> None:
    await awaitable


def finish(error: BaseException) -> NoReturn:
    """Print an error on standard error and end with its exit code."""
    if isinstance(error, BrokenPipeError):  # the reader of our output has seen enough, e.g. `tsunagu logs | head`
        _print_to_nobody()
        raise typer.Exit(errors.OK) from None
    for line in describe(error):
        typer.echo(line, err=True)
    raise typer.Exit(code_of(error)) from None


def say(line: str) -> None:
    """Print a line of a command that goes on when the reader of its output has seen enough (`tsunagu up -d ... | head`)."""
    try:
        typer.echo(line)
    except BrokenPipeError:
        _print_to_nobody()


def _print_to_nobody() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


__all__ = ["Home", "command", "finish", "plain", "say"]
