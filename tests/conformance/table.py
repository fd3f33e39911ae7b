"""docs/conformance.md, made of the tables of cases and pitfalls and of what the markers say."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
DOCUMENT = HERE.parents[1] / "docs" / "conformance.md"
VARIANTS = {"S": "state of the world", "D": "delta", "B": "both"}
NEEDS = ("transcript", "server", "envoy", "grpc")
TITLES = {
    "subscribing": "Subscribing", "wildcards": "Wildcards", "unsubscribing": "Unsubscribing", "removal": "Removal",
    "nonces": "Nonces, ACK and NACK", "reconnect": "Reconnects", "ordering": "Order and warming",
    "plumbing": "Streams and services", "versions": "Versions and pushes", "status": "Secrets, extensions, status",
    "grpc": "gRPC clients", "on_demand": "On demand", "warming": "Clients that withhold their answers",
}  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A row of cases.toml. `optional`: why it may be missing."""

    number: str
    area: str
    variant: str
    needs: str
    says: str
    optional: str = ""

    @property
    def variants(self) -> str:
        return "SD" if self.variant == "B" else self.variant


def cases() -> list[Case]:
    areas = tomllib.loads((HERE / "cases.toml").read_text())
    return [Case(number, area, **row) for area, rows in areas.items() for number, row in rows.items()]


def pitfalls() -> dict[str, str]:
    return tomllib.loads((HERE / "pitfalls.toml").read_text())


def shown(rows: list[dict[str, Any]], mark: str, name: str, variant: str = "") -> list[dict[str, Any]]:
    """The tests that show a case or a pitfall, in one variant or in any."""
    return [row for row in rows if name in row[mark] and variant in row["variants"]]


def document(rows: list[dict[str, Any]]) -> str:
    """The whole page."""
    table = cases()
    done = [case for case in table if not case.optional]
    parts = [_HEAD.format(done=len(done), all=len(table), pitfalls=len(pitfalls()))]
    for area, title in TITLES.items():
        parts.append(f"## {title}\n\n| Case | Variant | What holds | Shown in |\n|---|---|---|---|")
        parts += [_row(case, rows) for case in table if case.area == area]
        parts[-1] += "\n"
    parts.append("## Pitfalls\n\nBugs that xDS servers had.\n\n| | What must not happen | Shown in |\n|---|---|---|")
    parts += [f"| {name} | {says} | {_where(shown(rows, 'pitfall', name))} |" for name, says in pitfalls().items()]
    return "\n".join(parts) + "\n"


def _row(case: Case, rows: list[dict[str, Any]]) -> str:
    where = _where(shown(rows, "case", case.number))
    if case.optional:
        where = where or f"optional: {case.optional}"
    return f"| {case.number} | {VARIANTS[case.variant]} | {case.says} | {where} |"


def _where(found: list[dict[str, Any]]) -> str:
    return ", ".join(f"`{path.removeprefix('tests/')}`" for path in sorted({row["path"] for row in found}))


_HEAD = """# Conformance

What an xDS server has to do, case by case, and which tests show that ours does: {done} of {all} cases, and {pitfalls}
pitfalls. This page is written by `TSUNAGU_REWRITE=1 pytest tests/conformance` out of `tests/conformance/*.toml` and
the markers `case` and `pitfall` of the tests. A test fails when a case has no test in one of its variants, when such a
test is skipped, and when this page is old.

Transcripts (`tests/transcripts`) are dialogues with a session as text, good to learn the protocol from. Each dialogue
that speaks of one type is held twice: on the aggregated stream, and on the service of that type alone.
"""
