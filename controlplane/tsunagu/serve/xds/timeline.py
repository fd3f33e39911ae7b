"""The timeline: everything that happened on the streams, as a ring of events for the CLI, the console and lessons.

It is bounded in the number of events and in the number of resources that they name (a SotW response names everything).

Rule: an event costs the push path one small object and one append. Its names and versions are computed when somebody
reads it. Nothing waits for a reader: one that falls behind the ring ends with Lagged.
"""

from __future__ import annotations

import asyncio
from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from tsunagu.xds.resources import type_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Sequence

    from tsunagu.xds.resources import Resource


RESOURCES = 1_000_000  # that all kept events together may name


class Lagged(Exception):  # the word of the API: DATA_LOSS
    """The requested events are not in the ring: they were dropped, or belong to another server."""

    def __init__(self, wanted: int, oldest: int, newest: int) -> None:
        why = f"is gone: the oldest kept is {oldest}" if wanted <= newest else f"never was: the newest is {newest}"
        super().__init__(f"event {wanted} {why}; read again from the start")
        self.wanted, self.oldest = wanted, oldest


class Event(NamedTuple):
    """One thing that happened on a stream. `time` is seconds since the epoch, `latency` seconds."""

    sequence: int
    time: float
    proxy: str
    type_url: str  # empty for events of the stream itself
    kind: str  # connect, subscribe, send, ack, nack, stale, close
    resources: Sequence[Resource] = ()  # sent
    subscribed: Collection[str] = ()
    refused: Collection[str] = ()  # by a NACK
    removed: Collection[str] = ()  # taken away, or unsubscribed
    version: str = ""  # SotW: the type's
    nonce: str = ""
    cause: str = ""
    error: str = ""  # of a NACK
    detail: str = ""  # of a connect or a close
    revision: int = 0
    bytes: int = 0
    latency: float = 0.0

    @property
    def type(self) -> str:
        """The short name (CDS...); empty for events of the stream itself."""
        return type_of(self.type_url).short if self.type_url else ""

    @property
    def names(self) -> list[str]:
        """The resources sent, subscribed to or refused, sorted."""
        return sorted(self.subscribed or self.refused or [resource.name for resource in self.resources])

    @property
    def versions(self) -> dict[str, str]:
        """The version of each resource sent."""
        return {resource.name: resource.version for resource in self.resources}


class Timeline:
    """The ring. `record` is called on the event loop; any number of readers may follow."""

    def __init__(self, capacity: int = 8192) -> None:
        self._ring: deque[Event] = deque()
        self._capacity = capacity
        self._resources = 0
        self._sequence = 0
        self._wakers: set[asyncio.Future[None]] = set()

    @property
    def last(self) -> int:
        """The sequence number of the newest event; 0 before the first."""
        return self._sequence

    @property
    def next_sequence(self) -> int:
        """The sequence number of the next event."""
        return self._sequence + 1

    def record(self, event: Event) -> None:
        """Append an event made with `next_sequence`; the oldest are dropped when the ring is full."""
        self._sequence = event.sequence
        self._resources += len(event.resources)
        ring = self._ring
        ring.append(event)
        while len(ring) > self._capacity or (self._resources > RESOURCES and len(ring) > 1):
            self._resources -= len(ring.popleft().resources)
        if self._wakers:
            self._wake()

    def events(self, after: int = 0) -> list[Event]:
        """Return the kept events after the sequence number `after`, oldest first."""
        ring = self._ring
        if not ring or after >= self._sequence:
            return []
        return list(islice(ring, max(0, after - ring[0].sequence + 1), None))

    async def follow(self, after: int = 0, proxy: str = "", type_url: str = "") -> AsyncIterator[Event]:
        """Yield the kept events after `after`, then new ones as they happen. `proxy` and `type_url` filter by equality.

        Raises Lagged when events after `after` are not kept (any more).
        """
        position = after
        if position > self._sequence:  # a number of a server before this one
            raise Lagged(position, self._ring[0].sequence if self._ring else 0, self._sequence)
        while True:
            batch = self.events(position)
            if position and batch and batch[0].sequence > position + 1:
                raise Lagged(position + 1, batch[0].sequence, self._sequence)
            for event in batch:
                position = event.sequence
                if (not proxy or event.proxy == proxy) and (not type_url or event.type_url == type_url):
                    yield event
            if position >= self._sequence:
                await self._next()

    async def _next(self) -> None:
        waker: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._wakers.add(waker)
        try:
            await waker
        finally:
            self._wakers.discard(waker)

    def _wake(self) -> None:
        for waker in self._wakers:
            if not waker.done():
                waker.set_result(None)
