"""Bounds what strangers can make gRPC hold: a message is in memory before anybody can look at it.

gRPC knows one size limit for all calls of a server, and that has to suit large clients that have proved who they are. So
of the streams whose call metadata prove nothing only a few are read at a time: these, times that limit, is what strangers
can take together. Rule: waiting costs a stranger nothing but time, for an honest client speaks at once; whoever reads
and hears nothing makes room as soon as another waits.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tsunagu.serve.xds.limits import Limits


class TooManyStrangers(Exception):
    """So many streams wait to be read that another one is not let in."""


class FirstReads:
    """At most `places` first messages are read at a time, while at most `waiting` streams stand in line.

    A read lasts `patience` seconds, or `hurried` when another stream waits for the place.
    """

    def __init__(self, places: int, waiting: int, patience: float, hurried: float) -> None:
        self._free = asyncio.Semaphore(places)
        self.waiting, self._most = 0, waiting  # how many stand in line, and may
        self._patience, self._hurried = patience, hurried
        self._reading: deque[tuple[float, asyncio.Timeout]] = deque()  # oldest first; those not hurried yet

    @classmethod
    def of(cls, limits: Limits) -> FirstReads:
        """Those of a server."""
        return cls(limits.first_reads, limits.strangers, limits.first_message, limits.first_message_hurried)

    @contextlib.asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a place and read within the `with` block. Raises TimeoutError when that takes too long, and
        TooManyStrangers.
        """
        if self.waiting >= self._most:
            raise TooManyStrangers
        await self._place()
        began = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(self._hurried if self.waiting else self._patience) as timeout:
                entry = (began, timeout)
                self._reading.append(entry)
                try:
                    yield
                finally:
                    with contextlib.suppress(ValueError):  # it was hurried
                        self._reading.remove(entry)
        finally:
            self._free.release()

    async def _place(self) -> None:
        self.waiting += 1
        try:
            if self._free.locked() and self._reading:
                began, timeout = self._reading.popleft()
                timeout.reschedule(max(asyncio.get_running_loop().time(), began + self._hurried))
            await self._free.acquire()
        finally:
            self.waiting -= 1
