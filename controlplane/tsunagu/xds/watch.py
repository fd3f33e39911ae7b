"""The state of one type on one stream, and everything that moves it. Read this page to understand the server.

**What has to be known.** A server must be able to say of each client and name: does it hold what it should? The obvious
answer is a dictionary per stream, name -> version sent. With a thousand proxies and a thousand names that is a million
entries, each written on every change. But clients are nearly always up to date, and nearly all of them see and ask for
the same. So what they ask for is kept once, in a `Group`, with a log of its changes; and a `Watch` keeps

    position     how far in that log this client has been sent everything, and
    divergence   the few names of which it holds something else than the position says.

A client that is up to date is described by its position alone. A name gets into `divergence` when a change cannot be
sent yet (its name is in a response that is not answered, or an ordering rule defers it) or has to be sent although
nothing has changed (the client asks again for what it holds); it leaves when it is sent.

**Its life.** A watch begins with `everything`: the client is to be sent all that it asks for, or, when it comes back
from another stream, what differs from its `claims`. Then:

    group log grows ---> pending ---> take() ---> sent() ---> outstanding ---+---> accept()   nothing remains
                            ^                                                |
                            |  resubscribe(), force(), absorb()              +---> refuse()   a rejection remains until
                            +------------------------------------------------+                other content is accepted

`take` decides what is sent now and what stays; `sent` books the response before its bytes leave, for the answer may
arrive at once. A NACK changes nothing in what the client is thought to hold, so refused content is not sent again.

**Who decides.** Nothing here knows another type, another stream or a variant. `order.py` says what has to be deferred,
`sotw.py` and `delta.py` what a request means and what a response looks like, `session.py` calls them in turn.

Rule: whatever changes a watch is a method in this file; everybody else reads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from tsunagu.xds.group import NOTHING_HELD, Batch, Cause
from tsunagu.xds.requests.nack import reason, refused_names
from tsunagu.xds.resources import same
from tsunagu.xds.responses import REPAIR, Outstanding, Rejection
from tsunagu.xds.subscription import STAR

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tsunagu.xds.composite import Composite
    from tsunagu.xds.group import Group
    from tsunagu.xds.resources import Resource
    from tsunagu.xds.responses import Response
    from tsunagu.xds.subscription import Subscription


@dataclass(frozen=True, slots=True)
class Deferral:
    """Until when (seconds) the new content and the removals of a type have to wait; None: they need not."""

    upserts_until: float | None = None
    removals_until: float | None = None


NO_DEFERRAL = Deferral()


class Divergence(NamedTuple):
    """A name of which the client holds something else than the group's content at the watch's position."""

    held: Resource | None  # what the client holds; None: nothing
    revision: int  # the oldest revision that it misses
    cause: Cause  # of the newest change that it misses


class Watch:
    """The state of one type on one stream. It belongs to an `owner`, of which it knows nothing."""

    __slots__ = ("accepted", "answered", "cause", "claims", "composite", "divergence", "everything", "forced", "good",
                 "group", "nonce", "outstanding", "owner", "position", "recheck", "refreshed", "rejections",
                 "removals_deferred_since", "since", "subscription", "type", "upserts_deferred_since",
                 "whole_state")  # fmt: skip

    def __init__(
        self, owner: object, composite: Composite, group: Group, subscription: Subscription, *, whole_state: bool
    ) -> None:
        self.owner = owner
        self.type = group.type
        self.whole_state = whole_state  # SotW: a response of some types holds everything that there is
        self.composite = composite  # the scope of the stream
        self.subscription = subscription  # what the client asks for
        self.group = group  # Invariant: the group of `composite`, `type` and `subscription`
        # What the client holds.
        self.position = group.end  # Invariant: group.start <= position <= group.end; meaningless while `everything`
        self.everything = True  # the client is to be sent all that it asks for. Invariant: then no divergence
        self.claims: Mapping[str, str] | str | None = None  # what the client says it holds. Invariant: only at first
        self.divergence: dict[str, Divergence] | None = None  # Invariant: None or not empty; covered names alone
        self.forced: set[str] | None = None  # to be sent even if unchanged. Invariant: None, or a part of divergence
        self.cause = "subscribe"  # why everything is sent
        # What it has not answered, and what it answered.
        self.outstanding: dict[str, Outstanding] = {}  # by nonce, oldest first. Invariant: no name in two of them
        self.nonce = ""  # of the newest response; empty before the first
        self.answered = False  # a response was sent, or the client needs none
        self.accepted = ""  # the version last accepted
        self.rejections: dict[str, Rejection] = {}  # by name; STAR: of a response that held nothing
        self.good: dict[str, Resource] = {}  # of types that are repaired: what the client accepted last
        self.refreshed: dict[str, float] = {}  # when each expiring name was last sent
        self.recheck: set[str] | None = None  # SotW EDS: names that the client will ask for in the guise of an ACK
        # Since when it is so.
        self.since = 0.0  # of the newest response, answer or first request
        self.upserts_deferred_since: float | None = None  # Invariant: None unless `order` defers something
        self.removals_deferred_since: float | None = None

    # Read.

    @property
    def pending(self) -> bool:
        """True when there may be something to send."""
        return self.everything or self.divergence is not None or self.position != self.group.end

    @property
    def deferred_since(self) -> float | None:
        """Since when an ordering rule defers something; None: it defers nothing."""
        times = (self.upserts_deferred_since, self.removals_deferred_since)
        return min((at for at in times if at is not None), default=None)

    def in_flight(self, names: frozenset[str]) -> bool:
        """True when one of the names is in a response that is not answered."""
        for waiting in self.outstanding.values():  # noqa: SIM110  # asked for each response; a generator costs more
            if not waiting.names.isdisjoint(names):
                return True
        return False

    def current_rejections(self) -> dict[str, Rejection]:
        """Refused resources. A resource that is gone counts only where the client learns of that, and can accept it."""
        learns = self.type.full_state if self.whole_state else self.type.removable
        if learns or not self.rejections:
            return self.rejections
        return {name: one for name, one in self.rejections.items() if self.group.current(name) is not None}

    def spoiled(self, waiting: Outstanding, refused: Iterable[str]) -> tuple[Resource, ...]:
        """Return the last good resources that a refusal has spoiled, where nothing newer is on its way."""
        if waiting.repair:
            return ()
        tried = {resource.name: resource for resource in waiting.brings}
        return tuple(self.good[name] for name in refused if name in self.good and self._spoiled(name, tried.get(name)))

    # What the client asks for.

    def open(self, claims: Mapping[str, str] | str | None, cause: str, now: float) -> None:
        """The first request of the stream, with what the client claims to hold."""
        self.claims, self.cause, self.since = claims, cause, now

    def resubscribe(self, subscription: Subscription, group: Group) -> None:
        """The client asks for other names, as `group` does. What it misses of those that stay is taken along."""
        self.absorb()
        self.subscription, self.group, self.position = subscription, group, group.end
        self.forget(name for name in list(self.divergence or ()) if not subscription.covers(name))
        if subscription.nothing:  # Envoy answers no response of a type that it no longer asks for (docs/protocol.md 2)
            self.outstanding.clear()
            self.rejections.clear()
            self.everything = False

    def rescope(self, composite: Composite, group: Group) -> None:
        """The stream sees another scope; the client is sent where that differs."""
        if group is self.group:
            self.composite = composite
            return
        before = {resource.name: resource for resource in self.group.existing().upserts}
        self.absorb()
        self.composite, self.group, self.position = composite, group, group.end
        differs: dict[str, Resource | None] = {
            name: held for name, held in before.items() if not same(group.current(name), held)
        }
        differs.update((new.name, None) for new in group.existing().upserts if new.name not in before)
        self.diverge(differs, "rescope")

    def regroup(self, group: Group) -> None:
        """Continue in a group with the same content."""
        self.absorb()
        self.group, self.position = group, group.end

    def restart(self, cause: str) -> None:
        """Send everything, whatever the client holds."""
        self.caught_up()
        self.everything, self.cause = True, cause

    def forget(self, names: Iterable[str]) -> None:
        """The client has unsubscribed from these names: it is sent nothing of them, and its answers are not about them."""
        gone = frozenset(names)
        if not gone:
            return
        for name in gone:
            (self.divergence or {}).pop(name, None)
            if name != STAR:  # a refused empty response stays refused when fewer names are asked for
                self.rejections.pop(name, None)
            self.good.pop(name, None)
            self.refreshed.pop(name, None)
        if not self.divergence:
            self.divergence = self.removals_deferred_since = self.upserts_deferred_since = None
        self.forced = ((self.forced or set()) - gone) or None
        for waiting in self.outstanding.values():
            if not waiting.names.isdisjoint(gone):
                waiting.names -= gone

    # What the client is to be sent.

    def absorb(self) -> None:
        """Note what the log holds after the position as divergence, and move to its end."""
        tail = self.group.tail(self.position)
        self.position = self.group.end
        if not tail or self.everything:
            return
        if self.divergence is None:
            self.divergence = {}
        for name, old, cause in tail:
            held, revision, _ = self.divergence.get(name) or Divergence(old, cause.revision, cause)
            self.divergence[name] = Divergence(held, revision, cause)

    def diverge(self, held: Mapping[str, Resource | None], cause: str) -> None:
        """Note that of these names the client holds something else than the group says, since before any revision."""
        self.absorb()
        if not held or self.everything:
            return
        if self.divergence is None:
            self.divergence = {}
        why = Cause(0, cause)
        for name, resource in held.items():
            self.divergence.setdefault(name, Divergence(resource, 0, why))

    def force(self, names: Iterable[str], cause: str, *, again: bool = False) -> None:
        """Force a response for these names even if their version is unchanged, once no unacknowledged response contains
        them. `again`: the client already holds them.
        """
        forced = set(names)
        if not forced or self.everything:
            return
        self.diverge({name: self.group.current(name) if again else None for name in forced}, cause)
        self.forced = (self.forced or set()) | forced

    def expect(self, names: Iterable[str]) -> None:
        """The client will ask for these names again, in a request that cannot be told from an ACK."""
        self.recheck = (self.recheck or set()) | set(names)

    def asked_again(self) -> set[str]:
        """Return, once, the names of which a request has to be taken as asking for them again."""
        names, self.recheck = self.recheck or set(), None
        return names

    def defer_everything(self, now: float) -> None:
        """An ordering rule defers all that the client is to be sent."""
        self.upserts_deferred_since = _earlier(self.upserts_deferred_since, now)

    def take(self, deferral: Deferral, now: float) -> tuple[Batch, Mapping[str, Resource | None]]:
        """Return what to send now and mark it sent, and what an ordering rule still defers (name -> what the client
        holds). What is in flight stays a divergence too.
        """
        if self.divergence is None:
            news = self.group.since(self.position)
            deferred = (deferral.upserts_until and news.upserts) or (deferral.removals_until and news.removed)
            if not deferred and not (self.outstanding and self.in_flight(news.names)):
                self.position = self.group.end
                self.upserts_deferred_since = None
                return news, NOTHING_HELD
        self.absorb()
        return self._take_singly(deferral, now)

    def caught_up(self) -> None:
        """Nothing is left to be sent: the client has been sent everything, or is known to hold it."""
        self.everything, self.claims = False, None
        self.divergence = self.forced = self.removals_deferred_since = self.upserts_deferred_since = None
        self.position = self.group.end

    def compared(self, held: Mapping[str, Resource | None]) -> None:
        """The claims are settled: the client holds everything but for these names."""
        self.caught_up()
        self.answered = True
        self.diverge(held, "reconnect")

    def needs_nothing(self) -> None:
        """The client holds what it asks for, and needs no response to know."""
        self.caught_up()
        self.answered = True

    # What it was sent, and how it answered.

    def sent(self, nonce: str, response: Response, now: float) -> None:
        """A response leaves; it is outstanding until it is answered."""
        batch, news = response.batch, response.news
        waiting = Outstanding(
            nonce, response.version, batch.names, now, news.floor, news.introduces, removes=bool(news.removed)
        )
        if self.type.repaired:
            waiting.brings, waiting.repair = batch.upserts, news.cause == REPAIR
        self.outstanding[nonce] = waiting
        self.nonce, self.answered, self.since = nonce, True, now
        if batch.expiring:
            self.refreshed.update(dict.fromkeys(batch.expiring, now))
        if self.recheck:
            self.recheck -= batch.names

    def settle(self, nonce: str, now: float) -> Outstanding | None:
        """Return the response that an answer is about, which is outstanding no more; None: there is no such response."""
        waiting = self.outstanding.pop(nonce, None)
        if waiting is not None:
            self.since = now
        return waiting

    def accept(self, waiting: Outstanding) -> None:
        """Book an ACK: what it brought is refused no more. (A repair brought something else than what was refused.)"""
        if waiting.repair:
            return
        self.accepted = waiting.version
        self.good.update({resource.name: resource for resource in waiting.brings})
        whole = self.whole_state and self.type.full_state
        for name in [name for name in self.rejections if whole or name in waiting.names or name == STAR]:
            del self.rejections[name]

    def refuse(self, waiting: Outstanding, error: str, now: float) -> tuple[tuple[str, ...], str]:
        """Book a NACK; return the refused names (STAR for a response that held nothing) and the reason."""
        names, why = refused_names(error, waiting.names or (STAR,)), reason(error)
        self.rejections.update(dict.fromkeys(names, Rejection(why, waiting.floor, now)))
        return names, why

    # The rest is private.

    def _spoiled(self, name: str, tried: Resource | None) -> bool:
        """True while the refused resource is what there is, and not the good one itself: that is never sent again."""
        return tried is not None and same(self.group.current(name), tried) and not same(self.good[name], tried)

    def _take_singly(self, deferral: Deferral, now: float) -> tuple[Batch, Mapping[str, Resource | None]]:
        divergence, forced = self.divergence or {}, self.forced or set()
        upserts: list[Resource] = []
        removed: list[str] = []
        deferred: dict[str, Resource | None] = {}
        taken: dict[str, Divergence] = {}
        for name, missed in list(divergence.items()):
            held, new = missed.held, self.group.current(name)
            if self.in_flight(frozenset((name,))):
                continue
            if _defers(deferral, new, held, forced=name in forced):
                deferred[name] = held
                continue
            taken[name] = divergence.pop(name)
            if new is not None and (name in forced or not same(new, held)):
                upserts.append(new)
            elif new is None and self.type.removable and (name in forced or held is not None):
                removed.append(name)
            forced.discard(name)
        self.divergence, self.forced = divergence or None, forced or None
        self._note_deferred(deferred, now)
        return _batch(upserts, removed, taken), deferred

    def _note_deferred(self, deferred: Mapping[str, Resource | None], now: float) -> None:
        removals = any(held is not None and self.group.current(name) is None for name, held in deferred.items())
        upserts = any(self.group.current(name) is not None for name in deferred)
        self.removals_deferred_since = _earlier(self.removals_deferred_since, now) if removals else None
        self.upserts_deferred_since = _earlier(self.upserts_deferred_since, now) if upserts else None


def _defers(deferral: Deferral, new: Resource | None, held: Resource | None, *, forced: bool) -> bool:
    if new is None:
        return deferral.removals_until is not None and held is not None
    return deferral.upserts_until is not None and (forced or not same(new, held))


def _batch(upserts: list[Resource], removed: list[str], taken: Mapping[str, Divergence]) -> Batch:
    newest = max((one.cause for one in taken.values()), key=lambda cause: cause.revision, default=Cause(0, ""))
    floor = min((one.revision for one in taken.values()), default=0)
    held = {name: one.held for name, one in taken.items()}
    return Batch(tuple(upserts), tuple(removed), held, newest.revision, floor, newest.words)


def _earlier(before: float | None, now: float) -> float:
    return now if before is None else before
