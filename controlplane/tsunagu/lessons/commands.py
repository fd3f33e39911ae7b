"""`tsunagu lessons` and `tsunagu lesson N`: the lessons on the command line.

The one rule: `--auto` ends with 0 only if all that the lesson says was so.
"""

from __future__ import annotations

import shutil
from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import TYPE_CHECKING, Annotated

import typer

from tsunagu.cli.command import plain
from tsunagu.cli.errors import FAILED, USAGE, CliError
from tsunagu.lessons.course import load, titles
from tsunagu.lessons.ending import signals_end_it
from tsunagu.lessons.play import FAILURES, play
from tsunagu.lessons.terminal import Narrator, Teacher

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tsunagu.lessons.marking import Mark

_WITH_EXERCISE = 10


@plain
def lessons() -> None:
    """List the lessons."""
    for number, title in titles().items():
        typer.echo(f"{number:>3}  {title}")
    typer.echo("\n'tsunagu lesson 1' begins; each takes about ten minutes and leaves nothing behind.")


@plain
def lesson(
    number: Annotated[int, typer.Argument(help="Which; 'tsunagu lessons' lists them.")],
    auto: Annotated[
        bool, typer.Option("--auto", help="Ask nothing, go through it, and assert all that it says.")
    ] = False,
    exercise: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Of lesson 10: write its exercise into this new folder.")
    ] = None,
    mark: Annotated[
        Path | None, typer.Option(metavar="PROGRAM", help="Of lesson 10: mark what was made of its exercise.")
    ] = None,
) -> None:
    """Go through a lesson: predict, see what real Envoys do, and read why."""
    known = titles()
    if number not in known:
        raise CliError(
            f"there is no lesson {number}", USAGE, f"there are 1 to {max(known)}; 'tsunagu lessons' lists them"
        )
    if exercise or mark:
        _exercise(number, exercise, mark)
        return
    _lead(number, auto=auto)


def _lead(number: int, *, auto: bool) -> None:
    audience = Narrator(number) if auto else Teacher(number)
    try:
        with signals_end_it():
            played = play(load(number), audience)
    except EOFError:
        raise CliError("the input ended before the lesson", FAILED, "--auto asks nothing") from None
    except FAILURES as error:
        raise CliError(f"lesson {number} cannot go on: {error}", FAILED) from error
    if played.wrong:
        raise CliError("\n".join(["this was not so:", *played.wrong]), FAILED)


def _exercise(number: int, folder: Path | None, program: Path | None) -> None:
    from tsunagu.lessons import marking  # noqa: PLC0415 - of one lesson
    from tsunagu.lessons.workshop_stage import EXERCISE  # noqa: PLC0415 - of one lesson

    if number != _WITH_EXERCISE:
        raise CliError(f"lesson {number} has no exercise", USAGE, f"lesson {_WITH_EXERCISE} has one")
    if folder:
        shutil.copytree(EXERCISE, folder)
        typer.echo(f"{folder / 'README.md'} says what is to be done")
    if program:
        if not program.is_file():
            raise CliError(f"there is no program {program}", USAGE, "--exercise FOLDER writes one to begin with")
        try:
            _mark(marking.marked(program))
        except FAILURES as error:
            raise CliError(str(error), FAILED) from error


def _mark(marks: Iterable[Mark]) -> None:
    missing = 0
    for mark in marks:
        missing += bool(mark.wrong)
        typer.echo(f"✗ {mark.task}\n  {mark.wrong}" if mark.wrong else f"✓ {mark.task}")
    if missing:
        raise CliError(f"{missing} of these are not done yet", FAILED)
    typer.echo("all of it is done")
