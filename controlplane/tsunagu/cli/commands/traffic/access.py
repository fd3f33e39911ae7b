"""`tsunagu access`: who may call whom, by the AccessPolicies of the mesh; and the verdict on one call.

The one rule: it asks nobody but the registry and makes no call; `tsunagu why` makes one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from tsunagu.cli import errors, output
from tsunagu.cli.command import command
from tsunagu.cli.errors import FAULT_FOUND, CliError
from tsunagu.cli.output import Format, Output
from tsunagu.client.connection import connected
from tsunagu.kit.spelling import did_you_mean
from tsunagu.model import ids
from tsunagu.settings import Home

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tsunagu.client.connection import Link
    from tsunagu.mesh.access.callers import Caller
    from tsunagu.mesh.access.questions import Answer
    from tsunagu.mesh.view import Alias, View


@command
async def access(
    home: Home,
    caller: Annotated[
        str, typer.Argument(metavar="[FROM]", help="A service, gateway:NAME, family:NAME, or host.")
    ] = "",
    target: Annotated[str, typer.Argument(metavar="[TO]", help="DNSNAME or DNSNAME:PORT.")] = "",
    method: Annotated[str, typer.Argument(metavar="[METHOD]", help="GET, POST...; of gRPC SERVICE/METHOD.")] = "GET",
    path: Annotated[str, typer.Argument(metavar="[PATH]", help="With a slash in front.")] = "/",
    output_as: Output = Format.table,
) -> None:
    """Say who may call whom; with FROM and TO, whether that call is allowed, by which policy, or what would allow it."""
    from tsunagu.cli.display import access_lines  # noqa: PLC0415 - what the mesh is made of is not every command's
    from tsunagu.mesh.access import questions  # noqa: PLC0415

    if bool(caller) != bool(target):
        raise CliError("a call has a caller and a target", errors.USAGE, "tsunagu access FROM TO [METHOD PATH]")
    async with connected(home) as link:
        view, sources = await _view(link)
    if not caller:
        found = list(questions.served_ports(view))
        cells = [row for port in found for row in access_lines.rows(port)]
        output.listing(output_as, access_lines.ports_as_values(found), access_lines.PORTS, cells)
        return
    answers = _answers(view, caller, target, (method, path))
    if output_as is not Format.table:
        output.document(output_as, [access_lines.as_values(one) for one in answers])
    else:
        _show(answers, f"{caller} calls {target}", sources)
    if not all(one.verdict.allowed for one in answers):
        raise typer.Exit(FAULT_FOUND)


async def _view(link: Link) -> tuple[View, Mapping[str, str]]:
    """The mesh as the registry has it, and where each policy was written."""
    from tsunagu.mesh.view import View  # noqa: PLC0415

    objects, revision = await link.registry.list()
    changes = ((ids.kind_of(obj), obj.meta.name, None, obj) for obj in objects)
    sources = {obj.meta.name: obj.access_policy.source for obj in objects if ids.kind_of(obj) == "AccessPolicy"}
    return View.empty().apply(changes, revision)[0], sources


def _answers(view: View, written: str, target: str, request: tuple[str, str]) -> list[Answer]:
    """The verdicts on a call, at every port where it may arrive. Raises CliError: nobody is called so."""
    from tsunagu.mesh.access import callers, questions  # noqa: PLC0415
    from tsunagu.mesh.access.words import Call  # noqa: PLC0415

    try:
        caller = callers.find(view, written)
    except callers.UnknownCaller as error:
        raise CliError(str(error), errors.NOT_FOUND, error.right) from error
    aliases = list(_aliases(view, caller, target))
    if not aliases:
        known = {name for alias in _aliases(view, caller, "") for name in _names(alias)}
        where = f" in namespace {caller.namespace}" if caller.namespace else ""
        raise CliError(f"nobody offers {target!r}{where}", errors.NOT_FOUND, did_you_mean(target, known))
    found: list[Answer] = []
    for alias in aliases:
        method, path = _of_grpc(*request) if alias.row.protocol == "grpc" else request
        found += questions.ask(view, alias, Call(caller.identity(view, alias.namespace), method, path))
    return found


def _aliases(view: View, caller: Caller, target: str) -> Iterator[Alias]:
    """The aliases of that name that the caller may mean; all of them for an empty one."""
    for namespace in [caller.namespace] if caller.namespace else view.namespaces():
        yield from (alias for alias in view.aliases(namespace) if not target or target in _names(alias))


def _names(alias: Alias) -> tuple[str, str]:
    return alias.dns_name, f"{alias.dns_name}:{alias.port}"


def _of_grpc(method: str, path: str) -> tuple[str, str]:
    """The request of `SERVICE/METHOD`, as HTTP/2 has it; also when a path was given."""
    return "POST", path if path != "/" or "/" not in method else f"/{method.lstrip('/')}"


def _show(answers: list[Answer], asked: str, sources: Mapping[str, str]) -> None:
    from tsunagu.cli.display import access_lines  # noqa: PLC0415

    for one in answers:
        request = access_lines.call_words(one.call, one.port.protocol)
        typer.echo(access_lines.sentence(one, f"{asked} ({request})" if request else asked, sources))
        if remedy := access_lines.remedy(one, sources):
            typer.echo(f"  {remedy}")
