"""`tsunagu proxies`: per proxy and type, whether it has what it should have, and what it refused and why."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tsunagu.cli import output
from tsunagu.cli.columns import status
from tsunagu.cli.command import command
from tsunagu.cli.commands.proxy_names import type_named
from tsunagu.cli.display import proxy_table
from tsunagu.cli.errors import NOT_FOUND, USAGE, CliError
from tsunagu.cli.output import Format, Output, age
from tsunagu.client import lookup
from tsunagu.client.connection import connected, short
from tsunagu.kit import grpc_bootstrap
from tsunagu.kit.spelling import did_you_mean
from tsunagu.settings import Home
from tsunagu.v1 import inspector_pb2

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tsunagu.client.connection import Link


@command
async def proxies(
    home: Home,
    name: Annotated[str, typer.Argument(help="ID of a task; may be shortened.")] = "",
    diff: Annotated[bool, typer.Option("--diff", help="Compare with what its Envoy has.")] = False,
    kind: Annotated[str, typer.Option("--type", help="Of one proxy: each resource of CDS, EDS, LDS, RDS or SDS.")] = "",
    output_as: Output = Format.table,
) -> None:
    """Show what each proxy has accepted: SYNCED, STALE with its age, NACKED with the reason."""
    async with connected(home) as link:
        answer = await link.inspector.Proxies(inspector_pb2.ProxiesRequest())
        shown = _chosen(name, answer.proxies) if name else list(answer.proxies)
        shown.sort(key=lambda proxy: proxy.name)
        if diff:
            from tsunagu.cli.compare import report  # noqa: PLC0415 - it needs what is known of each type

            await report.show(link, _one(name, shown), output_as)
            return
        if kind:
            await _resources(link, _one(name, shown), type_named(kind), output_as)
            return
    titles, rows = proxy_table.table(shown, every=not sys.stdout.isatty())
    output.listing(output_as, [output.as_dict(proxy) for proxy in shown], titles, rows)


async def _resources(link: Link, proxy: str, kind: str, form: Format) -> None:
    """Print each resource of a type that a proxy should have, or still has, and its state."""
    request = inspector_pb2.ResourcesRequest(proxy=proxy, type=kind, without_bodies=True)
    found = (await link.inspector.Resources(request)).resources
    cells = [
        [one.name, status(one.state), age(one.age_seconds), one.version or "-", " ".join(one.error.split())]
        for one in found
    ]
    titles = ["NAME", "STATE", "FOR", "VERSION", "REFUSED BECAUSE"]
    output.listing(form, [output.as_dict(one) for one in found], titles, cells)


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
