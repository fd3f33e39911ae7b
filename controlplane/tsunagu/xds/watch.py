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
arrive at once. A NACK changes nothing in what the client is thought to hold, so refused content is not sent again. The
right half of this picture, from `sent` on, is `answers.py`; a watch is that and what the client holds.

**Who decides.** Nothing here knows another type, another stream or a variant. `order.py` says what has to be deferred,
`sotw.py` and `delta.py` what a request means and what a response looks like, `session.py` calls them in turn.

Rule: whatever changes a watch is a method in this file or in answers.py; everybody else reads.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, NamedTuple

from tsunagu.xds.answers import REPAIR, RETRY, Answers
from tsunagu.xds.group import NOTHING_HELD, Batch, Cause
from tsunagu.xds.resources import placeholder, same

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tsunagu.xds.answers import Outstanding, Rejection
    from tsunagu.xds.composite import Composite
    from tsunagu.xds.group import Group
    from tsunagu.xds.resources import Resource
    from tsunagu.xds.subscription import Subscription


@dataclass(frozen=True, slots=True)
class Deferral:
    """Until when (seconds) the new content and the removals of a type have to wait; None: they need not. A removal that has
    been deferred since `overdue` waits no longer. `patience`: for how many seconds an unanswered response holds back newer
    content of its names. `why`: the rule, in words.
    """

    upserts_until: float | None = None
    removals_until: float | None = None
    overdue: float = -inf
    patience: float = inf
    why: str = ""


NO_DEFERRAL = Deferral()


class Divergence(NamedTuple):
    """A name of which the client holds something else than the group's content at the watch's position."""

    held: Resource | None  # what the client holds; None: nothing
    revision: int  # the oldest revision that it misses
    cause: Cause  # of the newest change that it misses


