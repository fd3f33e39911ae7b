"""`tsunagu xds explain`: the timeline in sentences."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tsunagu.cli.command import command
from tsunagu.cli.commands.proxy_names import proxy_named
from tsunagu.cli.durations import parse_since
from tsunagu.cli.explain.sentences import explain as paragraphs
from tsunagu.cli.explain.stories import seconds
from tsunagu.cli.recording import Recording, found
from tsunagu.client import lookup
from tsunagu.client.connection import connected
from tsunagu.settings import Home
from tsunagu.v1 import inspector_pb2

if TYPE_CHECKING:
    from collections.abc import Iterable


@command
async def explain(
    home: Home,
    file: Annotated[Path | None, typer.Argument(help="A recording, in place of the mesh that runs.")] = None,
    since: Annotated[str, typer.Option("--since", metavar="1m|TIME", help="Only what happened since.")] = "",
    proxy: Annotated[str, typer.Option("--proxy", help="Only this task's proxy; may be shortened.")] = "",
) -> None:
    """Tell in sentences what changed, who was told in which order, who answered, and what was held back by which rule."""
    now = time.time()
    begin = parse_since(since, now)
    if file is not None:
        recording = list(Recording(found(file)))
        name = lookup.find("Task", proxy, {event.proxy for event in recording}) if proxy else ""
        now = seconds(recording[-1]) if recording else now
        _print(recording, name, begin, now)
        return
    async with connected(home) as link:
        name = await proxy_named(link, proxy) if proxy else ""
        events = [event async for event in link.inspector.Timeline(inspector_pb2.TimelineRequest())]
    _print(events, name, begin, now)


def _print(events: Iterable[Any], proxy: str, begin: float, now: float) -> None:
    chosen = [one for one in events if seconds(one) >= begin and (not proxy or one.proxy in ("", proxy))]
    for paragraph in paragraphs(chosen, now, one=bool(proxy)):
        typer.echo(paragraph)
