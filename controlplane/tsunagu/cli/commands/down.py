"""`tsunagu down`: ends a mesh that another `up` runs, in the background or in another terminal."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from tsunagu.cli.command import command
from tsunagu.cli.errors import NO_MESH, NOT_CONVERGED, CliError
from tsunagu.cli.local.home_lock import locked
from tsunagu.cli.output import notice
from tsunagu.client.is_up import is_up, pid_of
from tsunagu.settings import Home

_POLL_SECONDS = 0.02
_NOTIFY_SECONDS = 1.0


@command
async def down(
    home: Home,
    now: Annotated[bool, typer.Option("--now", help="Without draining.")] = False,
    timeout: Annotated[float, typer.Option(min=0, help="Seconds to wait for its end.")] = 60.0,
) -> None:
    """End the mesh: drain its tasks, stop them, and leave no process behind."""
    pid = pid_of(home) if is_up(home) else 0
    if not pid and home.applied.exists():
        with locked(home):  # which deletes it
            typer.echo(f"no mesh is running in {home.root}; what a killed one left there is deleted")
        return
    if not pid:
        raise CliError(f"no mesh is running in {home.root}", NO_MESH, "say which with --home or --name")
    with suppress(ProcessLookupError):  # it has just ended by itself
        os.kill(pid, signal.SIGQUIT if now else signal.SIGTERM)
    await _until_down(home, pid, timeout)
    typer.echo(f"the mesh in {home.root} has ended")


async def _until_down(home: Home, pid: int, timeout: float) -> None:
    began = notified = time.monotonic()
    while is_up(home) or _is_there(pid):
        now = time.monotonic()
        if now - began > timeout:
            raise CliError(
                f"the mesh (process {pid}) is still there after {timeout:g} s",
                NOT_CONVERGED,
                "try 'tsunagu down --now'",
            )
        if now - notified > _NOTIFY_SECONDS:
            notified = now
            notice(f"waiting for its tasks to drain, {now - began:.0f} s")
        await asyncio.sleep(_POLL_SECONDS)


def _is_there(pid: int) -> bool:
    """Whether the process runs: it lets go of its home a moment before it has ended. One that nobody waits for has ended."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return False
    return state not in "ZX"
