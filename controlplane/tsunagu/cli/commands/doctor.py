"""`tsunagu doctor`: what this machine can do for a mesh, what it cannot, and the remedy."""

from __future__ import annotations

from dataclasses import asdict

import typer

from tsunagu.cli import errors, output
from tsunagu.cli.command import plain
from tsunagu.cli.output import Cell, Format, Output
from tsunagu_node.runtime.linux import probe


@plain
def doctor(output_as: Output = Format.table) -> None:
    """Say what this machine can do for a mesh, what it cannot, and the remedy; code 1 when no mesh can run."""
    findings = probe.findings()
    cells = [[_mark(found), found.name, found.detail, found.remedy] for found in findings]
    output.listing(output_as, [asdict(found) for found in findings], ("", "WHAT", "HERE", "REMEDY"), cells)
    if not probe.usable(findings):
        raise typer.Exit(errors.FAILED)


def _mark(found: probe.Finding) -> Cell:
    if found.ok:
        return Cell("ok", "green")
    return Cell("NO", "bold red") if found.needed else Cell("no", "yellow")
