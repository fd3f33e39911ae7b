"""`tsunagu proxies`: per proxy and type, whether it has what it should have, and what it refused and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from tsunagu.v1 import inspector_pb2

from controlplane.cli import lookup, output
from controlplane.cli.columns import since, status
from controlplane.cli.errors import NOT_FOUND, CliError, nearest
from controlplane.cli.link import connected, short
from controlplane.cli.options import command
from controlplane.cli.output import Cell, Format, Output, age
from controlplane.settings import Home

if TYPE_CHECKING:
    from collections.abc import Sequence


TYPES = ("CDS", "EDS", "LDS", "RDS")
TITLES = ("PROXY", "CONNECTED", "PROTOCOL", *TYPES, "REFUSED BECAUSE")


@command
async def proxies(
    home: Home,
    name: Annotated[str, typer.Argument(help="ID of a task; may be shortened.")] = "",
    output_as: Output = Format.table,
) -> None:
    """Show what each proxy has accepted: SYNCED, STALE with its age, NACKED with the reason."""
    async with connected(home) as link:
        answer = await link.inspector.Proxies(inspector_pb2.ProxiesRequest())
    shown = _chosen(name, answer.proxies) if name else list(answer.proxies)
    shown.sort(key=lambda proxy: proxy.name)
    output.listing(output_as, [output.as_dict(proxy) for proxy in shown], TITLES, map(row, shown))


def _chosen(word: str, found: Sequence[Any]) -> list[Any]:
    by_name = {proxy.name: proxy for proxy in found}
    names = lookup.matches(word, by_name)
    if not names:
        known = [short(proxy) for proxy in by_name]
        raise CliError(f"there is no proxy {word!r}", NOT_FOUND, nearest(word, known, "see 'tsunagu proxies'"))
    return [by_name[chosen] for chosen in names]


def row(proxy: Any) -> list[Any]:
    """One proxy's cells."""
    types = {shown.type: shown for shown in proxy.types}
    connected_for = Cell(since(proxy.connected_at), "") if proxy.connected else Cell("no", "red")
    refused = " ".join(f"{shown.type}: {_one_line(shown.error)}" for shown in proxy.types if shown.error)
    cells = [type_cell(types.get(name)) for name in TYPES]
    return [short(proxy.name), connected_for, proxy.variant or "-", *cells, Cell(refused, "red")]


def type_cell(shown: Any) -> Cell:
    """The state of one type: with its number of resources, and with its age when that matters."""
    if shown is None:
        return Cell("-", "dim")
    text = f"{shown.state} {shown.resources}"
    if shown.state in ("STALE", "NACKED"):
        text = f"{shown.state} for {age(shown.age_seconds)}"
    return Cell(text, status(shown.state).style)


def _one_line(text: str) -> str:
    return " ".join(text.split())
