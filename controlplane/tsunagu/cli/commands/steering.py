"""`tsunagu xds override` and `tsunagu xds hold`: what proxies are sent, changed or kept back by hand, to see what comes of it.

The one rule: whatever is done here ends: an override with the control plane, a hold after a minute at most.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tsunagu.cli.command import command
from tsunagu.cli.commands.proxy_names import proxy_named, type_named
from tsunagu.cli.durations import parse_duration
from tsunagu.cli.errors import INVALID_MANIFEST, USAGE, CliError
from tsunagu.cli.output import age
from tsunagu.client import lookup
from tsunagu.client.connection import connected, short
from tsunagu.settings import Home
from tsunagu.v1 import inspector_pb2
from tsunagu.xds.resources import SHORT
from tsunagu.xds.waits import LONGEST_HOLD

if TYPE_CHECKING:
    from tsunagu.client.connection import Link


@command
async def override(
    home: Home,
    namespace: Annotated[str, typer.Argument(help="The namespace whose proxies get it.")],
    kind: Annotated[str, typer.Argument(metavar="TYPE", help="CDS, EDS, LDS, RDS or SDS.")],
    name: Annotated[str, typer.Argument(help="Name of the resource.")],
    file: Annotated[Path | None, typer.Argument(help="The resource, in YAML or JSON by Envoy's names.")] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Take the override away.")] = False,
) -> None:
    """Put a raw resource in the place of what the control plane makes, e.g. to see a NACK. Gone when it restarts."""
    kind = type_named(kind)
    if remove == (file is not None):
        raise CliError(
            "xds override takes a FILE, or --remove", USAGE, "e.g. tsunagu xds override shop LDS broken bad.yaml"
        )
    body = raw_resource(file, kind, name) if file else b""
    async with connected(home) as link:
        namespace = lookup.find("Namespace", namespace, await _namespaces(link), whole=True)
        request = inspector_pb2.OverrideRequest(namespace=namespace, type_url=SHORT[kind], name=name, body=body)
        answer = await link.inspector.Override(request)
    done = "is overridden no more" if remove else "is overridden"
    typer.echo(f"{kind} {name} of namespace {namespace} {done}, at revision {answer.revision}")


async def _namespaces(link: Link) -> list[str]:
    return [obj.meta.name for obj in (await link.registry.list("Namespace"))[0]]


def raw_resource(file: Path, kind: str, name: str) -> bytes:
    """The bytes of the one resource in a file, which need not say its own `@type`. Raises CliError."""
    from tsunagu.serve.library.resource_files import (  # noqa: PLC0415 - Envoy's messages are not every command's cost
        UnreadableResources,
        resources_from,
    )

    try:
        found = resources_from(file, type_url=SHORT[kind])
    except UnreadableResources as error:
        raise CliError("\n".join(map(str, error.problems)), INVALID_MANIFEST) from None
    if [(one.type_url, one.name) for one in found] != [(SHORT[kind], name)]:
        there = ", ".join(f"{one.type_url.rpartition('.')[2]} {one.name!r}" for one in found) or "no resource"
        raise CliError(f"{file} holds {there}, not the {kind} {name!r} alone", INVALID_MANIFEST)
    return bytes(found[0].body)


@command
async def hold(
    home: Home,
    proxy: Annotated[str, typer.Argument(help="ID of a task, or a service: its oldest running task.")],
    kind: Annotated[str, typer.Argument(metavar="TYPE", help="CDS, EDS, LDS, RDS or SDS.")],
    how_long: Annotated[str, typer.Option("--for", metavar="10s", help="How long; a minute at most.")] = "10s",
    release: Annotated[bool, typer.Option("--release", help="Let the responses go now.")] = False,
) -> None:
    """Keep the responses of one type to one proxy back for a while, to see what warms and what waits for them."""
    kind = type_named(kind)
    seconds = 0.0 if release else parse_duration(how_long, "--for")
    if not release and not 0 < seconds <= LONGEST_HOLD:
        raise CliError(f"--for {how_long} is out of bounds", USAGE, f"a hold lasts up to {LONGEST_HOLD:g}s")
    async with connected(home) as link:
        name = await proxy_named(link, proxy)
        await link.inspector.Hold(inspector_pb2.HoldRequest(proxy=name, type=kind, seconds=seconds))
    what = "no longer kept back" if release else f"kept back for {age(seconds)}"
    typer.echo(f"{kind} for {short(name)} is {what}")
