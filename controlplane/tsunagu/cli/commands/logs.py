"""`tsunagu logs`: what the containers of tasks wrote, of one task, of services, or of the whole mesh.

The one rule: what was written before is merged by time; what is followed is shown as it comes, and of a service also what
its later tasks write.
"""

from __future__ import annotations

import asyncio
import heapq
import re
import sys
import time
from contextlib import AsyncExitStack, aclosing, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import cycle
from typing import TYPE_CHECKING, Annotated

import typer

from tsunagu.cli.command import command
from tsunagu.cli.errors import USAGE, CliError
from tsunagu.cli.output import notice
from tsunagu.client.connection import client_errors, connected, node_agent, short
from tsunagu.client.errors import UnknownName
from tsunagu.client.source import registry_informer
from tsunagu.client.tasks import Tasks, all_tasks, has_stopped, owner_of
from tsunagu.model.statuses import Status
from tsunagu.settings import Home
from tsunagu.v1 import node_pb2

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping, Sequence

    from tsunagu.client.connection import Link
    from tsunagu.registry.informer import Informer
    from tsunagu.v1.objects_pb2 import Object

#: One colour per task, in turn.
_COLOURS = (typer.colors.CYAN, typer.colors.GREEN, typer.colors.YELLOW, typer.colors.MAGENTA, typer.colors.BLUE)
_PROXY = "envoy"
_ID_SUFFIX = 9  # characters of a task's ID after its service: -1a2b3c4d
_REST_SECONDS = 0.5  # until the last lines of a task that has stopped are read
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|[smhd]))+")


@dataclass(frozen=True, slots=True)
class _Selection:
    """Which lines are to be shown. `since`: seconds since the epoch."""

    container: str = ""
    follow: bool = False
    tail: int | None = None
    since: float = 0.0
    timestamps: bool = False


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
    selection = _Selection(container, follow, tail, parse_since(since, time.time()), timestamps)
    async with connected(home) as link:
        tasks = await all_tasks(link)
        chosen = choose(tasks, names or [], stopped=every, proxies=container == _PROXY)
        shown = _Shown(link, selection, chosen)
        if follow:
            await _follow(shown, chosen)
        else:
            await _show_by_time(list(shown.sources.values()))
    refusals = [source.refusal for source in shown.sources.values() if source.refusal]
    if refusals and len(refusals) == len(shown.sources):
        raise refusals[0]


def parse_since(text: str, now: float) -> float:
    """``90s``, ``1h30m`` or an ISO 8601 time as seconds since the epoch; 0.0 for an empty one. Raises CliError."""
    if not text:
        return 0.0
    if _DURATION.fullmatch(text):
        return now - sum(float(count) * _UNITS[unit] for count, unit in re.findall(r"([\d.]+)(ms|[smhd])", text))
    with suppress(ValueError):
        return datetime.fromisoformat(text).astimezone().timestamp()
    raise CliError(f"--since {text!r} is no time", USAGE, "write how long ago, as 90s or 1h30m, or 2025-11-22T12:00:00")


@dataclass(frozen=True, slots=True)
class Chosen:
    """The tasks whose lines are shown, and the owners whose later tasks join them. `everybody`: no name was given."""

    tasks: Sequence[Object]
    owners: frozenset[str]
    everybody: bool = False

    def joins(self, task: Object) -> bool:
        """Whether a task that appears later is shown as well."""
        return owner_of(task) in self.owners or (self.everybody and not task.task.spec.gateway)


def choose(tasks: Tasks, words: Iterable[str], *, stopped: bool = False, proxies: bool = False) -> Chosen:
    """The tasks that the words mean: of a service all that it has, those that have stopped only with `stopped`.

    Without a word: those of all services; with `proxies` of the gateways as well. Raises UnknownName, InvalidRequest.
    """
    found: dict[str, Object] = {}
    owners: set[str] = set()
    for word in words:
        if owner := tasks.owner(word):
            owners.add(owner)
            chosen = tasks.of_owner(owner, stopped=stopped) or [tasks.choose(word).task]
        else:
            chosen = [tasks.by_id(word)]
        found |= {task.meta.name: task for task in chosen}
    if not found:
        every = [task for task in tasks.tasks if (stopped or not has_stopped(task))]
        return Chosen([task for task in every if proxies or not task.task.spec.gateway], frozenset(), everybody=True)
    return Chosen(list(found.values()), frozenset(owners))


