"""What one stream knows of one type: where it stands, what it lacks, what it has not answered.

Rule: a stream that is up to date holds a position in its group's log and nothing else. Names are kept one by one only
while they deviate from it: changed while in flight, held back, or asked for again.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from tsunagu.xds.bundle import Change
from tsunagu.xds.group import Batch
from tsunagu.xds.nack import reason, refused_names
from tsunagu.xds.resources import same
from tsunagu.xds.subscription import STAR

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tsunagu.xds.group import Group
    from tsunagu.xds.order import Hold
    from tsunagu.xds.resources import Resource, ResourceType
    from tsunagu.xds.session import Session
    from tsunagu.xds.subscription import Subscription


@dataclass(slots=True)
class Outstanding:
    """A response that the client has not answered. `floor` is the oldest revision of which it brings something."""

    nonce: str
    version: str
    names: frozenset[str]
    sent_at: float
    floor: int
    introduces: bool  # brings names that the client had not
    removes: bool
    brings: tuple[Resource, ...] = ()  # of types that are repaired: to be good once they are accepted
    repair: bool = False  # brings again what the client had before it refused something else


@dataclass(frozen=True, slots=True)
class Rejection:
    """What a client said of a resource that it refused."""

    message: str
    floor: int
    at: float


class Lack(NamedTuple):
    """A name that the client has otherwise than the group says."""

    held: Resource | None  # what the client has; None: nothing
    revision: int  # the oldest that it lacks
    change: Change  # the newest


NOTHING_KEPT: Mapping[str, Resource | None] = MappingProxyType({})


class Watch:
    """The state of one type on one stream. `session` decides; this only keeps the books."""

    __slots__ = ("accepted", "answered", "cause", "claims", "everything", "exceptions", "good", "group", "heard", "nonce",
                 "outstanding", "owed", "position", "recheck", "rejections", "removals_held_since", "session",
                 "since", "subscription", "type", "upserts_held_since")  # fmt: skip

    def __init__(self, session: Session, kind: ResourceType, subscription: Subscription, group: Group) -> None:
        self.session = session
        self.type = kind
        self.subscription = subscription
        self.group = group
        self.position = group.end
        self.everything = True  # the client is to be given all that it asked for
        self.claims: Mapping[str, str] | str | None = None  # what it says it has, from an earlier stream
        self.exceptions: dict[str, Lack] | None = None
        self.owed: set[str] | None = None  # exceptions that are answered even if nothing has changed
        self.recheck: set[str] | None = None  # SotW EDS: names whose clusters were sent changed since
        self.cause = "subscribe"  # of everything
        self.outstanding: dict[str, Outstanding] = {}
        self.rejections: dict[str, Rejection] = {}
        self.good: dict[str, Resource] = {}  # of types that are repaired: what the client accepted last
        self.heard: dict[str, float] = {}  # when the client last heard of what lapses, by name
        self.removals_held_since: float | None = None
        self.upserts_held_since: float | None = None
        self.answered = False
        self.accepted = ""  # SotW: the version last ACKed
        self.nonce = ""  # of the newest response
        self.since = 0.0
        group.join(self)

    @property
    def pending(self) -> bool:
        """True when there may be something to send."""
        return self.everything or self.exceptions is not None or self.position != self.group.end

    @property
    def held_since(self) -> float | None:
        """Since when a rule holds something back; None: nothing is."""
        return min((at for at in (self.upserts_held_since, self.removals_held_since) if at is not None), default=None)

    def hold_everything(self, now: float) -> None:
        """A rule holds back all that the client asked for."""
        self.upserts_held_since = self._since(self.upserts_held_since, now)

    def in_flight(self, names: frozenset[str]) -> bool:
        """True when one of the names is in a response that was not answered."""
        return any(not waiting.names.isdisjoint(names) for waiting in self.outstanding.values())

    def absorb(self) -> None:
        """Take what the log holds behind the position as exceptions, and stand at its end."""
        tail = self.group.tail(self.position)
        self.position = self.group.end
        if not tail or self.everything:
            return
        if self.exceptions is None:
            self.exceptions = {}
        for name, old, change in tail:
            held, revision, _ = self.exceptions.get(name) or Lack(old, change.revision, change)
            self.exceptions[name] = Lack(held, revision, change)

    def except_(self, held: Mapping[str, Resource | None], cause: str) -> None:
        """Note names of which the client has something else than the group says, and always lacked it."""
        self.absorb()
        if not held or self.everything:
            return
        if self.exceptions is None:
            self.exceptions = {}
        change = Change(0, cause)
        for name, resource in held.items():
            self.exceptions.setdefault(name, Lack(resource, 0, change))

    def owe(self, names: Iterable[str], cause: str, *, again: bool = False) -> None:
        """Answer these names in any case, as soon as they are not in flight. `again`: the client has them."""
        wanted = set(names)
        if not wanted or self.everything:
            return
        self.except_({name: self.group.current(name) if again else None for name in wanted}, cause)
        self.owed = (self.owed or set()) | wanted

    def take(self, hold: Hold, now: float) -> tuple[Batch, Mapping[str, Resource | None]]:
        """What the client is to be sent now, taken as sent; and what a rule holds back, by name, with what the client
        has of it. What is in flight or held back stays an exception.
        """
        if self.exceptions is None:
            news = self.group.since(self.position)
            held = (hold.upserts_until and news.upserts) or (hold.removals_until and news.removed)
            if not held and not self.in_flight(news.names):
                self.position = self.group.end
                self.upserts_held_since = None
                return news, NOTHING_KEPT
        self.absorb()
        return self._take_singly(hold, now)

    def caught_up(self) -> None:
        """Everything that there is was sent, or is known to the client."""
        self.everything, self.claims = False, None
        self.exceptions = self.owed = self.removals_held_since = self.upserts_held_since = None
        self.position = self.group.end

    def move(self, subscription: Subscription, group: Group) -> None:
        """Ask for other names. What the client lacks of those that stay is taken along."""
        self.absorb()
        before = self.group
        self.subscription, self.group, self.position = subscription, group, group.end
        if group is not before:  # or the last member would take it along
            group.join(self)
            before.leave(self)
        self.forget(name for name in list(self.exceptions or ()) if not subscription.covers(name))
        if subscription.nothing:  # Envoy answers no response of a type that it no longer asks for (docs/protocol.md 2)
            self.outstanding.clear()
            self.rejections.clear()
            self.everything = False

    def forget(self, names: Iterable[str]) -> None:
        """The client has let go of these names: nothing is owed for them and no answer of it stands in their way."""
        gone = frozenset(names)
        if not gone:
            return
        for name in gone:
            (self.exceptions or {}).pop(name, None)
            if name != STAR:  # a refused empty response is not undone by narrower wishes
                self.rejections.pop(name, None)
            self.good.pop(name, None)
            self.heard.pop(name, None)
        if not self.exceptions:
            self.exceptions = self.removals_held_since = self.upserts_held_since = None
        self.owed = ((self.owed or set()) - gone) or None
        for waiting in self.outstanding.values():
            if not waiting.names.isdisjoint(gone):
                waiting.names -= gone

    def reject(self, waiting: Outstanding, message: str, now: float) -> tuple[tuple[str, ...], str]:
        """Note a NACK; returns what it is about, `*` for a response that held nothing, and the reason."""
        names, why = refused_names(message, waiting.names or (STAR,)), reason(message)
        self.rejections.update(dict.fromkeys(names, Rejection(why, waiting.floor, now)))
        return names, why

    def accept(self, waiting: Outstanding) -> None:
        """Note an ACK: what it brought is refused no more, but for a repair, which brought something else."""
        if waiting.repair:
            return
        self.accepted = waiting.version
        self.good.update({resource.name: resource for resource in waiting.brings})
        whole = self.session.variant.whole_state and self.type.full_state
        for name in [name for name in self.rejections if whole or name in waiting.names or name == STAR]:
            del self.rejections[name]

    def spoiled(self, waiting: Outstanding, refused: Iterable[str]) -> tuple[Resource, ...]:
        """What is to be sent again because something else was refused in its place, and nothing newer is on its way."""
        if waiting.repair:
            return ()
        tried = {resource.name: resource for resource in waiting.brings}
        return tuple(
            self.good[name] for name in refused if name in self.good and self._refused_instead(name, tried.get(name))
        )

    def _refused_instead(self, name: str, tried: Resource | None) -> bool:
        """`tried` is still what there is, and not the good one itself: refused content is never sent again."""
        return tried is not None and same(self.group.current(name), tried) and not same(self.good[name], tried)

    def current_rejections(self) -> dict[str, Rejection]:
        """Refused resources; not those that have gone, where a client is not told of that and so cannot ACK it."""
        told = self.type.full_state if self.session.variant.whole_state else self.type.removable
        if told:
            return self.rejections
        return {name: said for name, said in self.rejections.items() if self.group.current(name) is not None}

    def _take_singly(self, hold: Hold, now: float) -> tuple[Batch, Mapping[str, Resource | None]]:
        exceptions, owed = self.exceptions or {}, self.owed or set()
        upserts: list[Resource] = []
        removed: list[str] = []
        kept: dict[str, Resource | None] = {}
        had: dict[str, Resource | None] = {}
        taken: list[Lack] = []
        for name, lack in list(exceptions.items()):
            old = lack.held
            new = self.group.current(name)
            if self.in_flight(frozenset((name,))):
                continue
            if self._holds(hold, new, old, owed=name in owed):
                kept[name] = old
                continue
            del exceptions[name]
            had[name] = old
            taken.append(lack)
            if new is not None and (name in owed or not same(new, old)):
                upserts.append(new)
            elif new is None and self.type.removable and (name in owed or old is not None):
                removed.append(name)
            owed.discard(name)
        self.exceptions, self.owed = exceptions or None, owed or None
        self._note_held(kept, now)
        newest = max((lack.change for lack in taken), key=lambda change: change.revision, default=Change(0, ""))
        floor = min((lack.revision for lack in taken), default=0)
        return Batch(tuple(upserts), tuple(removed), had, newest.revision, floor, newest.cause), kept

    @staticmethod
    def _holds(hold: Hold, new: Resource | None, old: Resource | None, *, owed: bool) -> bool:
        if new is None:
            return hold.removals_until is not None and old is not None
        return hold.upserts_until is not None and (owed or not same(new, old))

    def _note_held(self, kept: Mapping[str, Resource | None], now: float) -> None:
        removals = any(old is not None and self.group.current(name) is None for name, old in kept.items())
        upserts = any(self.group.current(name) is not None for name in kept)
        self.removals_held_since = self._since(self.removals_held_since, now) if removals else None
        self.upserts_held_since = self._since(self.upserts_held_since, now) if upserts else None

    @staticmethod
    def _since(before: float | None, now: float) -> float:
        return now if before is None else before
