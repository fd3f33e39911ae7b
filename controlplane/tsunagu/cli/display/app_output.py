"""What containers write, in a foreground `up`: the lines of every task, as `tsunagu logs -f` shows them.

The one rule: showing them never holds up the mesh. Of a container that writes too much the newest lines are shown, what
waits for a slow terminal or pipe is bounded, and what is left out is counted in its place.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from tsunagu.cli.display import container_lines
from tsunagu.cli.display.container_lines import Chosen, Selection, Source, Sources
from tsunagu.client.errors import ClientError
from tsunagu.client.tasks import has_stopped
from tsunagu.kit.backoff import Backoff

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tsunagu.cli.display.dashboard import PlainView
    from tsunagu.client.connection import Link
    from tsunagu.registry.informer import Informer
    from tsunagu.v1.objects_pb2 import Object

_LINES_A_SECOND: Final = 100  # of a container; five times as many at once
_MOST_WAITING: Final = 1000
_LONGEST_BYTES: Final = 4000  # with its prefix; a pipe that takes anything takes 4 KiB without blocking
_FLUSH_SECONDS: Final = 0.1
_MICROSECOND: Final = 1e-6  # what the times of lines are exact to
_LAST_LINES_SECONDS: Final = 1.0
_AGAIN: Final = Backoff(base=0.1, cap=2.0)


class Outbox:
    """Lines that wait to be shown. Invariant: at most _MOST_WAITING; `_dropped` older ones have made room for them."""

    def __init__(self, view: PlainView) -> None:
        self._view = view
        self._lines: deque[str] = deque()
        self._dropped = 0

    def put(self, line: str) -> None:
        """Add a line, in the place of the oldest one if there are too many."""
        if len(self._lines) == _MOST_WAITING:
            self._lines.popleft()
            self._dropped += 1
        self._lines.append(shortened(line))

    def flush(self) -> None:
        """Show as many lines as the view takes without waiting."""
        if self._dropped and self._view.show_lines([f"... {container_lines.left_out_words(self._dropped)}"]):
            self._dropped = 0
        for _ in range(self._view.show_lines(self._lines)):
            self._lines.popleft()


def shortened(line: str) -> str:
    """The line, cut where it is longer than a terminal or a pipe takes at once."""
    encoded = line.encode()
    if len(encoded) <= _LONGEST_BYTES:
        return line
    return f"{encoded[:_LONGEST_BYTES].decode(errors='ignore')} ... ({len(encoded) - _LONGEST_BYTES:,} bytes more)"


class AppOutput:
    """The lines of every task of a mesh.

    `_after`: task -> the time from which on its lines have not been shown. `_open`: tasks whose last line may be missing.
    """

    def __init__(self, view: PlainView) -> None:
        self._outbox = Outbox(view)
        self._after: dict[str, float] = {}
        self._open: set[str] = set()

    @asynccontextmanager
    async def shown(self, link: Link, informer: Informer) -> AsyncIterator[None]:
        """Show lines for the length of the block, and after it the last ones of tasks that have ended.

        When it is entered again, it goes on where it ended. `informer`: of the tasks at least; the caller runs it.
        """
        streams: dict[str, asyncio.Task[None]] = {}
        try:
            async with asyncio.TaskGroup() as group:
                following = group.create_task(self._follow(link, informer, streams), name="what apps write")
                flushing = group.create_task(self._flush(), name="lines to show")
                yield
                if streams:
                    await asyncio.wait(streams.values(), timeout=_LAST_LINES_SECONDS)
                following.cancel()
                flushing.cancel()
        finally:
            self._outbox.flush()

    async def _flush(self) -> None:
        while True:
            await asyncio.sleep(_FLUSH_SECONDS)
            self._outbox.flush()

    async def _follow(self, link: Link, informer: Informer, streams: dict[str, asyncio.Task[None]]) -> None:
        sources = Sources(
            link, Selection(follow=True, rate=_LINES_A_SECOND), Chosen([], everybody=True), self._outbox.put
        )
        async with asyncio.TaskGroup() as group:
            async for _ in informer.follow():
                for name, task in container_lines.oldest_first(informer.objects("Task")):
                    if name not in streams and self._is_to_be_shown(name, task):
                        selection = replace(sources.selection, since=self._after.get(name, 0.0))
                        work = self._show(sources.add(task, selection), informer)
                        streams[name] = group.create_task(work, name=f"lines of {name}")

    def _is_to_be_shown(self, name: str, task: Object) -> bool:
        return name in self._open or (not task.task.spec.gateway and container_lines.has_written(task))

    async def _show(self, source: Source, informer: Informer) -> None:
        """Show the lines of a task until it has ended, also while its node agent is started again."""
        name, failures = source.task.meta.name, 0
        self._open.add(name)
        while True:
            try:
                async with aclosing(source.lines()) as lines:
                    async for line in lines:
                        failures = 0
                        self._after[name] = line.time + _MICROSECOND
                        source.show(line)
            except ClientError:  # the node agent is started again, say
                pass
            task = informer.get("Task", name)
            if task is None or has_stopped(task):
                break
            failures += 1
            await asyncio.sleep(_AGAIN.delay(failures))
            source = replace(source, selection=replace(source.selection, since=self._after.get(name, 0.0)))
        self._open.discard(name)
