"""The answers of a client: a response is made, outstanding until it is answered, and a rejection remains if it is refused.

    sent() ---> outstanding ---+---> accept()   nothing remains
                  |            +---> refuse()   a rejection, until other content is accepted
                  +---> sent() again: the names in it are answered by the newer response

Rule: whatever changes these records is a method in this file. What a client holds, and what it is to be sent, is the
other half of a stream's state (`watch.py`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf
from typing import TYPE_CHECKING

from tsunagu.xds.actions import Nacked, Stale
from tsunagu.xds.requests.nack import mentions, reason, refused_names
from tsunagu.xds.subscription import STAR

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tsunagu.xds.group import Batch
    from tsunagu.xds.resources import Resource, ResourceType

REPAIR = "refused: the last good one again"
RETRY = "refused too early: once more"
OUTSTANDING_LIMIT = 64  # of one type, each with an answer of its own; beyond, the oldest are merged


@dataclass(slots=True)
class Response:
    """A response that is to be sent: what it holds, and what of that is news to the client."""

    batch: Batch
    entries: tuple[bytes, ...]  # encoded
    version: str
    news: Batch


@dataclass(slots=True)
class Outstanding:
    """A response that the client has not answered."""

    nonce: str
    version: str
    names: frozenset[str]  # Invariant: none that the client has unsubscribed from, or that was sent again, since
    sent_at: float
    floor: int  # the oldest revision of which it brings something
    introduced: frozenset[str]  # the names that it brings of which the client held nothing
    removes: bool
    replaces: bool  # it brings other content of something that the client held, or removes it
    told: frozenset[str] = frozenset()  # all that it was sent with: a NACK may name any of these
    early: bool = False  # a type that it depends on was unsettled when it was sent (order.py)
    brings: tuple[Resource, ...] = ()  # of types that are repaired: known to be good once they are accepted
    repair: bool = False  # it brings again what the client held before it refused something else

    @property
    def introduces(self) -> bool:
        """True when it brings names of which the client held nothing."""
        return bool(self.introduced)


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a client has refused a resource."""

    error: str
    floor: int  # the oldest revision of which the refused response brought something
    at: float
    again: bool = False  # what the client missed may be there by now: to be sent once more


