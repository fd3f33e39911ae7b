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
from tsunagu.cli.commands.explain import explain
from tsunagu.cli.commands.proxy_names import proxy_named, type_named
from tsunagu.cli.commands.show_message import show_message
from tsunagu.cli.commands.steering import hold, override
from tsunagu.cli.display import metrics_table
from tsunagu.cli.local.shutdown import sigterm_as_ctrl_c
from tsunagu.cli.output import Format, Output
from tsunagu.cli.recording import Recorder, Recording, found
from tsunagu.client import lookup
from tsunagu.client.connection import connected, short
from tsunagu.settings import Home
from tsunagu.v1 import inspector_pb2

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence


Wide = Annotated[bool, typer.Option("--wide", help="With every name, numbers, versions and nonces.")]

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
    wide: Wide = False,
    output_as: Output = Format.table,
) -> None:
    """Show the timeline: time, proxy, direction, type, what, why, how long it took; refusals in red."""
    kind = type_named(kind)
    async with connected(home) as link:
        name = await proxy_named(link, proxy) if proxy else ""
        request = inspector_pb2.TimelineRequest(follow=follow, proxy=name, type=kind, after=after)
        with _recorder(record) as recorder:
            async for event in link.inspector.Timeline(request):
                if recorder:
                    recorder.write(event)
                show(event, output_as, wide=wide)


@contextmanager
def _recorder(path: Path | None) -> Iterator[Recorder | None]:
    """With a path: a recorder, whose file is whole also after `timeout 60 tsunagu xds log ...`."""
    if path is None:
        yield None
        return
    with sigterm_as_ctrl_c(), Recorder(path) as recorder:
        yield recorder


@plain
def replay(  # noqa: PLR0913, PLR0917 - its arguments are the command's options
    file: Annotated[
        Path,
        typer.Argument(help="A recording, of 'tsunagu xds log --record FILE', or the name of one of the lessons'."),
    ],
    speed: Annotated[
        float, typer.Option("--speed", min=0, help="1: with its pauses; 10: ten times as fast; 0: at once.")
    ] = 0,
    proxy: Annotated[str, typer.Option("--proxy", help="Only this task's proxy; may be shortened.")] = "",
    kind: Annotated[str, typer.Option("--type", help="Only CDS, EDS, LDS, RDS or SDS.")] = "",
    after: Annotated[int, typer.Option("--after", help="Only events with a greater number.")] = 0,
    wide: Wide = False,
    output_as: Output = Format.table,
) -> None:
    """Show a recorded timeline as the log shows one; needs no mesh."""
    recording = Recording(found(file))
    output.notice(f"recorded {recording.header.recorded} by {recording.header.by}")
    name = lookup.find("Task", proxy, {event.proxy for event in recording}) if proxy else ""
    wanted = _wanted(name, type_named(kind), after)
    for event in paced(filter(wanted, recording), speed, time.sleep):
        show(event, output_as, wide=wide)


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


def show(event: Any, form: Format, *, wide: bool = False) -> None:
    """Prints one event: a line, a line of JSON, or a YAML document. Only a terminal is spared some of many names."""
    if form is Format.table:
        terminal = sys.stdout.isatty()
        text, colour = line(event, every=not terminal, wide=wide)
        typer.secho(text, fg=colour) if terminal else typer.echo(text)
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
    "publish": ("==", "changes", typer.colors.MAGENTA),
    "defer": ("..", "waits", typer.colors.YELLOW),
    "hold": ("..", "is held", typer.colors.YELLOW),
}

_NAMES_SHOWN = 3  # on a terminal
CONTROL_PLANE = "the control plane"  # in the place of a proxy, of what happens to all


def line(event: Any, *, every: bool = False, wide: bool = False) -> tuple[str, str | None]:
    """One event in one line, and its colour. `every`: with all names; `wide`: with its number, versions and nonce as well."""
    arrow, word, colour = _LOOKS.get(event.kind, ("  ", event.kind, None))
    when = datetime.fromtimestamp(event.time.seconds + event.time.nanos / 1e9, UTC).astimezone()
    number = f"{event.sequence:>6}  " if wide else ""
    head = (
        f"{when:%H:%M:%S.%f}"[:12]
        + f"  {short(event.proxy) or CONTROL_PLANE:<22} {arrow} {event.type or '':<3} {word:<8}"
    )
    return " ".join([number + head, *filter(None, _parts(event, every=every or wide, wide=wide))]).rstrip(), colour


def _parts(event: Any, *, every: bool, wide: bool) -> list[str]:
    names = [_versioned(name, event.versions) for name in event.names] if wide else event.names
    most = None if every else _NAMES_SHOWN
    if event.kind == "defer" and not names:
        names = ["everything"]
    return [
        _names("", names, 0 if event.removed else event.more, most),
        _names("without ", event.removed, event.more, most),
        f"r{event.revision}" if event.revision else "",
        f"({event.cause})" if event.cause else "",
        f"{event.bytes} B" if event.bytes else "",
        _duration(event),
        f"nonce {event.nonce}" if wide and event.nonce else "",
        f"version {event.version}" if wide and event.version else "",
        _names("asks for ", list(event.asked), 0, None) if wide and list(event.asked) != list(event.names) else "",
        " ".join(event.detail.split()),
    ]


def _duration(event: Any) -> str:
    if event.kind in ("defer", "hold"):
        return f"for {event.latency_seconds:.3g} s at most" if event.latency_seconds else "no longer"
    return f"after {event.latency_seconds * 1000:.1f} ms" if event.latency_seconds else ""


def _versioned(name: str, versions: Mapping[str, str]) -> str:
    return f"{name}@{versions[name]}" if versions.get(name) else name


def _names(word: str, names: Sequence[str], not_kept: int, most: int | None) -> str:
    if not names:
        return ""
    shown = list(names)[:most]
    hidden = len(names) - len(shown) + not_kept
    return word + ", ".join(shown) + (f" and {hidden} more" if hidden else "")


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
xds.command("show")(show_message)
xds.command("explain")(explain)
xds.command("override")(override)
xds.command("hold")(hold)
