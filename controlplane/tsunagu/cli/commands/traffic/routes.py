"""`tsunagu routes`: every rule for the requests to an alias or at a gateway, in the order in which they are asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from tsunagu.cli import errors, output
from tsunagu.cli.command import command
from tsunagu.cli.errors import CliError
from tsunagu.cli.output import Format, Output
from tsunagu.client.connection import connected
from tsunagu.kit.spelling import did_you_mean
from tsunagu.model import ids
from tsunagu.settings import Home

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tsunagu.cli.display.traffic_rules import Line
    from tsunagu.client.connection import Link
    from tsunagu.mesh.view import View

_TITLES = ("OF", "RULE", "MATCHES", "GOES TO", "TRIED", "SOURCE")


@command
async def routes(
    home: Home,
    name: Annotated[str, typer.Argument(metavar="[ALIAS|GATEWAY]", help="DNSNAME, DNSNAME:PORT, or a gateway.")] = "",
    output_as: Output = Format.table,
) -> None:
    """Show which rule takes a request, in order: of one alias or gateway, or of all."""
    async with connected(home) as link:
        view, sources = await _view(link)
    fronts = dict(_fronts(view, sources))
    wanted = {front: found for front, found in fronts.items() if not name or name in _names(front)}
    if name and not wanted:
        known = sorted({word for front in fronts for word in _names(front)})
        raise CliError(f"nothing that takes routes is called {name!r}", errors.USAGE, did_you_mean(name, known))
    found = [line for lines in wanted.values() for line in lines]
    cells = [[one.front, one.rule or "-", one.matches, one.action, one.tries, one.source] for one in found]
    output.listing(output_as, [_as_values(one) for one in found], _TITLES, cells)


async def _view(link: Link) -> tuple[View, Mapping[str, str]]:
    """The mesh as the registry has it, and where each Route was written."""
    from tsunagu.mesh.view import View  # noqa: PLC0415 - what the mesh is made of is not every command's

    objects, revision = await link.registry.list()
    changes = ((ids.kind_of(obj), obj.meta.name, None, obj) for obj in objects)
    sources = {obj.meta.name: obj.route.source for obj in objects if ids.kind_of(obj) == "Route"}
    return View.empty().apply(changes, revision)[0], sources


def _fronts(view: View, sources: Mapping[str, str]) -> Iterator[tuple[str, list[Line]]]:
    """Each alias that takes requests, and each gateway with routes -> its rules."""
    from tsunagu.cli.display import traffic_rules  # noqa: PLC0415

    for namespace in view.namespaces():
        for alias in view.aliases(namespace):
            if alias.row.protocol != "tcp":
                front = f"{alias.dns_name}:{alias.port} in {namespace}"
                yield front, [traffic_rules.line(front, rule, sources) for rule in view.table(alias)]
    for gateway in sorted(view.tables.gateways.values(), key=lambda row: row.name):
        if gateway.ports:
            front = f"gateway {gateway.name}"
            rules = view.gateway_routes(gateway)
            yield front, [traffic_rules.line(front, rule, sources, hosts=hosts) for hosts, rule in rules]


def _names(front: str) -> tuple[str, ...]:
    """What one may call a front."""
    if front.startswith("gateway "):
        return (front.removeprefix("gateway "),)
    alias = front.partition(" ")[0]
    return alias, alias.rpartition(":")[0]


def _as_values(one: Line) -> dict[str, str]:
    return {
        "of": one.front,
        "rule": one.rule,
        "matches": one.matches,
        "goesTo": one.action,
        "tried": one.tries,
        "source": one.source,
    }
