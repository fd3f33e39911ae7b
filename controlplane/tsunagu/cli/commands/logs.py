"""`tsunagu logs`: what the containers of a task, or of all tasks of a service, wrote."""

from __future__ import annotations

import asyncio
import heapq
import sys
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from tsunagu.cli.command import command
from tsunagu.cli.output import notice
from tsunagu.client import lookup
from tsunagu.client.connection import client_errors, connected, node_agent, short
from tsunagu.client.errors import UnknownName
from tsunagu.kit.spelling import did_you_mean
from tsunagu.model import ids
from tsunagu.settings import Home
from tsunagu.v1 import node_pb2

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from tsunagu.client.connection import Link
    from tsunagu.v1 import objects_pb2

#: One colour per task, in turn.
_COLOURS = (typer.colors.CYAN, typer.colors.GREEN, typer.colors.YELLOW, typer.colors.MAGENTA, typer.colors.BLUE)

_PROXY = "envoy"


@dataclass(frozen=True, slots=True)
class _Selection:
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
    selection = _Selection(container, follow, tail)
    async with connected(home) as link:
        tasks = await tasks_named(link, name)
        width = max(len(short(task.meta.name)) for task in tasks)
        prefixes = [_prefix(task, index, width) if len(tasks) > 1 else "" for index, task in enumerate(tasks)]
        sources = [_Source(link, task, selection, prefix) for task, prefix in zip(tasks, prefixes, strict=True)]
        await (_show_as_they_come(sources) if follow else _show_by_time(sources))
    refusals = [source.refusal for source in sources if source.refusal]
    if len(refusals) == len(sources):
        raise refusals[0]


async def tasks_named(link: Link, word: str) -> Sequence[objects_pb2.Object]:
    """The task of that name, or all tasks of the service of that name. Raises UnknownName."""
    found, _ = await link.registry.list("Task")
    by_name = {task.meta.name: task for task in found}
    services = {service.meta.name for service in (await link.registry.list("Service"))[0]}
    exact = [name for name in services if word in (name, name.rpartition("/")[2])]
    if len(exact) == 1:
        tasks = [task for task in found if ids.service_of(task) == exact[0]]
        if not tasks:
            raise UnknownName(f"service {exact[0]} has no task", "'tsunagu describe service' shows why")
        return tasks
    if not lookup.matches(word, by_name):
        known = [*(short(name) for name in by_name), *(short(name) for name in services)]
        raise UnknownName(f"there is no task and no service {word!r}", did_you_mean(word, known, "see 'tsunagu ps'"))
    return [by_name[lookup.find("Task", word, by_name)]]


def _prefix(task: objects_pb2.Object, index: int, width: int) -> str:
    text = short(task.meta.name).ljust(width) + " | "
    return typer.style(text, fg=_COLOURS[index % len(_COLOURS)]) if sys.stdout.isatty() else text


class _Source:
    """The logs of one task. Without logs (it has not started, or its node has forgotten it) it keeps a `refusal`."""

    def __init__(self, link: Link, task: objects_pb2.Object, selection: _Selection, prefix: str) -> None:
        self.task = task
        self.refusal: UnknownName | None = None
        self._link, self._selection, self._prefix = link, selection, prefix
        self._several = not selection.container and len(task.task.status.containers) > 1

    async def lines(self) -> AsyncGenerator[node_pb2.LogsResponse, None]:
        """Its lines, oldest first; none when the node refuses, which is noted in `refusal`."""
        try:
            with client_errors(self._link.home):
                async with node_agent(self._link, self.task) as agent:
                    async for line in agent.Logs(self._request()):
                        yield line
        except UnknownName as error:
            self.refusal = error
            if self._prefix:
                notice(f"{error}")

    def show(self, line: node_pb2.LogsResponse) -> None:
        origin = f"{line.container}: " if self._several else ""
        typer.echo(self._prefix + origin + line.line.decode(errors="replace"))

    def _request(self) -> node_pb2.LogsRequest:
        # A gateway is nothing but a proxy.
        container = self._selection.container or (_PROXY if self.task.task.spec.gateway else "")
        return node_pb2.LogsRequest(
            task=self.task.meta.name, container=container, follow=self._selection.follow, tail=self._selection.tail
        )


async def _show_as_they_come(sources: Sequence[_Source]) -> None:
    async with asyncio.TaskGroup() as group:
        for source in sources:
            group.create_task(_show(source), name=f"logs {source.task.meta.name}")


async def _show(source: _Source) -> None:
    async with aclosing(source.lines()) as lines:
        async for line in lines:
            source.show(line)


async def _show_by_time(sources: Sequence[_Source]) -> None:
    """Merge the sources by time, holding one line of each."""
    async with AsyncExitStack() as stack:
        opened = [await stack.enter_async_context(aclosing(source.lines())) for source in sources]
        heads = [(line.time, index, line) for index in range(len(opened)) if (line := await anext(opened[index], None))]
        heapq.heapify(heads)
        while heads:
            _, index, line = heads[0]
            sources[index].show(line)
            if following := await anext(opened[index], None):
                heapq.heapreplace(heads, (following.time, index, following))
            else:
                heapq.heappop(heads)