class Answers:
    """The responses of one type on one stream, and how the client has answered them."""

    __slots__ = ("accepted", "answered", "good", "merged", "nonce", "outstanding", "recheck", "refreshed", "rejections",
                 "replaced_at", "since", "type", "whole_state")  # fmt: skip

    def __init__(self, kind: ResourceType, *, whole_state: bool) -> None:
        self.type = kind
        self.whole_state = whole_state  # SotW: a response of some types holds everything that there is
        self.outstanding: dict[str, Outstanding] = {}  # by nonce, oldest first. Invariant: no name in two of them
        # Name -> nonce of a response that was merged into the oldest outstanding one. Invariant: of names in that one.
        self.merged: dict[str, str] = {}
        self.nonce = ""  # of the newest response; empty before the first
        self.answered = False  # a response was sent, or the client needs none
        self.accepted = ""  # the version last accepted
        self.replaced_at = -inf  # when the client last accepted other content of something that it held
        self.rejections: dict[str, Rejection] = {}  # by name; STAR: of a response that held nothing
        self.good: dict[str, Resource] = {}  # of types that are repaired: what the client accepted last
        self.refreshed: dict[str, float] = {}  # when each expiring name was last sent
        self.recheck: set[str] | None = None  # SotW EDS: names that the client will ask for in the guise of an ACK
        self.since = 0.0  # the time of the newest response, answer or first request

    # Read.

    def in_flight(self, names: frozenset[str], now: float = 0.0, patience: float = inf) -> bool:
        """True when one of the names is in an unanswered response, sent less than `patience` seconds ago."""
        for waiting in self.outstanding.values():  # asked for each response; a generator costs more
            if waiting.sent_at + patience > now and not waiting.names.isdisjoint(names):
                return True
        return False

    def next_overtaking(self, now: float, patience: float) -> float | None:
        """Return when the next unanswered response ceases to hold back newer content; None: none does."""
        times = (waiting.sent_at + patience for waiting in self.outstanding.values())
        return min((at for at in times if at > now), default=None)

    # Moved.

    def sent(self, nonce: str, response: Response, now: float, *, early: bool) -> None:
        """A response leaves; it is outstanding until it is answered. `early`: see `Outstanding`."""
        batch, news = response.batch, response.news
        waiting = Outstanding(
            nonce, response.version, batch.names, now, news.floor, news.introduced, bool(news.removed), news.replaces
        )
        waiting.told, waiting.early = batch.names, early
        if self.outstanding:
            self._supersede(waiting)
        if self.type.repaired:
            waiting.brings, waiting.repair = batch.upserts, news.cause == REPAIR
        self.outstanding[nonce] = waiting
        if len(self.outstanding) > OUTSTANDING_LIMIT:
            self._fold()
        self.nonce, self.answered, self.since = nonce, True, now
        if batch.expiring:
            self.refreshed.update(dict.fromkeys(batch.expiring, now))
        if self.recheck:
            self.recheck -= batch.names

    def settle(self, nonce: str, now: float) -> Outstanding | None:
        """Return the response that an answer is about, which is outstanding no more; None: there is no such response."""
        waiting = self.outstanding.get(nonce)
        if waiting is not None:
            if waiting is next(iter(self.outstanding.values())):
                self.merged.clear()
            del self.outstanding[nonce]
            self.since = now
        return waiting

    def refuse_merged(self, nonce: str, error: str, now: float) -> tuple[str, ...]:
        """Book a NACK of a response that was merged into the oldest outstanding one; return the refused names."""
        merged = frozenset(name for name, of in self.merged.items() if of == nonce)
        if not merged:
            return ()
        oldest = next(iter(self.outstanding.values()))
        told = merged.union(*[waiting.told for waiting in self.outstanding.values()])
        refused = tuple(name for name in refused_names(error, told) if name in merged)
        self._reject(refused, oldest, reason(error), now)
        oldest.names = oldest.names.difference(refused)
        self._unmerge(refused)
        return refused

    def without_response(self, nonce: str, error: str | None, now: float) -> Nacked | Stale:
        """Book an answer to a response that is not outstanding; return what it was."""
        names = self.refuse_merged(nonce, error, now) if error is not None else ()
        if not names:
            return Stale(self.type.url, nonce)
        return Nacked(self.type.url, nonce, names, self.rejections[names[0]].error, 0.0)

    def accept(self, waiting: Outstanding) -> None:
        """Book an ACK: what it brought is refused no more. (A repair brought something else than what was refused.)"""
        if waiting.repair:
            return
        self.accepted = waiting.version
        if waiting.replaces:
            self.replaced_at = self.since
        self.good.update({resource.name: resource for resource in waiting.brings})
        whole = self.whole_state and self.type.full_state
        for name in [name for name in self.rejections if whole or name in waiting.names or name == STAR]:
            del self.rejections[name]

    def refuse(self, waiting: Outstanding, error: str, now: float) -> tuple[tuple[str, ...], str]:
        """Book a NACK; return the names that it refuses (STAR for a response that held nothing) and the reason. What was
        sent again since, or unsubscribed from, may be among them, and is not refused any more.
        """
        names, why = refused_names(error, waiting.told or (STAR,)), reason(error)
        self._reject([name for name in names if name in waiting.names or name == STAR], waiting, why, now)
        return names, why

    def reconsider(self, there: frozenset[str]) -> None:
        """The client has these resources of another type now: what it has refused for want of one is to be sent once more."""
        for name, rejection in self.rejections.items():
            if mentions(rejection.error, there):
                self.rejections[name] = replace(rejection, again=True)

    def expect(self, names: Iterable[str]) -> None:
        """The client will ask for these names again, in a request that cannot be told from an ACK."""
        self.recheck = (self.recheck or set()) | set(names)

    def asked_again(self) -> set[str]:
        """Return, once, the names of which a request has to be taken as asking for them again."""
        names, self.recheck = self.recheck or set(), None
        return names

    def forget_answers(self, names: frozenset[str]) -> None:
        """The client has unsubscribed from these names: no answer is about them any more."""
        for name in names:
            if name != STAR:  # a refused empty response stays refused when fewer names are asked for
                self.rejections.pop(name, None)
            self.good.pop(name, None)
            self.refreshed.pop(name, None)
        self._unmerge(names)
        for waiting in self.outstanding.values():
            if not waiting.names.isdisjoint(names):
                waiting.names -= names

    def expect_none(self) -> None:
        """The client asks for nothing: Envoy answers no response of such a type (docs/protocol.md 2)."""
        self.outstanding.clear()
        self.merged.clear()
        self.rejections.clear()

    # The rest is private.

    def _reject(self, names: Iterable[str], waiting: Outstanding, why: str, now: float) -> None:
        self.rejections.update(dict.fromkeys(names, Rejection(why, waiting.floor, now, waiting.early)))

    def _unmerge(self, names: Iterable[str]) -> None:
        """These names are in no merged response any more."""
        for name in names if self.merged else ():
            self.merged.pop(name, None)

    def _supersede(self, newer: Outstanding) -> None:
        """What is sent again is acknowledged by the answer to the newer response, not to an older one."""
        whole = self.whole_state and self.type.full_state
        self._unmerge(list(self.merged) if whole else newer.names)
        for older in list(self.outstanding.values()):
            if not whole and older.names.isdisjoint(newer.names):
                continue
            newer.floor = min(newer.floor, older.floor)
            newer.introduced, newer.removes = newer.introduced | older.introduced, newer.removes or older.removes
            older.names -= newer.names
            if whole or not older.names:
                del self.outstanding[older.nonce]

    def _fold(self) -> None:
        """Merge the oldest outstanding response into the next: what a client that answers none costs is bounded."""
        oldest, second = list(self.outstanding.values())[:2]
        del self.outstanding[oldest.nonce]
        self.merged.update(dict.fromkeys(oldest.names - self.merged.keys(), oldest.nonce))
        second.names |= oldest.names
        second.told |= oldest.told
        second.sent_at, second.floor = oldest.sent_at, min(oldest.floor, second.floor)
        second.introduced, second.removes = oldest.introduced | second.introduced, oldest.removes or second.removes