class _Shown:
    """The sources of the lines that are shown, by the names of their tasks, each with its prefix."""

    def __init__(self, link: Link, selection: _Selection, chosen: Chosen) -> None:
        self.link = link
        self.selection = selection
        self.sources: dict[str, _Source] = {}
        self._colours = cycle(_COLOURS)
        self._width = max([len(short(task.meta.name)) for task in chosen.tasks], default=0)
        self._single = len(chosen.tasks) == 1 and not (selection.follow and (chosen.owners or chosen.everybody))
        for task in chosen.tasks:
            self.add(task, selection)

    def add(self, task: Object, selection: _Selection) -> _Source:
        """A source for that task."""
        source = self.sources[task.meta.name] = _Source(self.link, task, selection, self._prefix(task))
        return source

    def _prefix(self, task: Object) -> str:
        if self._single:
            return ""
        self._width = max(self._width, len(task.task.spec.service) + _ID_SUFFIX)
        text = short(task.meta.name).ljust(self._width) + " | "
        return typer.style(text, fg=next(self._colours)) if sys.stdout.isatty() else text


@dataclass(slots=True)
class _Source:
    """The logs of one task. Without logs (it has not started, or its node has forgotten it) it keeps a `refusal`."""

    link: Link
    task: Object
    selection: _Selection
    prefix: str
    refusal: UnknownName | None = field(default=None)

    async def lines(self) -> AsyncGenerator[node_pb2.LogsResponse, None]:
        """Its lines, oldest first; none when the node refuses, which is noted in `refusal`."""
        try:
            with client_errors(self.link.home):
                async with node_agent(self.link, self.task) as agent:
                    async for line in agent.Logs(self._request()):
                        if line.time >= self.selection.since:
                            yield line
        except UnknownName as error:
            self.refusal = error
            if self.prefix:
                notice(f"{error}")

    def show(self, line: node_pb2.LogsResponse) -> None:
        """Print one line."""
        several = not self.selection.container and len(self.task.task.status.containers) > 1
        origin = f"{line.container}: " if several else ""
        at = datetime.fromtimestamp(line.time).astimezone()
        stamp = at.isoformat(timespec="milliseconds") + " " if self.selection.timestamps else ""
        typer.echo(self.prefix + stamp + origin + line.line.decode(errors="replace"))

    def _request(self) -> node_pb2.LogsRequest:
        # A gateway is nothing but a proxy.
        container = self.selection.container or (_PROXY if self.task.task.spec.gateway else "")
        return node_pb2.LogsRequest(
            task=self.task.meta.name, container=container, follow=self.selection.follow, tail=self.selection.tail
        )


async def _follow(shown: _Shown, chosen: Chosen) -> None:
    """Show lines as they come, and those of later tasks; until every task has stopped when none can join."""
    informer = registry_informer(shown.link.registry, "Task")
    async with asyncio.TaskGroup() as group:
        streams = {name: _start(group, source) for name, source in shown.sources.items()}
        following = group.create_task(informer.run(), name="informer")
        joining = group.create_task(_join(group, informer, shown, (chosen, streams)), name="tasks that join")
        if not (chosen.owners or chosen.everybody):
            await asyncio.wait(streams.values())
            following.cancel()
            joining.cancel()


Streams = dict[str, "asyncio.Task[None]"]


async def _join(group: asyncio.TaskGroup, informer: Informer, shown: _Shown, of: tuple[Chosen, Streams]) -> None:
    """Start a stream for each task that joins, and end those of tasks that have stopped."""
    (chosen, streams), ending = of, set[str]()
    later = replace(shown.selection, tail=None)
    async for _ in informer.follow():
        for name, task in _ordered(informer.objects("Task")):
            if name not in streams and chosen.joins(task) and _has_written(task):
                streams[name] = _start(group, shown.add(task, later))
            if name in streams and has_stopped(task) and name not in ending:
                ending.add(name)
                group.create_task(_end(streams[name]), name=f"end of {name}")


def _ordered(objects: Mapping[str, Object]) -> Iterator[tuple[str, Object]]:
    return iter(sorted(objects.items(), key=lambda item: item[1].meta.created_revision))


def _has_written(task: Object) -> bool:
    """Whether it may have logs, and is not a record of one that stopped before."""
    return not has_stopped(task) and any(one.last_status != Status.PENDING for one in task.task.status.containers)


def _start(group: asyncio.TaskGroup, source: _Source) -> asyncio.Task[None]:
    return group.create_task(_show(source), name=f"logs {source.task.meta.name}")


async def _show(source: _Source) -> None:
    async with aclosing(source.lines()) as lines:
        async for line in lines:
            source.show(line)
            sys.stdout.flush()


async def _end(stream: asyncio.Task[None]) -> None:
    await asyncio.wait([stream], timeout=_REST_SECONDS)
    stream.cancel()


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
