"""`tsunagu logs`: what the containers of tasks wrote, of one task, of services, or of the whole mesh.

The one rule: it only says which lines; how they are asked for, merged and followed is `display.container_lines`.
"""

from __future__ import annotations

import asyncio
import time
from typing import Annotated

import typer

from tsunagu.cli.command import command
from tsunagu.cli.display import container_lines as lines
from tsunagu.cli.durations import parse_since
from tsunagu.cli.output import notice
from tsunagu.client.connection import connected
from tsunagu.client.source import registry_informer
from tsunagu.client.tasks import all_tasks
from tsunagu.settings import Home


@command
async def logs(  # noqa: PLR0913, PLR0917 - its arguments are the command's options
    home: Home,
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[TASK|SERVICE]...", help="All services when there is none.")
    ] = None,
    container: Annotated[str, typer.Option("-c", "--container", help="Only this one; 'envoy' is the proxy.")] = "",
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on with what they write.")] = False,
    timestamps: Annotated[bool, typer.Option("-t", "--timestamps", help="When each line was written.")] = False,
    since: Annotated[str, typer.Option("--since", metavar="10m|TIME", help="Only lines that are newer.")] = "",
    tail: Annotated[int | None, typer.Option("--tail", min=0, help="Only the last N lines of each task.")] = None,
    every: Annotated[bool, typer.Option("-a", "--all", help="Also of tasks that have stopped.")] = False,
) -> None:
    """Show what containers wrote, oldest line first."""
    selection = lines.Selection(container, follow, tail, parse_since(since, time.time()), timestamps)
    async with connected(home) as link:
        tasks = await all_tasks(link)
        chosen = lines.choose(tasks, names or [], stopped=every, proxies=container == lines.PROXY)
        sources = lines.Sources(link, selection, chosen, typer.echo)
        await (_follow(sources) if follow else lines.show_by_time(sources))
    refusals = [source.refusal for source in sources.by_task.values() if source.refusal]
    if refusals and len(refusals) == len(sources.by_task):
        raise refusals[0]
    if not follow:
        for refusal in refusals:
            notice(f"{refusal}")


async def _follow(sources: lines.Sources) -> None:
    informer = registry_informer(sources.link.registry, "Task")
    async with asyncio.TaskGroup() as group:
        following = group.create_task(informer.run(), name="informer")
        await lines.follow(sources, informer)
        following.cancel()
