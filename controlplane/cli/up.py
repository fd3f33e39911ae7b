"""`tsunagu up`: a whole mesh in one command.

The one rule: everything starts and ends in one order, read from top to bottom in `hold`: claim the home, start the
children, do the job (apply and show), drain, end.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from controlplane.cli import errors
from controlplane.cli.ending import Ending
from controlplane.cli.holding import answering, hold
from controlplane.cli.options import command
from controlplane.cli.publish import check_free
from controlplane.cli.running import is_up
from controlplane.cli.wanted import Wanted, read_wanted
from controlplane.settings import Home

if TYPE_CHECKING:
    from controlplane.cli.link import Link
    from controlplane.cli.processes import Processes
    from controlplane.cli.view import PlainView


@command
async def up(  # noqa: PLR0913, PLR0917 - the options of the command
    home: Home,
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Manifests, or directories of them.")],
    publish: Annotated[
        list[str] | None,
        typer.Option(metavar="[HOST:]HOSTPORT=ALIAS:PORT", help="A port of this machine that leads into the mesh."),
    ] = None,
    env_file: Annotated[Path | None, typer.Option(help="NAME=VALUE lines: the values of `secrets`.")] = None,
    detach: Annotated[bool, typer.Option("-d", "--detach", help="Return when it is steady; 'down' ends it.")] = False,
    timeout: Annotated[float, typer.Option(min=0, help="Seconds until --detach gives up waiting.")] = 60.0,
    stop_within: Annotated[float, typer.Option(min=0, help="Seconds that draining may take at the end.")] = 3.5,
) -> None:
    """Run a mesh of these manifests on this machine; Ctrl-C drains and ends it."""
    began = time.monotonic()
    wanted = read_wanted(paths, publish or [], env_file)
    if not is_up(home):  # else that is the fault to tell of
        check_free(wanted.wishes)
    if detach:
        await _detached(home, wanted, timeout, stop_within)
        return
    foreground = _Foreground(home, wanted, began)
    ending = Ending()
    ending.listen()
    await hold(home, ending, stop_within, foreground)
    if not foreground.steady:
        raise typer.Exit(errors.INTERRUPTED)


class _Foreground:
    """The job of `hold` on a terminal (or in a pipe): apply, then show."""

    def __init__(self, home: Home, wanted: Wanted, began: float) -> None:
        self._home = home
        self._wanted = wanted
        self._began = began
        self._view: PlainView | None = None
        self.steady = False

    def tell(self, text: str) -> None:
        if self._view is None:
            typer.echo(text)
        else:
            self._view.tell(text)

    async def __call__(self, processes: Processes) -> None:
        # The children have started: what this imports costs no time.
        from controlplane.cli import view as views  # noqa: PLC0415
        from controlplane.cli.link import connected  # noqa: PLC0415
        from controlplane.cli.sight import Sight  # noqa: PLC0415

        self._view = view = views.make()
        await answering(self._home, processes)
        async with connected(self._home) as link, asyncio.TaskGroup() as group:
            sight = Sight(link.registry)
            group.create_task(sight.run(), name="sight of the registry")
            group.create_task(views.tell_story(sight, view), name="story")
            group.create_task(views.look_at_proxies(link, view), name="proxies of the view")
            with view.shown(sight):
                await self._bring_up(link)
                await asyncio.Event().wait()  # until Ctrl-C cancels us

    async def _bring_up(self, link: Link) -> None:
        from controlplane.cli.bringing import bring_up  # noqa: PLC0415

        told = await bring_up(link, self._wanted, None, self.tell)
        self.tell(f"steady after {time.monotonic() - self._began:.1f} s: {told}")
        self.tell("Ctrl-C drains and ends it; a second one ends it at once")
        self.steady = True


async def _detached(home: Home, wanted: Wanted, timeout: float, stop_within: float) -> None:
    from controlplane.cli.bringing import bring_up  # noqa: PLC0415
    from controlplane.cli.detached import started  # noqa: PLC0415
    from controlplane.cli.link import connected  # noqa: PLC0415

    began = time.monotonic()
    async with started(home, stop_within), connected(home) as link:
        told = await bring_up(link, wanted, timeout, typer.echo)
        typer.echo(f"steady after {time.monotonic() - began:.1f} s: {told}")
        typer.echo("'tsunagu down' drains and ends it")
