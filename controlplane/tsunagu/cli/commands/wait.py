"""`tsunagu wait`: until the proxies have a revision, or until every service is as its manifest wants it."""

from __future__ import annotations

from typing import Annotated

import typer

from tsunagu.cli.command import command
from tsunagu.cli.output import notice
from tsunagu.client import wait_steady as steadiness
from tsunagu.client.connection import connected
from tsunagu.client.wait_converged import Deadline, until_converged
from tsunagu.settings import Home


@command
async def wait(
    home: Home,
    revision: Annotated[int, typer.Option("--revision", min=0, help="0 is the present one.")] = 0,
    steady: Annotated[bool, typer.Option("--steady", help="Also until every service is steady.")] = False,
    timeout: Annotated[float, typer.Option("--timeout", min=0, help="Seconds.")] = 60.0,
) -> None:
    """Wait until every proxy has acknowledged a revision of the registry."""
    async with connected(home) as link:
        deadline = Deadline(timeout)
        if steady:
            await steadiness.until_steady(link, timeout, notice)
        typer.echo(f"converged on revision {await until_converged(link, revision, deadline, notice)}")
