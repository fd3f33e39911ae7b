"""`tsunagu xds`: every message between control plane and proxies, one a line, with the reason for each.

The one rule: a replay looks as the log looked, line by line.
"""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tsunagu.cli import output
from tsunagu.cli.command import command, plain
from tsunagu.cli.display import metrics_table
from tsunagu.cli.errors import USAGE, CliError
from tsunagu.cli.local.shutdown import sigterm_as_ctrl_c
from tsunagu.cli.output import Format, Output
from tsunagu.cli.recording import Recorder, Recording
from tsunagu.client import lookup
from tsunagu.client.connection import connected, short
from tsunagu.settings import Home
from tsunagu.v1 import inspector_pb2
from tsunagu.xds.resources import SHORT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tsunagu.client.connection import Link

xds = typer.Typer(help="Look at the xDS messages.", no_args_is_help=True, add_completion=False, rich_markup_mode=None)


@xds.callback()
def root() -> None:
    """Look at the xDS messages."""


@command
async def log(  # noqa: PLR0913, PLR0917 - its arguments are the command's options
    home: Home,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on with what happens.")] = False,
    proxy: Annotated[str, typer.Option("--proxy", help="Only this task's proxy; may be shortened.")] = "",
    kind: Annotated[str, typer.Option("--type", help="Only CDS, EDS, LDS, RDS or SDS.")] = "",
    after: Annotated[int, typer.Option("--after", help="Only events with a greater number.")] = 0,
    record: Annotated[Path | None, typer.Option("--record", help="Write it to this new file as well.")] = None,
    output_as: Output = Format.table,
) -> None:
    """Show the timeline: time, proxy, direction, type, what, why, how long it took; refusals in red."""
    kind = _type_named(kind)
    async with connected(home) as link:
        name = await _proxy_named(link, proxy) if proxy else ""
        request = inspector_pb2.TimelineRequest(follow=follow, proxy=name, type=kind, after=after)
        with _recorder(record) as recorder:
            async for event in link.inspector.Timeline(request):
                if recorder:
                    recorder.write(event)
                show(event, output_as)


@contextmanager
def _recorder(path: Path | None) -> Iterator[Recorder | None]:
    """With a path: a recorder, whose file is whole also after `timeout 60 tsunagu xds log ...`."""
    if path is None:
        yield None
        return
    with sigterm_as_ctrl_c(), Recorder(path) as recorder:
        yield recorder


@plain
def replay(
    file: Annotated[Path, typer.Argument(help="A recording, of 'tsunagu xds log --record FILE'.")],
    speed: Annotated[
        float, typer.Option("--speed", min=0, help="1: with its pauses; 10: ten times as fast; 0: at once.")
    ] = 0,
    proxy: Annotated[str, typer.Option("--proxy", help="Only this task's proxy; may be shortened.")] = "",
    kind: Annotated[str, typer.Option("--type", help="Only CDS, EDS, LDS, RDS or SDS.")] = "",
    after: Annotated[int, typer.Option("--after", help="Only events with a greater number.")] = 0,
    output_as: Output = Format.table,
) -> None:
    """Show a recorded timeline as the log shows one; needs no mesh."""
    recording = Recording(file)
    output.notice(f"recorded {recording.header.recorded} by {recording.header.by}")
    name = lookup.find("Task", proxy, {event.proxy for event in recording}) if proxy else ""
    wanted = _wanted(name, _type_named(kind), after)
    for event in paced(filter(wanted, recording), speed, time.sleep):
        show(event, output_as)


def _type_named(word: str) -> str:
    if word and word.upper() not in SHORT:
        raise CliError(f"{word!r} is no type of xDS", USAGE, f"the types are {', '.join(SHORT)}")
    return word.upper()


def _wanted(proxy: str, kind: str, after: int) -> Callable[[Any], bool]:
    return lambda event: event.sequence > after and proxy in ("", event.proxy) and kind in ("", event.type)


def paced(events: Iterable[Any], speed: float, sleep: Callable[[float], None]) -> Iterator[Any]:
    """The events, with the pauses that were between them divided by `speed`; 0: without pauses."""
    before: int | None = None
    for event in events:
        now = event.time.ToNanoseconds()
        if speed and before is not None and now > before:
            sleep((now - before) / 1e9 / speed)
        before = now
        yield event


async def _proxy_named(link: Link, word: str) -> str:
    answer = await link.inspector.Proxies(inspector_pb2.ProxiesRequest())
    tasks, _ = await link.registry.list("Task")
    return lookup.find("Task", word, {proxy.name for proxy in answer.proxies} | {task.meta.name for task in tasks})


def show(event: Any, form: Format) -> None:
    """Prints one event: a line, a line of JSON, or a YAML document."""
    if form is Format.table:
        text, colour = line(event)
        typer.secho(text, fg=colour) if sys.stdout.isatty() else typer.echo(text)
    elif form is Format.json:
        import json  # noqa: PLC0415

        typer.echo(json.dumps(output.as_dict(event), ensure_ascii=False))
    else:
        typer.echo("---\n" + output.as_yaml(output.as_dict(event)))


#: kind -> (arrow seen from the control plane, word, colour)
_LOOKS: dict[str, tuple[str, str, str | None]] = {
    "connect": ("<-", "connects", typer.colors.CYAN),
    "subscribe": ("<-", "wants", None),
    "send": ("->", "is sent", typer.colors.BLUE),
    "ack": ("<-", "ACK", typer.colors.GREEN),
    "nack": ("<-", "NACK", typer.colors.RED),
    "stale": ("<-", "stale", typer.colors.YELLOW),
    "close": ("--", "closes", typer.colors.CYAN),
}

_NAMES_SHOWN = 3


def line(event: Any) -> tuple[str, str | None]:
    """One event in one line, and its colour."""
    arrow, word, colour = _LOOKS.get(event.kind, ("  ", event.kind, None))
    when = datetime.fromtimestamp(event.time.seconds + event.time.nanos / 1e9, UTC).astimezone()
    head = f"{when:%H:%M:%S.%f}"[:12] + f"  {short(event.proxy):<22} {arrow} {event.type or '':<3} {word:<8}"
    return " ".join([head, *filter(None, _parts(event))]).rstrip(), colour


def _parts(event: Any) -> list[str]:
    return [
        _names("", event.names, 0 if event.removed else event.more),
        _names("without ", event.removed, event.more),
        f"r{event.revision}" if event.revision else "",
        f"({event.cause})" if event.cause else "",
        f"{event.bytes} B" if event.bytes else "",
        f"after {event.latency_seconds * 1000:.1f} ms" if event.latency_seconds else "",
        " ".join(event.detail.split()),
    ]


def _names(word: str, names: Any, not_kept: int) -> str:
    if not names:
        return ""
    hidden = max(0, len(names) - _NAMES_SHOWN) + not_kept
    more = f" and {hidden} more" if hidden else ""
    return word + ", ".join(list(names)[:_NAMES_SHOWN]) + more


@command
async def metrics(home: Home, output_as: Output = Format.table) -> None:
    """Show what the control plane counts of itself, and how large its books are."""
    async with connected(home) as link:
        answer = await link.inspector.Metrics(inspector_pb2.MetricsRequest())
    titles, rows = metrics_table.table(answer.metrics)
    output.listing(output_as, [output.as_dict(metric) for metric in answer.metrics], titles, rows)


xds.command("log")(log)
xds.command("metrics")(metrics)
xds.command("replay")(replay)
