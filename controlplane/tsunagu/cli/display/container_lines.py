"""Lines that containers wrote, of any number of tasks: asked of their node agents, merged, followed, with a prefix each.

The one rule: what was written before is merged by time; what is followed is shown as it comes, and of a service also what
its later tasks write.
"""

from __future__ import annotations

import asyncio
import heapq
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import cycle
from typing import TYPE_CHECKING

import typer

from tsunagu.cli.output import coloured, notice
from tsunagu.client.connection import client_errors, node_agent, short
from tsunagu.client.errors import UnknownName
from tsunagu.client.tasks import Tasks, has_stopped, owner_of
from tsunagu.model.statuses import Status
from tsunagu.v1 import node_pb2

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping, Sequence

    from tsunagu.client.connection import Link
    from tsunagu.registry.informer import Informer
    from tsunagu.v1.objects_pb2 import Object

#: One colour per task, in turn.
_COLOURS = (typer.colors.CYAN, typer.colors.GREEN, typer.colors.YELLOW, typer.colors.MAGENTA, typer.colors.BLUE)
PROXY = "envoy"
_ID_SUFFIX = 9  # characters of a task's ID after its service: -1a2b3c4d
_LONGEST_PREFIX = 40  # one very long name does not push the lines of all others to the right
_REST_SECONDS = 2.0  # for the node agent to end the stream of a task that has stopped


@dataclass(frozen=True, slots=True)
class Selection:
    """Which lines are shown. `since`: seconds since the epoch; `rate`: of a container, lines a second at most (0: all)."""

    container: str = ""
    follow: bool = False
    tail: int | None = None
    since: float = 0.0
    timestamps: bool = False
    rate: int = 0


@dataclass(frozen=True, slots=True)
class Chosen:
    """The tasks whose lines are shown, and the owners whose later tasks join them. `everybody`: no name was given."""

    tasks: Sequence[Object]
    owners: frozenset[str] = frozenset()
    everybody: bool = False

    def joins(self, task: Object) -> bool:
        """Whether a task that appears later is shown as well."""
        return owner_of(task) in self.owners or (self.everybody and not task.task.spec.gateway)

    @property
    def grows(self) -> bool:
        """Whether later tasks can join."""
        return bool(self.owners) or self.everybody


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
        return Chosen([task for task in every if proxies or not task.task.spec.gateway], everybody=True)
    return Chosen(list(found.values()), frozenset(owners))


class Sources:
    """The sources of the lines that are shown, by the names of their tasks, each with its prefix.

    `write` gets each line as it is to be shown.
    """

    def __init__(self, link: Link, selection: Selection, chosen: Chosen, write: Callable[[str], None]) -> None:
        self.link = link
        self.selection = selection
        self.chosen = chosen
        self.by_task: dict[str, Source] = {}
        self._write = write
        self._colours = cycle(_COLOURS)
        self._width = max([len(short(task.meta.name)) for task in chosen.tasks], default=0)
        self._single = len(chosen.tasks) == 1 and not (selection.follow and chosen.grows)
        for task in chosen.tasks:
            self.add(task, selection)

    def add(self, task: Object, selection: Selection) -> Source:
        """A source for that task."""
        source = self.by_task[task.meta.name] = Source(self.link, task, selection, self._prefix(task), self._write)
        return source

    def _prefix(self, task: Object) -> str:
        if self._single:
            return ""
        self._width = max(self._width, min(len(task.task.spec.service) + _ID_SUFFIX, _LONGEST_PREFIX))
        text = short(task.meta.name).ljust(self._width) + " | "
        return typer.style(text, fg=next(self._colours)) if coloured() else text


