"""`tsunagu top`: who calls whom now, how often, how fast, and how well.

The one rule: on a terminal the tables are drawn anew until Ctrl-C; anywhere else they are printed once.
"""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tsunagu.cli import output
from tsunagu.cli.command import command
from tsunagu.cli.display import traffic_tables
from tsunagu.cli.durations import parse_duration
from tsunagu.cli.output import Format, Output
from tsunagu.client.connection import connected
from tsunagu.settings import Home
from tsunagu.v1 import signals_pb2

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from tsunagu.client.connection import Link

_REFRESH = 2.0
_NO_DATA = "no samples of the last {seconds:g} s: proxies are read every 5 s"


@command
async def top(
    home: Home,
    over: Annotated[str, typer.Option("--over", help="Of the time until now, up to 1h.")] = "15s",
    by_task: Annotated[bool, typer.Option("--by-task", help="Each task for itself.")] = False,
    once: Annotated[bool, typer.Option("--once", help="Print it once, also on a terminal.")] = False,
    output_as: Output = Format.table,
) -> None:
    """Show requests, success, latency, connections and ejections, per service and per caller, and what leaves the mesh."""
    request = signals_pb2.WindowsRequest(since=parse_duration(over, "--over"), by_task=by_task)
    async with connected(home) as link:
        found = await _windows(link, request)
        if output_as is not Format.table:
            output.document(output_as, [output.as_dict(window) for window in found])
        elif once or not sys.stdout.isatty():
            _print(found, request.since)
        else:
            await _live(link, request, found)


async def _windows(link: Link, request: signals_pb2.WindowsRequest) -> Sequence[signals_pb2.Window]:
    answer = await link.signals.Windows(request)
    return list(answer.windows)


def _print(found: Sequence[signals_pb2.Window], seconds: float) -> None:
    if not found:
        output.notice(_NO_DATA.format(seconds=seconds))
    for titles, rows in _tables(found):
        output.listing(Format.table, [], titles, rows)
        typer.echo()


def _tables(found: Sequence[signals_pb2.Window]) -> list[tuple[Sequence[str], list[list[Any]]]]:
    given = [
        (traffic_tables.SERVICES, traffic_tables.services(found)),
        (traffic_tables.EDGES, traffic_tables.edges(found)),
        (traffic_tables.LEAVING, traffic_tables.leaving(found)),
    ]
    return [(titles, rows) for titles, rows in given if rows]


async def _live(link: Link, request: signals_pb2.WindowsRequest, found: Sequence[signals_pb2.Window]) -> None:
    from rich.live import Live  # noqa: PLC0415 - only terminals need rich

    with Live(_picture(found, request.since), console=output.console(), auto_refresh=False, screen=True) as live:
        while True:
            live.update(_picture(await _windows(link, request), request.since), refresh=True)
            await asyncio.sleep(_REFRESH)


def _picture(found: Sequence[signals_pb2.Window], seconds: float) -> RenderableType:
    from rich.console import Group  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    parts: list[Any] = [Text(f"the last {seconds:g} s; Ctrl-C ends it", "dim"), Text()]
    for titles, rows in _tables(found):
        cells = [[cell if isinstance(cell, output.Cell) else output.Cell(str(cell)) for cell in row] for row in rows]
        fitting = output.fitting(*output.with_content(titles, cells), output.console().width)
        parts += [output.rich_table(*fitting), Text()]
    return Group(*parts) if found else Group(Text(_NO_DATA.format(seconds=seconds)))
