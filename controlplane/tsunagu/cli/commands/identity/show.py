"""`tsunagu identity`, `tsunagu ca show` and `tsunagu ca rotate`: who a task is, and who says so.

The one rule: they show certificates by their facts. No key is in the registry, so none can be shown.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from tsunagu.cli import errors, output
from tsunagu.cli.command import command
from tsunagu.cli.errors import CliError
from tsunagu.cli.output import Format, Output
from tsunagu.client.connection import connected, short
from tsunagu.client.errors import NotConverged
from tsunagu.client.tasks import all_tasks, has_stopped
from tsunagu.settings import Home

if TYPE_CHECKING:
    from google.protobuf.timestamp_pb2 import Timestamp

    from tsunagu.client.connection import Link
    from tsunagu.v1.identities_pb2 import Identity, TrustBundle
    from tsunagu.v1.objects_pb2 import HostIdentity, Object

_DEFAULT: Final = "default"
_STEADY: Final = "STEADY"
_POLL: Final = 0.1
_MARK: Final = 16  # digits of a fingerprint that are shown to people
Authority = Annotated[str, typer.Argument(metavar="[NAME]", help="Of several certificate authorities, which.")]

ca = typer.Typer(
    help="Show, and replace, who signs certificates.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)


@command
async def identity(
    home: Home,
    task: Annotated[
        str, typer.Argument(metavar="[TASK|SERVICE]", help="A task, or those of a service; without it: all.")
    ] = "",
    output_as: Output = Format.table,
) -> None:
    """Show who tasks, and the programs of machines, are to others: SPIFFE ID, who signed it, until when."""
    async with connected(home) as link:
        known = await all_tasks(link)
        owner = known.owner(task) if task else ""
        tasks = known.of_owner(owner) if owner else ([known.choose(task).task] if task else known.tasks)
        nodes = () if task else (await link.registry.list("Node"))[0]
        modes = {one.meta.name: one.namespace.tls for one in (await link.registry.list("Namespace"))[0]}
    rows = [_of_task(one, modes) for one in tasks if not has_stopped(one)]
    rows += [_of_node(obj, one, modes) for obj in nodes for one in obj.node.identities]
    titles = ("TASK", "ID", "AUTHORITY", "ISSUER", "UNTIL", "SERIAL", "TLS", "PROBLEM")
    members = ("task", "id", "authority", "issuer", "until", "serial", "tls", "problem")
    output.listing(output_as, rows, titles, [[_shown(row, member) for member in members] for row in rows])


@command
async def show(home: Home, output_as: Output = Format.table) -> None:
    """Show the certificate authorities: what is trusted, what signs, and how far a rotation is."""
    async with connected(home) as link:
        bundles, _ = await link.registry.list("TrustBundle")
    if not bundles and output_as is Format.table:
        output.notice("there is no certificate authority: no namespace speaks TLS (kind: Namespace, tls: permissive)")
    rows = [row for one in bundles for row in _of_bundle(one)]
    titles = ("NAME", "AUTHORITY", "SUBJECT", "ROLE", "UNTIL", "SOURCE", "PHASE", "WAITS FOR")
    members = ("name", "fingerprint", "subject", "role", "until", "source", "phase", "waitsFor")
    output.listing(output_as, rows, titles, [[_shown(row, member) for member in members] for row in rows])


@command
async def rotate(
    home: Home,
    authority: Authority = _DEFAULT,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Show how it goes until it is over.")] = True,
    timeout: Annotated[float, typer.Option(min=0, help="Seconds to wait; it goes on afterwards.")] = 300.0,
) -> None:
    """Replace a certificate authority: both are trusted, then certificates are made anew, then the old one goes."""
    async with connected(home) as link:
        found = await link.registry.get("TrustBundle", authority)
        if found is None:
            raise CliError(
                f"there is no certificate authority {authority!r}", errors.NOT_FOUND, "'tsunagu ca show' lists them"
            )
        if found.trust_bundle.source != "embedded":
            what = f"the certificate authority {authority!r} is yours ({found.trust_bundle.source})"
            raise CliError(
                what, errors.USAGE, "start the mesh with another --ca-cert and --ca-key: it goes the same way"
            )
        asked = await link.registry.update("TrustBundle", authority, _ask)
        typer.echo(f"certificate authority {authority} is replaced")
        if wait:
            await _follow(link, authority, asked.trust_bundle.rotations_wanted, time.monotonic() + timeout)


def _ask(obj: Object) -> None:
    if obj.trust_bundle.rotations_wanted == obj.trust_bundle.rotations_begun:  # one that waits to begin is enough
        obj.trust_bundle.rotations_wanted += 1


async def _follow(link: Link, name: str, wanted: int, deadline: float) -> None:
    """Show each phase until the rotation is over. Raises NotConverged at the deadline."""
    said = ""
    while True:
        found = await link.registry.get("TrustBundle", name)
        bundle = found.trust_bundle if found is not None else None
        if bundle is None:
            raise CliError(f"the certificate authority {name!r} is gone", errors.NOT_FOUND)
        over = bundle.phase == _STEADY and bundle.rotations_begun >= wanted
        now = f"{bundle.phase}: {_progress(bundle, over=over)}"
        if now != said and (over or bundle.rotations_begun >= wanted):
            typer.echo(now)
            said = now
        if over:
            return
        if time.monotonic() >= deadline:
            raise NotConverged(f"the rotation is at {bundle.phase} and waits for {bundle.waits_for}; it goes on")
        await asyncio.sleep(_POLL)


def _progress(bundle: TrustBundle, *, over: bool) -> str:
    return f"{bundle.signs[:_MARK]} signs, and is trusted alone" if over else f"waits for {bundle.waits_for}"


def _of_task(obj: Object, modes: dict[str, str]) -> dict[str, Any]:
    return {"task": obj.meta.name, **_of_holder(obj.task.status.identity, obj.task.spec.namespace, modes)}


def _of_node(obj: Object, held: HostIdentity, modes: dict[str, str]) -> dict[str, Any]:
    """The row of the certificate with which a node's twins call into a namespace."""
    return {"task": "", "node": obj.meta.name, **_of_holder(held.identity, held.namespace, modes)}


