"""The table of proxies, as `tsunagu proxies` prints it and `up` draws it: per type, whether a proxy has what it should have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tsunagu.cli.columns import since, status
from tsunagu.cli.output import Cell, age
from tsunagu.client.connection import short

if TYPE_CHECKING:
    from collections.abc import Sequence

TYPES = ("CDS", "EDS", "LDS", "RDS")  # always shown; others where somebody asks for them
_NAMES = 3  # of refused resources, on a terminal


def table(found: Sequence[Any], *, every: bool = False) -> tuple[list[str], list[list[Any]]]:
    """Titles and rows; `every`: with the names of all refused resources."""
    everyone = [shown for proxy in found for shown in (proxy, *proxy.clients)]
    others = {of.type for shown in everyone for of in shown.types} - {*TYPES}
    types = [*TYPES, *sorted(others)]
    rows = [row for proxy in found for row in (_row(proxy, types, every=every), *_others(proxy, types))]
    return ["PROXY", "CONNECTED", "PROTOCOL", *types, "REFUSED BECAUSE"], rows


def _others(proxy: Any, types: Sequence[str]) -> list[list[Any]]:
    """Who else is connected with the token of a proxy. Their answers count for nothing."""
    rows = []
    for client in proxy.clients:
        if not client.counts:
            shown = {of.type: of for of in client.types}
            cells = [type_cell(shown.get(name)) for name in types]
            why = Cell("uses its token; nobody waits for it", "yellow")
            rows.append([Cell("  another client", "yellow"), since(client.connected_at), client.variant, *cells, why])
    return rows


def _row(proxy: Any, types: Sequence[str], *, every: bool) -> list[Any]:
    shown = {of.type: of for of in proxy.types}
    connected_for = Cell(since(proxy.connected_at), "") if proxy.connected else Cell("no", "red")
    refused = "; ".join(_refusal(of, every=every) for of in proxy.types if of.state == "NACKED")
    cells = [type_cell(shown.get(name)) for name in types]
    return [short(proxy.name), connected_for, proxy.variant or "-", *cells, Cell(refused, "red")]


def type_cell(shown: Any) -> Cell:
    """The state of one type: how many resources it has, or for how long it has not what it should have."""
    if shown is None:
        return Cell("-", "dim")
    text = f"SYNCED {shown.resources}" if shown.state == "SYNCED" else shown.state.replace("_", " ")
    if shown.state in ("STALE", "NACKED"):
        text += f" for {age(shown.age_seconds)}"
    if shown.held_seconds:
        return Cell(f"{text}, held {age(shown.held_seconds)} more", "yellow")
    return Cell(text, status(shown.state).style)


def _refusal(shown: Any, *, every: bool) -> str:
    most = len(shown.rejected) if every else _NAMES
    names = ", ".join(shown.rejected[:most]) + (", ..." if len(shown.rejected) > most else "")
    return f"{shown.type} {names}".rstrip() + f": {_one_line(shown.error)}"


def _one_line(text: str) -> str:
    return " ".join(text.split())
