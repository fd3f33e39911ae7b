"""One event of the timeline as a message: what it brought, and what the client had of that before.

The timeline remembers names and versions; a body is found by these. What a client had before a response is what the
response before said that had the name, on the same stream; of a publish, what the publish before said.

Rule: nothing is kept for this but what the timeline and `superseded.py` keep. What is gone is said to be gone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tsunagu.serve.xds.history.superseded import Content
from tsunagu.xds.heartbeats import NEWS
from tsunagu.xds.resources import SDS, placeholder, type_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tsunagu.serve.xds.timeline import Event

SECRET, GONE, KEPT, HEARTBEAT = "secret", "gone", "kept", "heartbeat"
_ANSWERS: Final = ("ack", "nack")


class NoSuchEvent(Exception):
    """The event is not in the timeline (any more)."""

    def __init__(self, sequence: int, events: Sequence[Event]) -> None:
        if not events:
            super().__init__(f"there is no event {sequence}: nothing has happened yet")
        elif sequence < events[0].sequence:
            super().__init__(f"event {sequence} is no longer there: the oldest that is kept is {events[0].sequence}")
        else:
            super().__init__(f"there is no event {sequence} yet: the newest is {events[-1].sequence}")


@dataclass(frozen=True, slots=True)
class Body:
    """A version of a resource. `state`: KEPT, GONE (its body is not kept any more), SECRET (it is never shown) or HEARTBEAT (the
    message has no body of it).
    """

    version: str
    state: str
    content: bytes = b""


@dataclass(frozen=True, slots=True)
class Part:
    """A resource of a message. `before`: what the client had under the name, from the event `since`; None: nothing that is
    known.
    """

    name: str
    now: Body
    before: Body | None = None
    since: int = 0


@dataclass(frozen=True, slots=True)
class Message:
    """An event with all that is known of it. `previous`: the number of the message before it of this stream, type and
    direction; 0: none is kept. `dropped`: names that one had, of a whole state, and this has not. `answer`: the event by
    which a response was answered. `asked`: all names that a SotW request asks for.
    """

    event: Event
    parts: tuple[Part, ...] = ()
    previous: int = 0
    dropped: tuple[str, ...] = ()
    answer: Event | None = None
    asked: tuple[str, ...] = ()


def message(events: Sequence[Event], sequence: int, find: Callable[[Content], bytes | None]) -> Message:
    """Return the message of an event, out of all that are kept, oldest first. `find` returns a body that is kept. Raises
    NoSuchEvent.
    """
    at = sequence - events[0].sequence if events else -1
    if not 0 <= at < len(events):
        raise NoSuchEvent(sequence, events)
    event = events[at]
    earlier = [one for one in events[:at] if _of_the_same(one, event)]
    if event.kind not in ("send", "publish"):
        return Message(event, asked=tuple(sorted(_asked(events[: at + 1], event))))
    if event.cause == NEWS.cause and event.variant == "delta":
        return Message(event, tuple(Part(name, Body(version, HEARTBEAT)) for name, version in event.sent))
    before = list(_before(event, [one for one in earlier if one.kind == event.kind]))
    previous = next((one for one in reversed(earlier) if one.kind == event.kind), None)
    return Message(
        event,
        tuple(
            Part(name, _body(event.type_url, name, version, find), *_had(event.type_url, name, had, find))
            for (name, version), had in zip(event.sent, before, strict=True)
        ),
        previous.sequence if previous else 0,
        _dropped(event, previous),
        next((one for one in events[at + 1 :] if _answers(one, event)), None),
    )


def _of_the_same(one: Event, event: Event) -> bool:
    return (one.stream, one.type_url, one.proxy) == (event.stream, event.type_url, event.proxy)


def _answers(one: Event, event: Event) -> bool:
    return one.kind in _ANSWERS and one.nonce == event.nonce and _of_the_same(one, event)


def _before(event: Event, earlier: Sequence[Event]) -> Iterator[tuple[str, int]]:
    """For each resource of an event: its version before, and the event that brought it; ("", 0) when there was none."""
    left = {name for name, _ in event.sent}
    found: dict[str, tuple[str, int]] = {}
    for one in reversed(earlier):
        if not left:
            break
        for name, version in one.sent:
            if name in left:
                found[name] = (version, one.sequence)
                left.discard(name)
        left.difference_update(one.removed)
    return (found.get(name, ("", 0)) for name, _ in event.sent)


def _had(url: str, name: str, had: tuple[str, int], find: Callable[[Content], bytes | None]) -> tuple[Body | None, int]:
    version, since = had
    return (_body(url, name, version, find), since) if since else (None, 0)


def _body(url: str, name: str, version: str, find: Callable[[Content], bytes | None]) -> Body:
    if url == SDS:
        return Body(version, SECRET)
    made_up = placeholder(type_of(url), name)
    if made_up is not None and made_up.version == version:
        return Body(version, KEPT, made_up.body)
    content = find(Content(url, name, version))
    return Body(version, GONE) if content is None else Body(version, KEPT, content)


def _dropped(event: Event, previous: Event | None) -> tuple[str, ...]:
    """What a whole state no longer has; delta says it itself."""
    if previous is None or event.variant != "sotw" or not type_of(event.type_url).full_state:
        return ()
    return tuple(sorted({name for name, _ in previous.sent}.difference(name for name, _ in event.sent)))


def _asked(events: Sequence[Event], event: Event) -> Sequence[str]:
    """All that a SotW client asks for at an event of a request: what its newest subscription says."""
    if event.variant != "sotw" or event.kind not in ("subscribe", "ack", "nack", "stale"):
        return ()
    subscriptions = (one for one in reversed(events) if one.kind == "subscribe" and _of_the_same(one, event))
    newest = next(subscriptions, None)
    return tuple(newest.asked) if newest else ()
