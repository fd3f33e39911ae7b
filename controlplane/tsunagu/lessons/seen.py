"""What a scene has seen: its xDS messages, and what its steps measured. Claims are questions to it.

The one rule: it answers from the messages themselves, and an answer that is not there is an error with all messages in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tsunagu.cli.commands.xds import line
from tsunagu.client.connection import short
from tsunagu.lessons.shown import LessonFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tsunagu.v1.inspector_pb2 import TimelineEvent


_EXCHANGED = frozenset({"connect", "subscribe", "send", "ack", "nack", "stale", "close"})


class Seen:
    """The messages after the sequence number `mark`, at which a scene begins, as `read` gives them now. `values` holds what
    the steps of the lesson measured, by name.
    """

    def __init__(self, read: Callable[[int], Sequence[TimelineEvent]], values: dict[str, Any], mark: int = 0) -> None:
        self._read = read
        self.mark = mark
        self.values = values

    @property
    def events(self) -> list[TimelineEvent]:
        """All that the timeline has of the scene, oldest first."""
        return list(self._read(self.mark))

    @property
    def messages(self) -> list[TimelineEvent]:
        """What was exchanged with proxies: the events without what the control plane notes for itself."""
        return [one for one in self.events if one.kind in _EXCHANGED]

    def all(self, kind: str = "", type: str = "", *, proxy: str = "", name: str = "") -> list[TimelineEvent]:  # noqa: A002
        """The events of a kind (connect, subscribe, send, ack, nack, stale, close, hold, defer) and a type (CDS, ...), of the
        proxies whose names begin with `proxy`, that name a resource.
        """
        return [
            one
            for one in self.events
            if kind in ("", one.kind)
            and type in ("", one.type)
            and short(one.proxy).startswith(proxy)
            and (not name or name in (*one.names, *one.removed))
        ]

    def one(self, kind: str, type: str = "", *, proxy: str = "", name: str = "") -> TimelineEvent:  # noqa: A002
        """The one message of which `all` finds exactly one. Raises LessonFailed."""
        found = self.all(kind, type, proxy=proxy, name=name)
        if len(found) != 1:
            wanted = " ".join(filter(None, (kind, type, proxy, name)))
            raise LessonFailed(f"there is not one message {wanted!r} but {len(found)}; there are:\n{self.story()}")
        return found[0]

    def first(self, kind: str, type: str = "", *, proxy: str = "", name: str = "") -> TimelineEvent:  # noqa: A002
        """The oldest of those that `all` finds. Raises LessonFailed."""
        found = self.all(kind, type, proxy=proxy, name=name)
        if not found:
            wanted = " ".join(filter(None, (kind, type, proxy, name)))
            raise LessonFailed(f"there is no message {wanted!r}; there are:\n{self.story()}")
        return found[0]

    def story(self) -> str:
        """All messages as lines."""
        return "\n".join("  " + line(one, every=True)[0] for one in self.events) or "  none"


def in_order(*messages: TimelineEvent) -> bool:
    """Whether these messages came one after the other."""
    numbers = [one.sequence for one in messages]
    return numbers == sorted(set(numbers))
