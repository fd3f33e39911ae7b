"""Stories of a timeline in sentences: what changed, who was told in which order, who answered, what was held back and why.

Clients that were told the same in the same order, held back by the same rules, share a sentence; times are those of the
first of them, and the slowest is named.

Rule: pure. A sentence says what the events say, and where they say nothing, that.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from tsunagu.cli.explain.stories import BY_HAND, Change, Note, Story, Telling, Visit, seconds, stories
from tsunagu.client.connection import short

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

NAMES: Final = 3  # of resources, and of proxies, that a sentence names; the others are counted
_ASKED: Final = ("subscribe", "reconnect")
WORTH_TELLING: Final = 0.001  # s; of what was held back for less nobody waits

#: Causes of a response that belongs to a change, and is not the change itself.
_BECAUSE: Final = {
    "subscribe": ", because it asks for that,",
    "cluster changed": ", because Envoy needs the endpoints of a changed cluster again,",
}


def explain(events: Iterable[Any], now: float, *, one: bool = False) -> Iterator[str]:
    """The paragraphs that explain events, oldest first; each is a line and the indented lines below it. `now`: when the
    events were read, in seconds since the epoch; `one`: they are of one client, so that of what others were told nothing is
    known.
    """
    found = [story for story in stories(events) if not one or not isinstance(story, Change) or story.tellings]
    for paragraph in _alike(found, now):
        yield "\n  ".join(paragraph)


def _alike(found: Sequence[Story], now: float) -> Iterator[list[str]]:
    """Paragraphs; of visits that went alike the first one is told, and the others are named."""
    visits: dict[tuple[Any, ...], list[Visit]] = defaultdict(list)
    for story in found:
        if isinstance(story, Visit):
            visits[_course_of(story)].append(story)
    told: set[int] = set()
    for story in found:
        if isinstance(story, Change):
            yield list(_change(story, now))
        elif isinstance(story, Note):
            yield [_note(story.event)]
        elif id(story) not in told:
            alike = visits[_course_of(story)]
            told.update(map(id, alike))
            yield list(_visit(alike, now))


# A change.


def _change(change: Change, now: float) -> Iterator[str]:
    first = change.published[0]
    yield f"{_clock(first)}  r{first.revision}: {first.cause}."
    changed = _all([f"{one.type} {_names(one)}" for one in change.published if one.names])
    removed = _all([f"{one.type} {_removed(one)}" for one in change.published if one.removed])
    verbs = (f"changes {changed}" if changed else "", f"removes {removed}" if removed else "")
    yield f"It {', and '.join(filter(None, verbs))}."
    if change.later is not None:
        yield _later(change.later.event)
    elif not change.tellings:
        yield "Nobody is told: no client that is connected asks for it, or all of them have it."
    for group in _groups(change.tellings):
        yield from _group(group, change.at, now)


def _later(event: Any) -> str:
    """What has become of a change that no response was made for at once; `event`: the first that brings it."""
    if event.cause in _ASKED:
        return f"Nobody asks for it yet: it is sent when somebody does (event {event.sequence})."
    return f"It has no response of its own: a later one brings it along (event {event.sequence}: {event.cause})."


def _groups(tellings: Iterable[Telling]) -> list[list[list[Telling]]]:
    """The responses of each stream, the streams that went alike together, in the order in which they were told."""
    by_stream: dict[str, list[Telling]] = defaultdict(list)
    for telling in tellings:
        by_stream[telling.event.stream or telling.event.proxy].append(telling)
    alike: dict[tuple[Any, ...], list[list[Telling]]] = defaultdict(list)
    for told in by_stream.values():
        alike[tuple(_course(telling) for telling in told)].append(told)
    return list(alike.values())


def _course(telling: Telling) -> tuple[Any, ...]:
    event, answer = telling.event, telling.answer
    words = answer.detail if answer is not None and answer.kind == "nack" else ""
    state = answer.kind if answer is not None else (telling.overtaken, telling.ended)
    why = telling.wait.why if telling.wait else ""
    return event.type, tuple(event.names), tuple(event.removed), state, words, why


def _group(streams: list[list[Telling]], since: float, now: float) -> Iterator[str]:
    first, others = streams[0], streams[1:]
    who = short(first[0].event.proxy)
    for at, telling in enumerate(first):
        yield f"{f'{who} is told' if not at else 'Then'}{_asked_for(telling)} {_told(telling, since, now)}"
        yield from _held(telling)
    if others:
        yield _the_others(streams, since)


def _asked_for(telling: Telling) -> str:
    return _BECAUSE.get(telling.event.cause, "")


def _the_others(streams: list[list[Telling]], since: float) -> str:
    names = _listed([short(told[0].event.proxy) for told in streams[1:]], len(streams) - 1)
    ends = {short(told[-1].event.proxy): _settled(told) for told in streams}
    slowest = max(ends, key=lambda name: ends[name])
    end = f"; the last to answer is {slowest}, {_ms(ends[slowest] - since)} after the change" if ends[slowest] else ""
    return f"The same is told, after that, to {names}{end}."


def _settled(told: Sequence[Telling]) -> float:
    return max((seconds(one.answer) for one in told if one.answer is not None), default=0.0)


def _told(telling: Telling, since: float | None, now: float) -> str:
    """EDS svc/shop/orders after 0.8 ms (270 B): accepted after 2.3 ms. `since`: of the change, or the request, if it is known."""
    event = telling.event
    after = "" if since is None else f" after {_ms(seconds(event) - since)}"
    return f"{_content(event)}{after} ({event.bytes} B): {_outcome(telling, now)}"


def _outcome(telling: Telling, now: float) -> str:
    answer = telling.answer
    if answer is not None and answer.kind == "nack":
        words = " ".join(answer.detail.split())
        return f"REFUSED after {_ms(answer.latency_seconds)}: {words}. It keeps what it had, and is not sent the same again."
    if answer is not None:
        return f"accepted after {_ms(answer.latency_seconds)}."
    if telling.overtaken:
        return "not answered by itself: a newer response took its place."
    if telling.ended:
        return "not answered: its stream ended before."
    return f"NOT ANSWERED for {now - seconds(telling.event):.1f} s."


def _held(telling: Telling) -> Iterator[str]:
    wait = telling.wait
    if wait is None or wait.seconds < WORTH_TELLING:
        return
    if wait.why == BY_HAND:
        yield f"  It was held back for {_ms(wait.seconds)}: {wait.why} (xds hold)."
    else:
        yield f"  It was held back for {_ms(wait.seconds)}, by the rule: {wait.why}."


# A stream.


def _course_of(visit: Visit) -> tuple[Any, ...]:
    asked = tuple((one.type, tuple(one.names), tuple(one.removed)) for one in visit.requests)
    return visit.first.kind, visit.first.detail, asked, tuple(_course(one) for one in visit.tellings)


def _visit(visits: list[Visit], now: float) -> Iterator[str]:
    visit = visits[0]
    who = short(visit.first.proxy)
    connects = f"connects ({visit.first.detail})" if visit.first.kind == "connect" else "was connected before"
    yield f"{_clock(visit.first)}  {who} {connects}."
    steps = sorted([*visit.requests, *(one.event for one in visit.tellings)], key=lambda event: int(event.sequence))
    tellings = {telling.event.sequence: telling for telling in visit.tellings}
    asked_at: dict[str, float] = {}
    for step in steps:
        if step.sequence not in tellings:
            asked_at[step.type] = seconds(step)
            yield _asks(step)
            continue
        telling = tellings[step.sequence]
        yield f"It is sent {_told(telling, asked_at.get(step.type), now)}"
        yield from _held(telling)
    if len(visits) > 1:
        others = [short(one.first.proxy) for one in visits[1:]]
        yield f"The same goes for {_listed(others, len(others))}."


def _asks(event: Any) -> str:
    names = [name for name in event.names if name != "*"]
    parts = [f"all {event.type}"] if "*" in event.names else []
    parts += [f"{event.type} {_listed(names, len(names) + event.more)}"] if names else []
    wants = f"asks for {' and '.join(parts)}" if parts else ""
    drops = f"asks no more for {event.type} {_listed(list(event.removed), len(event.removed))}" if event.removed else ""
    has = f"; it {event.detail} from before" if event.detail else ""
    return f"It {' and '.join(filter(None, (wants, drops))) or f'asks for no {event.type}'}{has}."


# Events that stand for themselves.


def _note(event: Any) -> str:
    who, when = short(event.proxy), _clock(event)
    if event.kind == "hold" and event.latency_seconds:
        return f"{when}  An operator keeps {event.type} for {who} back, for {event.latency_seconds:g} s at most."
    if event.kind == "hold":
        return f"{when}  An operator keeps {event.type} for {who} back no longer."
    if event.kind == "close":
        return f"{when}  The stream of {who} ends{f': {event.detail}' if event.detail else ''}."
    return f"{when}  {who} answers a response of {event.type} that is not waited for (nonce {event.nonce}): that means nothing."


# Words.


def _content(event: Any) -> str:
    parts = [f"{event.type} {_names(event)}"] if event.names else []
    parts += [f"the removal of {event.type} {_removed(event)}"] if event.removed else []
    return " and ".join(parts) or f"{event.type}, of which there is nothing"


def _names(event: Any) -> str:
    return _listed(list(event.names), len(event.names) + event.more)


def _removed(event: Any) -> str:
    return _listed(list(event.removed), len(event.removed))


def _all(parts: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(parts[:-1]), *parts[-1:])))


def _listed(names: Sequence[str], count: int) -> str:
    shown = list(names)[: NAMES if count > NAMES + 1 else NAMES + 1]
    hidden = count - len(shown)
    if hidden:
        return f"{', '.join(shown)} and {hidden} more"
    return _all(shown)


def _ms(duration: float) -> str:
    return f"{duration * 1000:.1f} ms" if duration < 1 else f"{duration:.2f} s"


def _clock(event: Any) -> str:
    return f"{datetime.fromtimestamp(seconds(event), UTC).astimezone():%H:%M:%S.%f}"[:-3]
