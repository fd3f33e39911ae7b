"""`tsunagu wait`: until the proxies have a revision, or until every service is as its manifest wants it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import grpc
import typer
from tsunagu.v1 import inspector_pb2

from controlplane.cli import steady as steadiness
from controlplane.cli.errors import NOT_CONVERGED, USAGE, CliError
from controlplane.cli.link import connected, short
from controlplane.cli.options import command
from controlplane.cli.output import say
from controlplane.settings import Home

if TYPE_CHECKING:
    from controlplane.cli.link import Link


@command
async def wait(
    home: Home,
    revision: Annotated[int, typer.Option("--revision", min=0, help="0 is the present one.")] = 0,
    steady: Annotated[bool, typer.Option("--steady", help="Also until every service is steady.")] = False,
    timeout: Annotated[float, typer.Option("--timeout", min=0, max=600, help="Seconds.")] = 60.0,
) -> None:
    """Wait until every proxy has acknowledged a revision of the registry."""
    async with connected(home) as link:
        if steady:
            await steadiness.until_steady(link, timeout, say)
        await until_converged(link, revision, timeout)


async def until_converged(link: Link, revision: int, timeout: float) -> None:
    """Returns when every expected proxy has ACKed that revision. Raises CliError that names those that have not."""
    try:
        answer = await link.inspector.Wait(inspector_pb2.WaitRequest(revision=revision, timeout_seconds=timeout))
    except grpc.aio.AioRpcError as error:
        if error.code() is not grpc.StatusCode.INVALID_ARGUMENT:
            raise
        raise CliError(error.details() or "", USAGE) from error
    if not answer.converged:
        missing = "; ".join(f"{short(lack.proxy)}: {lack.reason}" for lack in answer.missing)
        raise CliError(f"not converged on revision {answer.revision} after {timeout:g} s: {missing}", NOT_CONVERGED)
    typer.echo(f"converged on revision {answer.revision}")
