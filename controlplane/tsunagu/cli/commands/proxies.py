"""`tsunagu proxies`: per proxy and type, whether it has what it should have, and what it refused and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from tsunagu.cli import output
from tsunagu.cli.columns import since, status
from tsunagu.cli.command import command
from tsunagu.cli.compare import report
from tsunagu.cli.errors import NOT_FOUND, USAGE, CliError
from tsunagu.cli.output import Cell, Format, Output, age
from tsunagu.client import lookup
from tsunagu.client.connection import connected, short
from tsunagu.kit import grpc_bootstrap
from tsunagu.kit.spelling import did_you_mean
from tsunagu.settings import Home
from tsunagu.v1 import inspector_pb2

if TYPE_CHECKING:
    from collections.abc import Sequence


TYPES = ("CDS", "EDS", "LDS", "RDS")  # always shown; others where somebody asks for them
_NAMES = 3  # of refused resources


@command
async def proxies(
    home: Home,
    name: Annotated[str, typer.Argument(help="ID of a task; may be shortened.")] = "",
    diff: Annotated[bool, typer.Option("--diff", help="Compare with what its Envoy has.")] = False,
    output_as: Output = Format.table,
) -> None:
    """Show what each proxy has accepted: SYNCED, STALE with its age, NACKED with the reason."""
    async with connected(home) as link:
        answer = await link.inspector.Proxies(inspector_pb2.ProxiesRequest())
        shown = _chosen(name, answer.proxies) if name else list(answer.proxies)
        shown.sort(key=lambda proxy: proxy.name)
        if diff:
            await report.show(link, _one(name, shown), output_as)
            return
    titles, rows = table(shown)
    output.listing(output_as, [output.as_dict(proxy) for proxy in shown], titles, rows)


def _one(word: str, shown: Sequence[Any]) -> str:
    """The proxy to be compared: a gRPC client, which may bear its task's name, has no Envoy to look into."""
    found = [proxy for proxy in shown if grpc_bootstrap.parse(proxy.name) is None]
    if shown and not found:
        raise CliError(f"{short(shown[0].name)} is a gRPC client: it has no Envoy to be compared with", USAGE)
    if len(found) == 1:
        return str(found[0].name)
    can = ", ".join(short(proxy.name) for proxy in found[:8]) or "none"
    what = f"{word!r} can mean {len(found)} proxies" if word else "which proxy is to be compared?"
    raise CliError(what, USAGE, f"give more of its name: {can}")


def _chosen(word: str, found: Sequence[Any]) -> list[Any]:
    by_name = {proxy.name: proxy for proxy in found}
    names = lookup.matches(word, by_name)
    if not names:
        known = [short(proxy) for proxy in by_name]
        raise CliError(f"there is no proxy {word!r}", NOT_FOUND, did_you_mean(word, known, "see 'tsunagu proxies'"))
    return [by_name[chosen] for chosen in names]


def table(found: Sequence[Any]) -> tuple[list[str], list[list[Any]]]:
    """Titles and rows."""
    others = {shown.type for proxy in found for shown in proxy.types} - {*TYPES}
    types = [*TYPES, *sorted(others)]
    return ["PROXY", "CONNECTED", "PROTOCOL", *types, "REFUSED BECAUSE"], [_row(proxy, types) for proxy in found]


def _row(proxy: Any, types: Sequence[str]) -> list[Any]:
    shown = {of.type: of for of in proxy.types}
    connected_for = Cell(since(proxy.connected_at), "") if proxy.connected else Cell("no", "red")
    refused = "; ".join(_refusal(of) for of in proxy.types if of.state == "NACKED")
    cells = [type_cell(shown.get(name)) for name in types]
    return [short(proxy.name), connected_for, proxy.variant or "-", *cells, Cell(refused, "red")]


def type_cell(shown: Any) -> Cell:
    """The state of one type: how many resources it has, or for how long it has not what it should have."""
    if shown is None:
        return Cell("-", "dim")
    text = f"SYNCED {shown.resources}" if shown.state == "SYNCED" else shown.state.replace("_", " ")
    if shown.state in ("STALE", "NACKED"):
        text += f" for {age(shown.age_seconds)}"
    return Cell(text, status(shown.state).style)


def _refusal(shown: Any) -> str:
    names = ", ".join(shown.rejected[:_NAMES]) + (", ..." if len(shown.rejected) > _NAMES else "")
    return f"{shown.type} {names}".rstrip() + f": {_one_line(shown.error)}"


def _one_line(text: str) -> str:
    return " ".join(text.split())
