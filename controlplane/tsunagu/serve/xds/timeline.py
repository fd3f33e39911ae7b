"""The timeline: everything that happened on the streams, as a ring of events for the CLI, the console and lessons.

Events name resources and their versions, and never hold a body: a secret that was removed must not stay in memory for as
long as its event. The ring is bounded in the number of events and in what they hold; of an event that names thousands of
resources the first are kept, and how many more there were.

Rule: an event costs the push path one small object and one append. Its names are sorted when somebody reads it. Nothing
waits for a reader: one that falls behind the ring ends with Lagged.
"""

from __future__ import annotations

import asyncio
from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tsunagu.xds.group import LISTED
from tsunagu.xds.resources import type_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Sequence


EVENTS: Final = 8192
BYTES: Final = 16 << 20  # that all kept events together may hold, about
EVENT_BYTES: Final = 400  # of an event that names nothing
NAME_BYTES: Final = 80  # of a name, beside its characters
PAIR_BYTES: Final = 200  # of a name and its version, beside its characters
NAME_LENGTH: Final = 256  # characters of a name that are kept
TEXT_LENGTH: Final = 4096  # of a reason


#: publish: what is served has changed. defer: something waits by an ordering rule. hold: an operator keeps a type back.
KINDS: Final = ("connect", "subscribe", "send", "ack", "nack", "stale", "close", "publish", "defer", "hold")


class Lagged(Exception):  # the word of the API: DATA_LOSS
    """The requested events are not in the ring: they were dropped, or belong to another server."""

    def __init__(self, wanted: int, oldest: int, newest: int) -> None:
        why = f"is gone: the oldest kept is {oldest}" if wanted <= newest else f"never was: the newest is {newest}"
        super().__init__(f"event {wanted} {why}; read again from the start")
        self.wanted, self.oldest = wanted, oldest


class Event(NamedTuple):
    """One thing that happened on a stream, or to what is served. `time` is seconds since the epoch, `latency` seconds."""

    sequence: int
    time: float
    proxy: str  # empty for a publish
    type_url: str  # empty for events of the stream itself
    kind: str  # KINDS
    sent: Sequence[tuple[str, str]] = ()  # name and version of the resources sent, or published
    subscribed: Collection[str] = ()
    asked: Collection[str] = ()  # SotW: all names of the request that subscribes
    deferred: Collection[str] = ()  # what waits; none: all of its type
    refused: Collection[str] = ()  # by a NACK
    removed: Collection[str] = ()  # taken away, or unsubscribed
    version: str = ""  # the type's: of a response, and in SotW of a request
    nonce: str = ""
    cause: str = ""
    error: str = ""  # of a NACK
    detail: str = ""  # of a connect or a close
    revision: int = 0
    bytes: int = 0
    latency: float = 0.0  # of an answer; of a deferral and a hold, for how long at most
    more: int = 0  # names that are not kept
    own_type: str = ""  # the short name of a type that is none of the protocol's
    stream: str = ""  # its number; nonces begin with it
    variant: str = ""  # of the stream: delta, sotw

    @property
    def type(self) -> str:
        """The short name (CDS...); empty for events of the stream itself."""
        return self.own_type or (type_of(self.type_url).short if self.type_url else "")

    @property
    def names(self) -> list[str]:
        """The resources sent, published, subscribed to, refused or deferred, sorted."""
        return sorted(self.subscribed or self.refused or self.deferred or [name for name, _ in self.sent])

    @property
    def versions(self) -> dict[str, str]:
        """The version of each resource sent."""
        return dict(self.sent)


class Timeline:
    """The ring. `record` is called on the event loop; any number of readers may follow. It keeps `capacity` events, or what
    of them has `limit` bytes; the newest in any case.
    """

    def __init__(self, capacity: int = EVENTS, limit: int = BYTES) -> None:
        self._ring: deque[Event] = deque()
        self._weights: deque[int] = deque()  # Invariant: of the events in the ring; their sum is `bytes`
        self._capacity, self._limit = capacity, limit
        self._last: dict[str, object] = {}  # by field: the newest collection of names, which streams often share
        self._sequence = 0
        self._wakers: set[asyncio.Future[None]] = set()
        self.bytes = 0

    @property
    def kept(self) -> int:
        """How many events are kept."""
        return len(self._ring)

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
        event, weight = self._bounded(event)
        ring, weights = self._ring, self._weights
        ring.append(event)
        weights.append(weight)
        self.bytes += weight
        while len(ring) > self._capacity or (self.bytes > self._limit and len(ring) > 1):
            ring.popleft()
            self.bytes -= weights.popleft()
        if self._wakers:
            self._wake()

    def _bounded(self, event: Event) -> tuple[Event, int]:
        """The event without what is too much of it, and how many bytes it holds, about. Names that it shares with the event
        before it count once.
        """
        cut: dict[str, Any] = {}
        if len(event.nonce) + len(event.version) + len(event.error) + len(event.detail) > NAME_LENGTH:
            cut = {field: text[:most] for field, text, most in _texts(event) if len(text) > most}
        weight = EVENT_BYTES + min(len(event.error), TEXT_LENGTH)
        if event.sent and self._last.get("sent") is not event.sent:
            self._last["sent"] = event.sent
            weight += sum([PAIR_BYTES + len(name) for name, _ in event.sent])
        for field, names in _names(event) if event.subscribed or event.refused or event.removed else ():
            if not names or self._last.get(field) is names:
                continue
            kept = _first_names(names)
            weight += len(kept) * NAME_BYTES + sum(map(len, kept))
            if kept is names:
                self._last[field] = names
            else:
                cut[field] = kept
                if field != "asked":  # whose names are counted as subscribed, now or before
                    cut["more"] = cut.get("more", event.more) + len(names) - len(kept)
        return (event._replace(**cut) if cut else event), weight

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


def _texts(event: Event) -> tuple[tuple[str, str, int], ...]:
    """What a client can make long: field, text, how much of it is kept."""
    return (
        ("nonce", event.nonce, NAME_LENGTH),
        ("version", event.version, NAME_LENGTH),
        ("error", event.error, TEXT_LENGTH),
        ("detail", event.detail, NAME_LENGTH),
    )


def _names(event: Event) -> tuple[tuple[str, Collection[str]], ...]:
    """What a client, or a change, can make many. (What is deferred is bounded where it is told.)"""
    return (
        ("subscribed", event.subscribed),
        ("asked", event.asked),
        ("refused", event.refused),
        ("removed", event.removed),
    )


def _first_names(names: Collection[str]) -> Collection[str]:
    """The names, or when they are too many the first of them, cut where they are long."""
    kept = names if len(names) <= LISTED else tuple(islice(names, LISTED))
    if max(map(len, kept)) > NAME_LENGTH:
        return tuple([name[:NAME_LENGTH] for name in kept])
    return kept