@dataclass(slots=True)
class Source:
    """The logs of one task. Without logs (it has not started, or its node has forgotten it) it keeps a `refusal`."""

    link: Link
    task: Object
    selection: Selection
    prefix: str
    write: Callable[[str], None]
    refusal: UnknownName | None = field(default=None)

    async def lines(self) -> AsyncGenerator[node_pb2.LogsResponse, None]:
        """Its lines, oldest first; none when the node refuses, which is noted in `refusal`."""
        try:
            with client_errors(self.link.home):
                async with node_agent(self.link, self.task) as agent:
                    async for line in agent.Logs(self._request()):
                        yield line
        except UnknownName as error:
            self.refusal = error

    def show(self, line: node_pb2.LogsResponse) -> None:
        """Write one line."""
        several = not self.selection.container and len(self.task.task.status.containers) > 1
        origin = f"{line.container}: " if several else ""
        at = datetime.fromtimestamp(line.time).astimezone()
        stamp = at.isoformat(timespec="milliseconds") + " " if self.selection.timestamps else ""
        if line.left_out:
            self.write(f"{self.prefix}{stamp}{origin}... {left_out_words(line.left_out)}")
        self.write(self.prefix + stamp + origin + line.line.decode(errors="replace"))

    async def show_all(self) -> None:
        """Write its lines as they come."""
        async with aclosing(self.lines()) as lines:
            async for line in lines:
                self.show(line)

    def _request(self) -> node_pb2.LogsRequest:
        # A gateway is nothing but a proxy.
        chosen = self.selection
        return node_pb2.LogsRequest(
            task=self.task.meta.name,
            container=chosen.container or (PROXY if self.task.task.spec.gateway else ""),
            follow=chosen.follow,
            tail=chosen.tail,
            since=chosen.since,
            rate=chosen.rate,
        )


def left_out_words(count: int) -> str:
    """What stands in the place of lines that are not shown."""
    return f"{'1 line is' if count == 1 else f'{count:,} lines are'} left out here; 'tsunagu logs' shows them"


async def show_by_time(sources: Sources) -> None:
    """Merge the sources by time, holding one line of each."""
    every = list(sources.by_task.values())
    async with AsyncExitStack() as stack:
        opened = [await stack.enter_async_context(aclosing(source.lines())) for source in every]
        heads = [(line.time, index, line) for index in range(len(opened)) if (line := await anext(opened[index], None))]
        heapq.heapify(heads)
        while heads:
            _, index, line = heads[0]
            every[index].show(line)
            if following := await anext(opened[index], None):
                heapq.heapreplace(heads, (following.time, index, following))
            else:
                heapq.heappop(heads)


async def follow(sources: Sources, informer: Informer) -> None:
    """Show lines as they come, and those of later tasks; until every task has ended when none can join.

    `informer`: of the tasks at least; the caller runs it.
    """
    async with asyncio.TaskGroup() as group:
        streams = {name: _start(group, source) for name, source in sources.by_task.items()}
        joining = group.create_task(_join(group, informer, sources, streams), name="tasks that join")
        if not sources.chosen.grows:
            await asyncio.wait(streams.values())
            joining.cancel()


Streams = dict[str, "asyncio.Task[None]"]


async def _join(group: asyncio.TaskGroup, informer: Informer, sources: Sources, streams: Streams) -> None:
    """Start a stream for each task that joins, and end those of tasks that have stopped."""
    ending = set[str]()
    later = replace(sources.selection, tail=None)
    async for _ in informer.follow():
        for name, task in oldest_first(informer.objects("Task")):
            if name not in streams and sources.chosen.joins(task) and has_written(task):
                streams[name] = _start(group, sources.add(task, later))
            if name in streams and has_stopped(task) and name not in ending:
                ending.add(name)
                group.create_task(_end(streams[name]), name=f"end of {name}")


def oldest_first(objects: Mapping[str, Object]) -> Iterator[tuple[str, Object]]:
    """The objects with their names, in the order in which they were created."""
    return iter(sorted(objects.items(), key=lambda item: item[1].meta.created_revision))


def has_written(task: Object) -> bool:
    """Whether it may have logs, and is not a record of one that stopped before."""
    return not has_stopped(task) and any(one.last_status != Status.PENDING for one in task.task.status.containers)


def _start(group: asyncio.TaskGroup, source: Source) -> asyncio.Task[None]:
    return group.create_task(_show(source), name=f"logs {source.task.meta.name}")


async def _show(source: Source) -> None:
    await source.show_all()
    if source.refusal and source.prefix:
        notice(f"{source.refusal}")


async def _end(stream: asyncio.Task[None]) -> None:
    """Let the stream of a task that has stopped end by itself, for it has its last lines then."""
    await asyncio.wait([stream], timeout=_REST_SECONDS)
    stream.cancel()
