"""`tsunagu proxies NAME --diff`: what the control plane would send to a proxy against what its Envoy has.

The rule: both are of one moment. The two are asked one after the other, so the control plane is asked again afterwards;
when something has changed in between, all of it is asked anew.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import typer

from tsunagu.cli import output
from tsunagu.cli.compare import config_dump
from tsunagu.cli.compare.compare import COMPARED, SAME, Verdict, compare
from tsunagu.cli.errors import DIFFERS, FAILED, CliError
from tsunagu.cli.output import Cell, Format
from tsunagu.client.connection import ask_envoy, short
from tsunagu.v1 import inspector_pb2

if TYPE_CHECKING:
    from tsunagu.client.connection import Link

_TRIES = 3
_COLOURS = {"+": typer.colors.GREEN, "-": typer.colors.RED, "@": typer.colors.CYAN}


@dataclass(frozen=True, slots=True)
class Comparison:
    """`settled` is False when the mesh kept changing under the comparison."""

    proxy: str
    connected: bool
    settled: bool
    verdicts: list[Verdict]
    static: dict[str, int]

    @property
    def agrees(self) -> bool:
        return all(verdict.agrees for verdict in self.verdicts)


async def show(link: Link, proxy: str, form: Format) -> None:
    """Compares and prints; ends the command with the exit code DIFFERS when there is a difference."""
    found = await _compared(link, proxy)
    if form is Format.table:
        _print(found)
    else:
        output.document(form, _as_dict(found))
    if not found.agrees:
        raise typer.Exit(DIFFERS)


async def _compared(link: Link, proxy: str) -> Comparison:
    task = await link.registry.get("Task", proxy)
    if task is None:
        raise CliError(f"{short(proxy)} is not the proxy of a task: there is no Envoy to ask", FAILED)
    request = inspector_pb2.ResourcesRequest(proxy=proxy)
    wanted = await link.inspector.Resources(request)
    for _ in range(_TRIES):
        before, held = wanted, _read(await ask_envoy(link, task, config_dump.PAGE))
        wanted = await link.inspector.Resources(request)
        settled = _state(before) == _state(wanted)
        if settled:
            break
    return Comparison(proxy, wanted.connected, settled, compare(wanted.resources, held), held.static)


def _state(answer: Any) -> list[tuple[str, str, str, str]]:
    return [(one.type, one.name, one.version, one.state) for one in answer.resources]


def _read(page: bytes) -> config_dump.Dump:
    try:
        return config_dump.read(json.loads(page))
    except config_dump.NotADump as error:
        raise CliError(str(error), FAILED) from error
    except ValueError as error:
        raise CliError(f"Envoy's {config_dump.PAGE} is no JSON: {error}", FAILED) from error


def _as_dict(found: Comparison) -> dict[str, Any]:
    resources = [
        {"type": one.type, "name": one.name, "verdict": one.word, "why": one.why, "diff": list(one.diff)}
        for one in found.verdicts
    ]
    known = {"proxy": found.proxy, "connected": found.connected, "settled": found.settled, "agrees": found.agrees}
    return {**known, "resources": resources, "static": found.static}


def _print(found: Comparison) -> None:
    if not found.connected:
        output.notice(f"{short(found.proxy)} is not connected: this is what it would be offered")
    if not found.settled:
        output.notice("the mesh is changing: what differs here may be on its way")
    shown = [verdict for verdict in found.verdicts if verdict.word != SAME]
    if shown:
        rows = [[one.type, one.name, Cell(one.word, "" if one.agrees else "red"), one.why] for one in shown]
        output.table(("TYPE", "NAME", "VERDICT", "WHY"), [[_cell(value) for value in row] for row in rows])
    for verdict in shown:
        _print_diff(verdict)
    typer.echo(_summary(found))


def _cell(value: Any) -> Cell:
    return value if isinstance(value, Cell) else Cell(str(value))


def _print_diff(verdict: Verdict) -> None:
    if not verdict.diff:
        return
    typer.echo(f"\n--- control plane: {verdict.type} {verdict.name}\n+++ Envoy: {verdict.type} {verdict.name}")
    for line in verdict.diff:
        colour = _COLOURS.get(line[:1])
        typer.secho(line, fg=colour) if sys.stdout.isatty() else typer.echo(line)


def _summary(found: Comparison) -> str:
    """CDS 6 same, EDS 4 same, LDS 5 same of 6; of its bootstrap, not compared: 1 CDS."""
    all_of = Counter(verdict.type for verdict in found.verdicts)
    same = Counter(verdict.type for verdict in found.verdicts if verdict.word == SAME)
    parts = [
        f"{kind} {same[kind]} same" + (f" of {all_of[kind]}" if same[kind] != all_of[kind] else "")
        for kind in COMPARED
        if all_of[kind]
    ]
    static = ", ".join(f"{count} {kind}" for kind, count in found.static.items() if count)
    end = f"; of its bootstrap, not compared: {static}" if static else ""
    return (", ".join(parts) or "nothing is configured") + end
