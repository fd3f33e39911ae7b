"""`tsunagu xds show SEQUENCE`: one message of the timeline, whole."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from tsunagu.cli import output
from tsunagu.cli.command import command
from tsunagu.cli.commands.proxy_names import proxy_named, type_named
from tsunagu.cli.display import message
from tsunagu.cli.errors import NOT_FOUND, USAGE, CliError
from tsunagu.cli.output import Format, Output
from tsunagu.client.connection import connected, short
from tsunagu.settings import Home
from tsunagu.v1 import inspector_pb2

if TYPE_CHECKING:
    from tsunagu.client.connection import Link

_COLOURS = {"+": typer.colors.GREEN, "-": typer.colors.RED, "@": typer.colors.CYAN, "#": typer.colors.YELLOW}


@command
async def show_message(
    home: Home,
    sequence: Annotated[
        int, typer.Argument(metavar="[NUMBER]", help="Of the event ('xds log --wide' shows them); without: the newest.")
    ] = 0,
    proxy: Annotated[str, typer.Option("--proxy", help="The newest response to this task's proxy.")] = "",
    kind: Annotated[str, typer.Option("--type", help="The newest response of CDS, EDS, LDS, RDS or SDS.")] = "",
    output_as: Output = Format.table,
) -> None:
    """Show one message decoded, and what in it is different from what the client had before."""
    if sequence and (proxy or kind):
        raise CliError("a NUMBER says which message it is", USAGE, "leave out --proxy and --type")
    kind = type_named(kind)
    async with connected(home) as link:
        sequence = sequence or await _newest(link, proxy, kind)
        shown = await link.inspector.Message(inspector_pb2.MessageRequest(sequence=sequence))
    if output_as is not Format.table:
        output.document(output_as, message.as_value(shown, output.as_dict(shown.event)))
        return
    lines = [f"# {line}" for line in message.heading(shown)]
    for line in lines:
        _echo(line, _COLOURS["#"])
    if body := message.document(shown):
        typer.echo(output.as_yaml(body))
    for line in message.differences(shown):
        _echo(line, _COLOURS.get(line[:1]))


async def _newest(link: Link, proxy: str, kind: str) -> int:
    """The number of the newest response of that type to that proxy. Raises CliError."""
    name = await proxy_named(link, proxy) if proxy else ""
    request = inspector_pb2.TimelineRequest(proxy=name, type=kind)
    numbers = [event.sequence async for event in link.inspector.Timeline(request) if event.kind == "send"]
    if not numbers:
        whom = f" to {short(name)}" if name else ""
        raise CliError(f"no response{f' of {kind}' if kind else ''}{whom} is kept", NOT_FOUND)
    return int(numbers[-1])


def _echo(line: str, colour: str | None) -> None:
    typer.secho(line, fg=colour) if sys.stdout.isatty() else typer.echo(line)