def _of_holder(held: Identity, namespace: str, modes: dict[str, str]) -> dict[str, Any]:
    return {
        "id": held.id,
        "authority": held.authority,
        "issuer": held.issuer,
        "serial": held.serial,
        "until": _until(held.not_after) if held.id else "",
        "tls": modes.get(namespace, "") or "off",
        "problem": held.problem,
    }


def _of_bundle(obj: Object) -> list[dict[str, Any]]:
    bundle = obj.trust_bundle
    return [
        {
            "name": obj.meta.name,
            "fingerprint": one.fingerprint,
            "subject": one.subject,
            "role": "signs" if one.fingerprint == bundle.signs else "is trusted",
            "until": _until(one.not_after),
            "source": bundle.source if one.fingerprint == bundle.signs else "",
            "phase": bundle.phase,
            "waitsFor": bundle.waits_for,
            "trustDomain": bundle.trust_domain,
            "namespaces": list(bundle.namespaces),
        }
        for one in bundle.authorities
    ]


def _until(moment: Timestamp) -> str:
    return f"{datetime.fromtimestamp(moment.ToSeconds(), UTC):%F %T}Z"


def _shown(row: dict[str, Any], member: str) -> str:
    """A cell: a fingerprint is cut, a task goes without its cluster, and who is none is a node."""
    text = str(row[member])
    if member == "task" and not text:
        return f"node {row['node']}"
    if member in {"issuer", "fingerprint"}:
        return text[:_MARK]
    return short(text) if member == "task" else text


ca.command("show")(show)
ca.command("rotate")(rotate)