class Watch(Answers):
    """The state of one type on one stream. It belongs to an `owner`, of which it knows nothing."""

    __slots__ = ("cause", "claims", "composite", "divergence", "everything", "forced", "group", "owner", "position",
                 "removals_deferred", "subscription", "upserts_deferred_since")  # fmt: skip

    def __init__(
        self, owner: object, composite: Composite, group: Group, subscription: Subscription, *, whole_state: bool
    ) -> None:
        super().__init__(group.type, whole_state=whole_state)
        self.owner = owner
        self.composite = composite  # the scope of the stream
        self.subscription = subscription  # what the client asks for
        self.group = group  # Invariant: the group of `composite`, `type` and `subscription`
        self.position = group.end  # Invariant: group.start <= position <= group.end; meaningless while `everything`
        self.everything = True  # the client is to be sent all that it asks for. Invariant: then no divergence
        self.claims: Mapping[str, str] | str | None = None  # what the client says it holds. Invariant: only at first
        self.divergence: dict[str, Divergence] | None = None  # Invariant: None or not empty; covered names alone
        self.forced: set[str] | None = None  # to be sent even if unchanged. Invariant: None, or a part of divergence
        self.cause = "subscribe"  # why everything is sent
        self.upserts_deferred_since: float | None = None  # Invariant: None unless `order` defers something
        self.removals_deferred: dict[str, float] | None = None  # name -> since when. Invariant: None, or not empty

    # Read.

    @property
    def pending(self) -> bool:
        """True when there may be something to send."""
        return self.everything or self.divergence is not None or self.position != self.group.end

    @property
    def defers(self) -> bool:
        """True when an ordering rule defers something."""
        return self.removals_deferred is not None or self.upserts_deferred_since is not None

    def deferred_names(self, most: int) -> tuple[tuple[str, ...], int]:
        """Return names that are deferred, `most` of them, and how many others are; none while everything is."""
        names = set(self.removals_deferred or ())
        if self.upserts_deferred_since is not None:
            names.update(name for name in self.divergence or () if not self.in_flight(frozenset((name,))))
        return tuple(sorted(names)[:most]), max(0, len(names) - most)

    @property
    def removals_deferred_since(self) -> float | None:
        """Since when an ordering rule defers a removal; None: it defers none."""
        return min(self.removals_deferred.values()) if self.removals_deferred else None

    @property
    def deferred_since(self) -> float | None:
        """Since when an ordering rule defers something; None: it defers nothing."""
        times = (self.upserts_deferred_since, self.removals_deferred_since)
        return min((at for at in times if at is not None), default=None)

    @property
    def introduces(self) -> bool:
        """True when names are to be sent of which the client holds nothing."""
        return any(old is None and self.group.current(name) is not None for name, old in self.missed().items())

    @property
    def removes(self) -> bool:
        """True when something is to be removed that the client holds."""
        return any(old is not None and self.group.current(name) is None for name, old in self.missed().items())

    def missed(self) -> dict[str, Resource | None]:
        """Return the names that may have to be sent, and what the client holds of each."""
        if not self.pending or self.everything:
            return {}
        held = {name: old for name, old, _ in reversed(self.group.tail(self.position))}
        held.update((name, one.held) for name, one in (self.divergence or {}).items())
        return held

    @property
    def settled(self) -> bool:
        """True when the client has acknowledged, or refused, everything new."""
        return not self.outstanding and not self.introduces

    def current_rejections(self) -> dict[str, Rejection]:
        """Refused resources. A resource that is gone counts only where the client learns of that, and can accept it."""
        learns = self.type.full_state if self.whole_state else self.type.removable
        if learns or not self.rejections:
            return self.rejections
        return {name: one for name, one in self.rejections.items() if self.group.current(name) is not None}

    def repair(self, waiting: Outstanding, refused: Iterable[str]) -> Batch | None:
        """Return the last good resources that a refusal has spoiled, where nothing newer is on its way; None: there are none."""
        if waiting.repair:
            return None
        tried = {resource.name: resource for resource in waiting.brings}
        spoiled = [name for name in refused if name in self.good and self._spoiled(name, tried.get(name))]
        good = {name: self.good[name] for name in spoiled}
        return Batch(tuple(good.values()), (), good, waiting.floor, waiting.floor, REPAIR) if good else None

    # What the client asks for.

    def open(self, claims: Mapping[str, str] | str | None, cause: str, now: float) -> None:
        """The first request of the stream, with what the client claims to hold."""
        self.claims, self.cause, self.since = claims, cause, now

    def resubscribe(self, subscription: Subscription, group: Group) -> None:
        """The client asks for other names, as `group` does. What it misses of those that stay is taken along."""
        self.absorb()
        self.subscription, self.group, self.position = subscription, group, group.end
        self.forget(name for name in list(self.divergence or ()) if not subscription.covers(name))
        if subscription.nothing:
            self.expect_none()
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
        if not self.divergence:
            self.divergence = self.removals_deferred = self.upserts_deferred_since = None
        self.forced = ((self.forced or set()) - gone) or None
        self.forget_answers(gone)

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

    def retry(self) -> None:
        """Send once more what was refused because something that it depends on had not been there yet. Of what is in an
        unanswered response again, that answer decides.
        """
        again = [name for name, rejection in self.rejections.items() if rejection.again]
        if self.outstanding:
            again = [name for name in again if not self.in_flight(frozenset((name,)))]
        self.force((name for name in again if self.group.current(name) is not None), RETRY, again=True)

    def defer_everything(self, now: float) -> None:
        """An ordering rule defers all that the client is to be sent."""
        self.upserts_deferred_since = _earlier(self.upserts_deferred_since, now)

    def take(self, deferral: Deferral, now: float, *, placeholders: int) -> tuple[Batch, Mapping[str, Resource | None]]:
        """Return what to send now and mark it sent, and what an ordering rule still defers (name -> what the client
        holds). What is in flight stays a divergence too. `placeholders`: how many
        names that do not exist may be answered by one; the others stay forced.
        """
        if self.divergence is None:
            news = self.group.since(self.position)
            deferred = (deferral.upserts_until and news.upserts) or (deferral.removals_until and news.removed)
            if not deferred and not (self.outstanding and self.in_flight(news.names, now, deferral.patience)):
                self.position = self.group.end
                self.upserts_deferred_since = None
                return news, NOTHING_HELD
        self.absorb()
        return self._take_singly(deferral, now, placeholders=placeholders)

    def caught_up(self) -> None:
        """Nothing is left to be sent: the client has been sent everything, or is known to hold it."""
        self.everything, self.claims = False, None
        self.divergence = self.forced = self.removals_deferred = self.upserts_deferred_since = None
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

    # The rest is private.

    def _spoiled(self, name: str, tried: Resource | None) -> bool:
        """True while the refused resource is what there is, and not the good one itself: that is never sent again."""
        return tried is not None and same(self.group.current(name), tried) and not same(self.good[name], tried)

    def _take_singly(
        self, deferral: Deferral, now: float, *, placeholders: int
    ) -> tuple[Batch, Mapping[str, Resource | None]]:
        divergence, forced = self.divergence or {}, self.forced or set()
        upserts: list[Resource] = []
        removed: list[str] = []
        deferred: dict[str, Resource | None] = {}
        taken: dict[str, Divergence] = {}
        made_up = 0
        for name, missed in list(divergence.items()):
            held, new, again = missed.held, self.group.current(name), name in forced
            if self.outstanding and self.in_flight(frozenset((name,)), now, deferral.patience):
                continue
            if placeholders and again and new is None and held is not None and held.body:
                taken[name] = missed  # it is taken away with its cluster, not while the client waits for it
                upserts.append(held)
                forced.discard(name)
                continue
            if new is None and placeholders and again:
                new = placeholder(self.type, name)
                if new is not None and (made_up := made_up + 1) > placeholders:
                    break
            overdue = new is None and (self.removals_deferred or {}).get(name, inf) <= deferral.overdue
            if not overdue and _defers(deferral, new, held, forced=again):
                deferred[name] = held
                continue
            taken[name] = divergence.pop(name)
            if new is not None and (again or not same(new, held)):
                upserts.append(new)
            elif new is None and self.type.removable and (again or held is not None):
                removed.append(name)
            forced.discard(name)
        self.divergence, self.forced = divergence or None, forced or None
        self._note_deferred(deferred, now)
        return _batch(upserts, removed, taken), deferred

    def _note_deferred(self, deferred: Mapping[str, Resource | None], now: float) -> None:
        before = self.removals_deferred or {}
        removals = [name for name, held in deferred.items() if held is not None and self.group.current(name) is None]
        upserts = any(self.group.current(name) is not None for name in deferred)
        self.removals_deferred = {name: before.get(name, now) for name in removals} or None
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
