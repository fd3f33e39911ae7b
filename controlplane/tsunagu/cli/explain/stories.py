"""Events of a timeline, put together to what belongs together: a change and who was told of it, a stream and what it asked.

A response belongs to the change whose revision and cause it bears. What a client asks for right after it was told of a
change (the endpoints of a new cluster) belongs to that change, too. Everything else belongs to the stream.

Rule: pure. Nothing is read but the events; what they do not say is not guessed at.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable

FOLLOWS: Final = 5.0  # seconds after a response to a change in which a request is thought to follow from it
BY_HAND: Final = "an operator kept it back"
UNANSWERED: Final = "what was sent before with the same names had to be answered first"


@dataclass(frozen=True, slots=True)
class Wait:
    """For how many seconds a response was held back, and by which rule."""

    seconds: float
    why: str


@dataclass(slots=True)
class Telling:
    """A response to one client. `answer`: its ACK or NACK; `overtaken`: a newer response has taken its place; `ended`: its
    stream has ended before an answer.
    """

    event: Any
    wait: Wait | None = None
    answer: Any = None
    overtaken: bool = False
    ended: bool = False

    @property
    def names(self) -> set[str]:
        return {*self.event.names, *self.event.removed}


@dataclass(slots=True)
class Change:
    """What was published at once, an event for each type, and the responses that brought it."""

    published: list[Any]
    tellings: list[Telling] = field(default_factory=list)
    later: Telling | None = None  # of a newer change, that brought this one along

    @property
    def at(self) -> float:
        return seconds(self.published[0])


@dataclass(slots=True)
class Visit:
    """A stream: its connect, which may be older than the events, the requests in the order of types, the responses."""

    first: Any
    requests: list[Any] = field(default_factory=list)
    tellings: list[Telling] = field(default_factory=list)

    @property
    def at(self) -> float:
        return seconds(self.first)


@dataclass(slots=True)
class Note:
    """An event that stands for itself: a hold, the end of a stream, a stale answer."""

    event: Any

    @property
    def at(self) -> float:
        return seconds(self.event)


Story: TypeAlias = Change | Visit | Note


@dataclass(slots=True)
class _Stream:
    """What is known of a stream. `held`: type -> from when and until when an operator keeps it back."""

    visit: Visit | None = None
    sent: dict[str, Telling] = field(default_factory=dict)  # by nonce
    newest: dict[str, list[Telling]] = field(default_factory=dict)  # by type: the unanswered, and the last one
    deferred: dict[str, Any] = field(default_factory=dict)  # by type
    held: dict[str, tuple[float, float]] = field(default_factory=dict)
    change: Change | None = None  # the one that it was told of last
    told_at: float = 0.0


def seconds(event: Any) -> float:
    """The time of an event, in seconds since the epoch."""
    return float(event.time.seconds + event.time.nanos / 1e9)


def stories(events: Iterable[Any]) -> list[Story]:
    """The stories that events tell, by the time at which they begin."""
    reader = _Reader()
    for event in events:
        reader.read(event)
    for change in reader.changes:
        if not change.tellings:
            change.later = reader.brought_along(change)
    found: list[Story] = [*reader.changes, *reader.visits, *reader.notes]
    return sorted((one for one in found if not isinstance(one, Visit) or one.requests or one.tellings), key=_begin)


def _begin(story: Story) -> float:
    return story.at


class _Reader:
    """Reads events in their order."""

    def __init__(self) -> None:
        self.changes: list[Change] = []
        self.visits: list[Visit] = []
        self.notes: list[Note] = []
        self._streams: dict[str, _Stream] = {}
        self._tellings: dict[tuple[str, str], list[Telling]] = {}  # by type and name
        self._by_words: dict[tuple[int, str], Change] = {}  # the newest of a revision and cause
        self._read = {
            "publish": self._publish, "connect": self._connect, "subscribe": self._subscribe, "send": self._send,
            "ack": self._answer, "nack": self._answer, "stale": self._note, "close": self._close,
            "defer": self._defer, "hold": self._hold,
        }  # fmt: skip

    def read(self, event: Any) -> None:
        """One event more; of a kind that is not known it is passed over."""
        reader = self._read.get(event.kind)
        if reader is not None:
            reader(event)

    def brought_along(self, change: Change) -> Telling | None:
        """The first response after a change that has one of its names."""
        wanted = [(one.type, name) for one in change.published for name in (*one.names, *one.removed)]
        found = [one for key in wanted for one in self._tellings.get(key, ()) if seconds(one.event) >= change.at]
        return min(found, key=lambda one: int(one.event.sequence), default=None)

    def _stream(self, event: Any) -> _Stream:
        return self._streams.setdefault(event.stream or event.proxy, _Stream())

    def _publish(self, event: Any) -> None:
        last = self.changes[-1].published[-1] if self.changes else None
        if last is not None and (last.revision, last.cause, last.sequence) == (
            event.revision, event.cause, event.sequence - 1,
        ):  # fmt: skip
            self.changes[-1].published.append(event)
        else:
            self.changes.append(Change([event]))
            self._by_words[event.revision, event.cause] = self.changes[-1]

    def _connect(self, event: Any) -> None:
        stream = self._streams[event.stream or event.proxy] = _Stream()
        stream.visit = Visit(event)
        self.visits.append(stream.visit)

    def _visit(self, event: Any) -> Visit:
        stream = self._stream(event)
        if stream.visit is None:
            stream.visit = Visit(event)
            self.visits.append(stream.visit)
        return stream.visit

    def _subscribe(self, event: Any) -> None:
        if self._follows(event) is None:
            self._visit(event).requests.append(event)

    def _follows(self, event: Any) -> Change | None:
        """The change that a client was told of just before."""
        stream = self._stream(event)
        return stream.change if seconds(event) - stream.told_at <= FOLLOWS else None

    def _send(self, event: Any) -> None:
        stream = self._stream(event)
        change = self._by_words.get((event.revision, event.cause)) or self._follows(event)
        telling = Telling(event, self._waited(stream, event, change.at if change else 0.0))
        if change is not None:
            change.tellings.append(telling)
            stream.change, stream.told_at = change, seconds(event)
        else:
            self._visit(event).tellings.append(telling)
        for older in stream.newest.get(event.type, ()):
            older.overtaken = older.answer is None and (event.variant == "sotw" or older.names <= telling.names)
        unanswered = [one for one in stream.newest.get(event.type, ()) if one.answer is None and not one.overtaken]
        stream.newest[event.type] = [*unanswered, telling]
        stream.sent[event.nonce] = telling
        for name in telling.names:
            self._tellings.setdefault((event.type, name), []).append(telling)

    def _waited(self, stream: _Stream, event: Any, since: float) -> Wait | None:
        """Why a response was not sent at once, as far as the events say it."""
        now = seconds(event)
        deferred = stream.deferred.pop(event.type, None)
        begin, end = stream.held.get(event.type, (now, now))
        if since < end <= now and begin < now:
            return Wait(now - max(since, begin), BY_HAND)
        if deferred is not None:
            return Wait(now - seconds(deferred), deferred.cause)
        for older in stream.newest.get(event.type, ()):
            answered = seconds(older.answer) if older.answer else 0.0
            if since and seconds(older.event) < since < answered <= now:
                return Wait(now - since, UNANSWERED)
        return None

    def _answer(self, event: Any) -> None:
        telling = self._stream(event).sent.get(event.nonce)
        if telling is not None:
            telling.answer = event

    def _defer(self, event: Any) -> None:
        self._stream(event).deferred[event.type] = event

    def _hold(self, event: Any) -> None:
        held, now = self._stream(event).held, seconds(event)
        begin, end = held.get(event.type, (now, now))
        if event.latency_seconds:
            held[event.type] = (begin if end > now else now, now + event.latency_seconds)
        else:
            held[event.type] = (begin, min(now, end))
        self._note(event)

    def _close(self, event: Any) -> None:
        for telling in self._stream(event).sent.values():
            telling.ended = telling.answer is None and not telling.overtaken
        self._note(event)

    def _note(self, event: Any) -> None:
        self.notes.append(Note(event))
