"""`tsunagu logs`: what the containers of a task, or of all tasks of a service, wrote."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer
from tsunagu.v1 import node_pb2

from controlplane.cli import lookup
from controlplane.cli.errors import NOT_FOUND, CliError, nearest
from controlplane.cli.link import connected, node_agent, short, told
from controlplane.cli.options import command
from controlplane.cli.tasks import service_of
from controlplane.settings import Home

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tsunagu.v1 import objects_pb2

    from controlplane.cli.link import Link

#: One colour per task, in turn.
_COLOURS = (typer.colors.CYAN, typer.colors.GREEN, typer.colors.YELLOW, typer.colors.MAGENTA, typer.colors.BLUE)

_PROXY = "envoy"


@dataclass(frozen=True, slots=True)
class _Wish:
    """Which lines are to be shown."""

    container: str
    follow: bool
    tail: int | None


@command
async def logs(
    home: Home,
    name: Annotated[str, typer.Argument(metavar="TASK|SERVICE", help="May be shortened where that is unique.")],
    container: Annotated[str, typer.Option("-c", "--container", help="Only this one; 'envoy' is the proxy.")] = "",
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on with what they write.")] = False,
    tail: Annotated[int | None, typer.Option("--tail", min=0, help="Only the last N lines of each task.")] = None,
) -> None:
    """Show what containers wrote, oldest line first."""
    wish = _Wish(container, follow, tail)
    async with connected(home) as link:
        tasks = await tasks_named(link, name)
        width = max(len(short(task.meta.name)) for task in tasks)
        async with asyncio.TaskGroup() as group:
            for index, task in enumerate(tasks):
                prefix = _prefix(task, index, width) if len(tasks) > 1 else ""
                group.create_task(_show(link, task, wish, prefix), name=f"logs {task.meta.name}")


async def tasks_named(link: Link, word: str) -> Sequence[objects_pb2.Object]:
    """The task of that name, or all tasks of the service of that name. Raises CliError."""
    found, _ = await link.registry.list("Task")
    by_name = {task.meta.name: task for task in found}
    services = {service.meta.name for service in (await link.registry.list("Service"))[0]}
    exact = [name for name in services if word in (name, name.rpartition("/")[2])]
    if len(exact) == 1:
        tasks = [task for task in found if service_of(task) == exact[0]]
        if not tasks:
            raise CliError(f"service {exact[0]} has no task", NOT_FOUND, "'tsunagu describe service' tells why")
        return tasks
    if not lookup.matches(word, by_name):
        known = [*(short(name) for name in by_name), *(short(name) for name in services)]
        raise CliError(f"there is no task and no service {word!r}", NOT_FOUND, nearest(word, known, "see 'tsunagu ps'"))
    return [by_name[lookup.find("Task", word, by_name)]]


def _prefix(task: objects_pb2.Object, index: int, width: int) -> str:
    text = short(task.meta.name).ljust(width) + " | "
    return typer.style(text, fg=_COLOURS[index % len(_COLOURS)]) if sys.stdout.isatty() else text


async def _show(link: Link, task: objects_pb2.Object, wish: _Wish, prefix: str) -> None:
    container = wish.container or (_PROXY if task.task.spec.gateway else "")  # a gateway is nothing but a proxy
    request = node_pb2.LogsRequest(task=task.meta.name, container=container, follow=wish.follow, tail=wish.tail)
    several = not wish.container and len(task.task.status.containers) > 1
    with told(link.home):
        async with node_agent(link, task) as agent:
            async for line in agent.Logs(request):
                origin = f"{line.container}: " if several else ""
                typer.echo(prefix + origin + line.line.decode(errors="replace"))
