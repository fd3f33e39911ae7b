"""Printing: tables for people, JSON and YAML for programs.

The one rule: a terminal gets colour and the width that it has; a pipe gets every character, plain, one row a line.
"""

from __future__ import annotations

import enum
import json
import os
import sys
from dataclasses import dataclass
from functools import cache
from io import StringIO
from typing import TYPE_CHECKING, Annotated, Any

import typer
from google.protobuf import json_format

from tsunagu.model import ids
from tsunagu.model.masking import masked

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from google.protobuf.message import Message
    from rich.console import Console

    from tsunagu.v1 import objects_pb2


class Format(enum.StrEnum):
    """What a listing is printed as."""

    table = "table"
    json = "json"
    yaml = "yaml"


Output = Annotated[Format, typer.Option("-o", "--output", help="Form of the listing.")]


@dataclass(frozen=True, slots=True)
class Cell:
    """A text in a table, with rich's name of the colour that says how good it is."""

    text: str
    style: str = ""


@cache
def console() -> Console:
    """Standard output, coloured when it is a terminal."""
    from rich.console import Console  # noqa: PLC0415 - programs that read JSON need no rich

    return Console(highlight=False, soft_wrap=True)


def coloured() -> bool:
    """Whether standard output takes colours: a terminal, unless its user wants none (https://no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def notice(text: str) -> None:
    """Print a notice on standard error, so that standard output holds the listing alone."""
    typer.echo(text, err=True)


def listing(
    form: Format, rows: Sequence[dict[str, Any]], titles: Sequence[str], cells: Iterable[Sequence[Any]]
) -> None:
    """Prints a listing: ``cells`` as a table under ``titles``, or ``rows`` as JSON or YAML.

    Columns without content are left out of a table.
    """
    if form is Format.table:
        table(*with_content(titles, [list(map(_cell, row)) for row in cells]))
    else:
        document(form, list(rows))


#: What stands in a cell that says nothing.
_NOTHING = frozenset({"", "-"})


def with_content(titles: Sequence[str], cells: Sequence[Sequence[Cell]]) -> tuple[list[str], list[list[Cell]]]:
    """The table without columns of which no row says anything; of a table without rows every title stays."""
    kept = [at for at in range(len(titles)) if not cells or any(row[at].text not in _NOTHING for row in cells)]
    return [titles[at] for at in kept], [[row[at] for at in kept] for row in cells]


def _cell(value: Any) -> Cell:
    return value if isinstance(value, Cell) else Cell(str(value))


def table(titles: Sequence[str], cells: Sequence[Sequence[Cell]]) -> None:
    """Prints aligned columns."""
    if sys.stdout.isatty():
        _rich_table(titles, cells)
        return
    widths = _widths(titles, cells)
    for line in (list(titles), *([cell.text for cell in row] for row in cells)):
        typer.echo("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())


def _rich_table(titles: Sequence[str], cells: Sequence[Sequence[Cell]]) -> None:
    titles, cells = fitting(titles, cells, console().width)
    console().print(rich_table(titles, cells), width=max(_needed(_widths(titles, cells)), console().width))


_GAP = 2
#: As wide as that a last column, which holds words, needs to be; more of them go on below.
_WORDS = 24
#: What a narrow terminal does without, first things first; all of it is in JSON and YAML, and in a pipe.
_SPARED = (
    *("NODE", "PROTOCOL", "WANTED", "TASK DEFINITION", "AGE", "OF", "HEALTH", "ROLLOUT"),
    *("STOPPED", "IP", "CONNECTED", "PROXY", "RESTARTS", "ALIASES"),
)


def fitting(
    titles: Sequence[str], cells: Sequence[Sequence[Cell]], width: int
) -> tuple[Sequence[str], Sequence[Sequence[Cell]]]:
    """The table without what one can spare, when it is wider than ``width``: first empty columns, then `_SPARED`."""
    empty = [title for i, title in enumerate(titles) if not any(row[i].text for row in cells)]
    for title in (*empty, *_SPARED):
        if _needed(_widths(titles, cells)) <= width:
            break
        kept = [i for i, other in enumerate(titles) if other != title]
        titles, cells = [titles[i] for i in kept], [[row[i] for i in kept] for row in cells]
    return titles, cells


def _widths(titles: Sequence[str], cells: Sequence[Sequence[Cell]]) -> list[int]:
    return [max([len(title), *(len(row[i].text) for row in cells)]) for i, title in enumerate(titles)]


def _needed(widths: Sequence[int]) -> int:
    return sum(widths[:-1]) + min(widths[-1], _WORDS) + _GAP * (len(widths) - 1)


def rich_table(titles: Sequence[str], cells: Sequence[Sequence[Cell]], title: str = "") -> Any:
    """The columns as a rich table without lines. Only the last one may go on in the next line: names stay whole."""
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    grid = Table(box=None, pad_edge=False, title=title or None, title_justify="left", header_style="bold")
    for name in titles[:-1]:
        grid.add_column(name, no_wrap=True)
    for name in titles[-1:]:
        grid.add_column(name, overflow="fold")
    for row in cells:
        grid.add_row(*(Text(cell.text, cell.style) for cell in row))
    return grid


def document(form: Format, value: Any) -> None:
    """Prints a value as JSON or YAML."""
    typer.echo(as_yaml(value) if form is Format.yaml else json.dumps(value, indent=2, ensure_ascii=False))


def as_yaml(value: Any) -> str:
    """A value as YAML, without the last newline."""
    from ruamel.yaml import YAML  # noqa: PLC0415

    writer = YAML(typ="safe", pure=True)
    writer.default_flow_style = False
    writer.sort_base_mapping_type_on_output = False  # type: ignore[assignment] # annotated by its default
    writer.allow_unicode = True
    writer.width = 4096
    text = StringIO()
    writer.dump(value, text)
    return text.getvalue().rstrip("\n")


def as_dict(message: Message) -> dict[str, Any]:
    """A message with the names that AWS gives its members."""
    shown: dict[str, Any] = json_format.MessageToDict(message)
    return shown


def object_dict(obj: objects_pb2.Object, *, unmask: bool = False) -> dict[str, Any]:
    """An object as programs read it: kind, name, revision, then its own members.

    A secret's value never shows; an environment's values that look like one are masked, except with `unmask`.
    """
    kind = ids.kind_of(obj)
    members = {} if kind == "SecretValue" else as_dict(ids.body(obj))
    shown = {"kind": kind, "name": obj.meta.name, "revision": obj.meta.revision, **members}
    return shown if unmask else dict(masked(shown))


_UNITS = ((86400, "d"), (3600, "h"), (60, "m"))


def age(seconds: float) -> str:
    """A duration in short: `4.2s`, `3m`, `2h`."""
    for size, unit in _UNITS:
        if seconds >= 2 * size:
            return f"{int(seconds // size)}{unit}"
    return f"{seconds:.0f}s" if seconds >= 10 else f"{max(0.0, seconds):.1f}s"
