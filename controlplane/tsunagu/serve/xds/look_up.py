"""Looks for what a client has asked for and nobody has, beside its stream.

Rule: it is the work of a task of its own, one name after the other, each for a bounded time. Whatever goes wrong with it is
logged; the client is told what there is then, and stays.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tsunagu.xds.requests.decode import NodeInfo

    #: Looks for a name, and publishes what it finds.
    LookUp: TypeAlias = Callable[["Wanted"], Awaitable[None]]
    Done: TypeAlias = Callable[["Wanted"], None]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A name that was asked for and that nobody has. `bundles`: those that the client sees."""

    proxy: str
    node: NodeInfo
    bundles: tuple[str, ...]
    type_url: str
    name: str


class Searcher:
    """Looks for names of one stream. `done` is called when one has been looked for, whatever came of it."""

    __slots__ = ("_done", "_look_up", "_patience", "_task", "_wanted")

    def __init__(self, look_up: LookUp, patience: float, done: Done) -> None:
        self._look_up, self._patience, self._done = look_up, patience, done
        self._wanted: deque[Wanted] = deque()  # oldest first; the session bounds their number
        self._task: asyncio.Task[None] | None = None

    def search(self, wanted: list[Wanted], tasks: asyncio.TaskGroup) -> None:
        """Look for these, after what is looked for already."""
        self._wanted += wanted
        if self._task is None:
            self._task = tasks.create_task(self._run(), name=f"look up names for {wanted[0].proxy}")

    def cancel(self) -> None:
        """The stream ends: nobody waits for an answer."""
        self._wanted.clear()
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        try:
            while self._wanted:
                one = self._wanted.popleft()
                await self._search(one)
                self._done(one)
        finally:
            self._task = None

    async def _search(self, one: Wanted) -> None:
        try:
            async with asyncio.timeout(self._patience):
                await self._look_up(one)
        except TimeoutError:
            _log.warning("%s of %s was looked for in vain for %g s", one.name, one.proxy, self._patience)
        except Exception:  # noqa: BLE001  # whatever the user's function raises is no fault of the client's
            _log.exception("looking for %s of %s failed; the client is told what there is", one.name, one.proxy)
