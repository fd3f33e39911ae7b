"""`tsunagu why`: walks the way of one call, and says in a sentence what is wrong with it and what would mend it."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tsunagu.cli import output
from tsunagu.cli.command import command
from tsunagu.cli.errors import FAULT_FOUND
from tsunagu.cli.output import Cell, Format, Output, notice
from tsunagu.client.connection import connected
from tsunagu.client.errors import UnknownName
from tsunagu.client.tasks import all_tasks
from tsunagu.settings import Home

if TYPE_CHECKING:
    from tsunagu.cli.why.facts import Facts
    from tsunagu.cli.why.judge import Judgement
    from tsunagu.cli.why.verdict import Step
    from tsunagu.client.tasks import Choice, Tasks

_COLOURS = {"ok": "green", "BAD": "red", "?": "yellow"}


@command
async def why(  # noqa: PLR0913, PLR0917 - its arguments are the command's options
    home: Home,
    task: Annotated[str, typer.Argument(help="Who calls: ID of a task, or a service: its oldest running task.")],
    target: Annotated[str, typer.Argument(metavar="NAME:PORT|URL", help="What it calls.")],
    verbose: Annotated[bool, typer.Option("--verbose", help="Show each step with what was found.")] = False,
    patience: Annotated[float, typer.Option("--timeout", min=0.1, max=60, help="Seconds that a call may take.")] = 5.0,
    no_call: Annotated[bool, typer.Option("--no-call", help="Only look: make no call.")] = False,
    output_as: Output = Format.table,
) -> None:
    """Say why a call fails, and what would mend it; ends with code 9 when something is wrong."""
    from tsunagu.cli.why import judge, steps  # noqa: PLC0415 - it needs what is known of each resource
    from tsunagu.cli.why import target as targets  # noqa: PLC0415
    from tsunagu.cli.why.gather.gather import Gathering  # noqa: PLC0415

    called = targets.parse(target)
    async with connected(home) as link:
        choice = _caller(await all_tasks(link), task)
        if choice.why:
            notice(choice.why)
        facts = await Gathering(link, choice.task, called, 0 if no_call else patience).gathered()
    judgement, way = judge.judge(facts), steps.walk(facts)
    if output_as is not Format.table:
        output.document(output_as, as_values(facts, judgement, way))
    else:
        _show(judgement, way, verbose=verbose)
    if judgement.verdict.fault:
        raise typer.Exit(FAULT_FOUND)


def _caller(tasks: Tasks, word: str) -> Choice:
    """The task that calls. Raises UnknownName, InvalidRequest."""
    try:
        return tasks.choose(word)
    except UnknownName as error:
        if word.partition(":")[0] != "host":
            raise
        what = "a program of this machine is in no task, from which the call could be made"
        hint = "'tsunagu access host NAME:PORT' says who is admitted, 'tsunagu resolve NAME' where the twins are"
        raise UnknownName(what, hint) from error


def _show(judgement: Judgement, way: tuple[Step, ...], *, verbose: bool) -> None:
    typer.echo(judgement.verdict.sentence)
    for other in judgement.others:
        typer.echo(f"Also: {other.sentence}")
    typer.echo()
    cells = [[step.name, Cell(step.state, _COLOURS.get(step.state, "")), step.meant, step.found] for step in way]
    if verbose:
        output.listing(Format.table, [], ["STEP", "", "MEANT", "FOUND"], cells)
    else:
        typer.echo(" -> ".join(f"{step.name} {step.state}" for step in way))


def as_values(facts: Facts, judgement: Judgement, way: tuple[Step, ...]) -> dict[str, Any]:
    """All of it for programs."""
    verdict = judgement.verdict
    return {
        "kind": verdict.kind,
        "sentence": verdict.sentence,
        "what": verdict.what,
        "remedy": verdict.remedy,
        "sure": verdict.sure.value,
        "fault": verdict.fault,
        "at": verdict.at,
        "others": [one.sentence for one in judgement.others],
        "steps": [dataclasses.asdict(step) for step in way],
        "facts": dataclasses.asdict(facts),
    }
