"""What `up` shows while the mesh runs: a live picture on a terminal, plain lines anywhere else.

The one rule: both are notified of the same events; the picture adds only what `get` and `proxies` show at any time.
"""

from __future__ import annotations

import asyncio
import select
import sys
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

import typer

from tsunagu.cli import columns
from tsunagu.cli.display import events, proxy_table
from tsunagu.cli.display.events import Line
from tsunagu.client.source import REMOTE_ERRORS, is_away
from tsunagu.model.statuses import Status
from tsunagu.v1 import inspector_pb2

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from tsunagu.client.connection import Link
    from tsunagu.registry.informer import Informer

_POLL_SECONDS = 1.0
_TITLE = 2  # lines of a table that are no rows
_EVENTS = 6  # lines that the picture leaves to what happens


def stamped(line: Line) -> str:
    """A line with the time of day."""
    return f"{datetime.now().astimezone():%H:%M:%S}  {line.text}"


class PlainView:
    """Lines, as they happen."""

    def notify(self, text: str, style: str = "") -> None:
        """Show one event; `style` is a colour."""
        typer.echo(stamped(Line(text, style)))
        sys.stdout.flush()

    def show_lines(self, lines: Collection[str]) -> int:
        """Show lines that containers wrote, as many as standard output takes without waiting; return how many."""
        count = 0
        for line in lines:
            if not _takes_more():
                break
            typer.echo(line)
            count += 1
        return count

    @contextmanager
    def shown(self, informer: Informer) -> Iterator[None]:
        """The view of that registry, for the length of the block."""
        yield

    def show_proxies(self, found: list[Any]) -> None:
        """Ignored: plain lines do not repeat what `tsunagu proxies` shows."""


class LiveView(PlainView):
    """A picture that is drawn anew, four times a second at most."""

    def __init__(self) -> None:
        self._proxies: list[Any] = []
        self._informer: Informer | None = None
        self._live: Any = None

    def notify(self, text: str, style: str = "") -> None:
        line = stamped(Line(text, style))
        if self._live is None:
            typer.secho(line, fg=style or None)
        else:  # above the picture, where it stays
            self._live.console.print(line, style=style or None, markup=False, highlight=False)

    def show_lines(self, lines: Collection[str]) -> int:
        if not lines or not _takes_more():
            return 0
        from rich.console import Console  # noqa: PLC0415 - only terminals need rich
        from rich.text import Text  # noqa: PLC0415

        console = self._live.console if self._live else Console()
        # In one go, for the picture is drawn anew each time. Of an app's escape sequences its colours are kept alone, and of a
        # line that was written over itself what was written last.
        last = [line.rstrip("\r").rpartition("\r")[2] for line in lines]
        console.print(Text("\n").join(map(Text.from_ansi, last)), highlight=False, overflow="fold")
        return len(lines)

    def show_proxies(self, found: list[Any]) -> None:
        self._proxies = sorted(found, key=lambda proxy: proxy.name)

    @contextmanager
    def shown(self, informer: Informer) -> Iterator[None]:
        from rich.console import Console  # noqa: PLC0415 - only terminals need rich
        from rich.live import Live  # noqa: PLC0415

        self._informer = informer
        live = Live(console=Console(), get_renderable=self.picture, refresh_per_second=4, screen=False, transient=True)
        with live:
            self._live = live
            try:
                yield
            finally:
                self._live = None

    def picture(self) -> Any:
        """The picture as rich draws it."""
        from rich.console import Group  # noqa: PLC0415
        from rich.text import Text  # noqa: PLC0415

        assert self._informer is not None
        state = self._informer.state
        width, height = self._live.console.size if self._live else (80, 24)
        tables = [_table(kind, found, width) for kind in ("Service", "Task") if (found := _shown(state[kind]))]
        if self._proxies:
            tables.append(_rich(*proxy_table.table(self._proxies), width))
            if sum(table.row_count + _TITLE for table in tables) + _EVENTS > height:
                tables.pop()  # `tsunagu proxies` has them, and refusals stand above
        return Group(*(part for table in tables for part in (Text(""), table)))


def _shown(objects: Mapping[str, Any]) -> list[Any]:
    """Objects by name, without stopped tasks: a line above has said that they stopped."""
    return [obj for _, obj in sorted(objects.items()) if obj.task.status.last_status != Status.STOPPED]


def _table(kind: str, objects: list[Any], width: int) -> Any:
    titles, cells = columns.of_kind(kind, objects)
    return _rich(titles, cells, width)


def _rich(titles: list[str], cells: list[list[Any]], width: int) -> Any:
    from tsunagu.cli.output import Cell, fitting, rich_table, with_content  # noqa: PLC0415

    rows = [[cell if isinstance(cell, Cell) else Cell(str(cell)) for cell in row] for row in cells]
    return rich_table(*fitting(*with_content(titles, rows), width))


def _takes_more() -> bool:
    """Whether some KiB can be written to standard output without waiting for its reader."""
    try:
        return bool(select.select([], [sys.stdout.fileno()], [], 0)[1])
    except (OSError, ValueError):  # it is no file, or closed: then writing says so
        return True


def make() -> PlainView:
    """The view for this standard output."""
    return LiveView() if sys.stdout.isatty() else PlainView()


async def follow_events(informer: Informer, view: PlainView) -> None:
    """Show events as they happen, until cancelled."""
    async for changes in informer.follow():
        for change in changes.changes:
            for line in events.lines_of(change):
                view.notify(line.text, line.style)


async def follow_proxies(link: Link, view: PlainView) -> None:
    """Keep the view's proxies current and show refusals, until cancelled."""
    refused: set[tuple[str, str, str]] = set()
    while True:
        try:
            answer = await link.inspector.Proxies(inspector_pb2.ProxiesRequest())
        except REMOTE_ERRORS as error:
            if not is_away(error):
                raise
        else:
            view.show_proxies(list(answer.proxies))
            now = {
                (proxy.name, kind.type, kind.error) for proxy in answer.proxies for kind in proxy.types if kind.error
            }
            for name, kind, reason in sorted(now - refused):
                view.notify(f"proxy {name.rpartition('/')[2]} refuses {kind}: {' '.join(reason.split())}", "red")
            refused = now
        await asyncio.sleep(_POLL_SECONDS)
