"""What the state of a stream means to an operator, and to the convergence barrier.

Rule: SYNCED means ACKed. What is unsent, unanswered or refused has a state of its own, with the reason.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tsunagu.xds.resources import CDS, LDS, TYPES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tsunagu.xds.answers import Rejection
    from tsunagu.xds.session import Session
    from tsunagu.xds.waits import Holds
    from tsunagu.xds.watch import Watch

SYNCED, STALE, NACKED, NOT_SENT = "SYNCED", "STALE", "NACKED", "NOT_SENT"
RANK = {SYNCED: 0, STALE: 1, NOT_SENT: 2, NACKED: 3}  # the higher, the worse
_ORDER = {kind.short: kind.order for kind in TYPES.values()}


@dataclass(frozen=True, slots=True)
class TypeState:
    """The state of one type of one proxy. `age`: for how many seconds it has been in this state."""

    type: str  # short name
    state: str  # SYNCED, STALE, NACKED, NOT_SENT
    age: float
    resources: int
    version: str  # the newest accepted: of the type (SotW), of what its response was computed from (delta)
    error: str = ""
    rejected: tuple[str, ...] = ()
    held: float = 0.0  # for how many seconds more an operator keeps its responses back


def type_states(session: Session, now: float) -> tuple[TypeState, ...]:
    """Return the state of each type that a stream asks for."""
    watches = session.watches.values()
    return tuple([type_state(watch, watches, now, session.holds) for watch in watches])


def type_state(watch: Watch, beside: Iterable[Watch], now: float, holds: Holds | None = None) -> TypeState:
    """Return the state of a type; `beside` are all watches of its stream, for which it may have to wait."""
    rejections = watch.current_rejections()
    state, since = _state(watch, beside, rejections)
    return TypeState(
        watch.type.short,
        state,
        max(0.0, now - since),
        watch.group.count,
        watch.accepted,
        next(iter(rejections.values())).error if rejections else "",
        tuple(sorted(rejections)),
        _held(holds, watch, now),
    )


def merged(clients: Sequence[Sequence[TypeState]], *, added_up: bool = False) -> tuple[TypeState, ...]:
    """Return one state for each type: the worst, in the order in which types are sent. `added_up`: streams of one client,
    each of which may have other resources of a type.
    """
    found: dict[str, TypeState] = {}
    for state in itertools.chain.from_iterable(clients):
        known = found.setdefault(state.type, state)
        if known is state:
            continue
        worst = max(known, state, key=lambda one: RANK[one.state])
        count = known.resources + state.resources if added_up else worst.resources
        found[state.type] = replace(worst, resources=count, held=max(known.held, state.held))
    return tuple(sorted(found.values(), key=lambda state: _ORDER.get(state.type, len(_ORDER))))


def unconverged(sessions: Sequence[Session], revision: int, now: float) -> str:
    """Return why a proxy with these streams has not ACKed everything at `revision`; empty when it has.

    A client that takes everything by wildcard has to have asked for clusters and listeners: while it starts, it asks for
    listeners only when its clusters are warm. On streams of single types it does so on different ones.
    """
    if any(session.scope is None for session in sessions):
        return "waits for its turn to be answered"
    scope = sessions[0].scope
    if scope is not None and scope.legacy_wildcard:
        aggregated = [session.watches for session in sessions if not session.type_url]
        asked = aggregated or [{url: watch for session in sessions for url, watch in session.watches.items()}]
        for watches in asked:
            for url in (CDS, LDS):
                if url not in watches:
                    return f"{TYPES[url].short} not asked for"
    for session in sessions:  # looked at after each ACK while someone waits, so no list is made of the reasons
        for watch in session.watches.values():
            reason = _reason(watch, revision, now, session.holds)
            if reason:
                return reason
    return ""


def silent(session: Session, now: float) -> float:
    """Return for how many seconds a response has been outstanding; 0 if none is."""
    sent = [waiting.sent_at for watch in session.watches.values() for waiting in watch.outstanding.values()]
    return now - min(sent) if sent else 0.0


def _state(watch: Watch, beside: Iterable[Watch], rejections: dict[str, Rejection]) -> tuple[str, float]:
    if rejections:
        return NACKED, max(one.at for one in rejections.values())
    if watch.outstanding:
        return STALE, min(waiting.sent_at for waiting in watch.outstanding.values())
    if not watch.answered:
        return NOT_SENT, watch.since
    return (STALE, _waiting_since(watch, beside)) if watch.pending else (SYNCED, watch.since)


def _waiting_since(watch: Watch, beside: Iterable[Watch]) -> float:
    """What could be sent and is not waits for an answer, of this type or of another (order.py)."""
    unanswered = [one.sent_at for other in beside for one in other.outstanding.values()]
    return watch.removals_deferred_since or min(unanswered, default=watch.since)


def _held(holds: Holds | None, watch: Watch, now: float) -> float:
    until = holds.until(watch.type.url, now) if holds is not None else None
    return 0.0 if until is None else until - now


def _reason(watch: Watch, revision: int, now: float, holds: Holds) -> str:
    if watch.rejections:
        for name, rejection in watch.current_rejections().items():
            if rejection.floor <= revision:
                return f"{watch.type.short} NACKed: {name}: {rejection.error}"
    for waiting in watch.outstanding.values():
        if waiting.floor <= revision:
            return f"{watch.type.short} not acknowledged for {now - waiting.sent_at:.1f} s"
    if not (watch.pending and _misses(watch, revision)):
        return ""
    held = _held(holds, watch, now)
    return f"{watch.type.short} " + (f"held back for {held:.1f} s more" if held else "not sent yet")


def _misses(watch: Watch, revision: int) -> bool:
    """True when something of a state at or before `revision` is still to be sent."""
    divergence = watch.divergence or {}
    if watch.everything or any(missed.revision <= revision for missed in divergence.values()):
        return True
    return watch.position != watch.group.end and watch.group.oldest_change(watch.position) <= revision
