"""What a stream's state means to an operator, and to the barrier.

Rule: SYNCED means ACKed. What is unsent, unanswered or refused has a word of its own, and the reason in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tsunagu.xds.resources import CDS, LDS, TYPES

if TYPE_CHECKING:
    from tsunagu.xds.session import Session
    from tsunagu.xds.watch import Rejection, Watch

SYNCED, STALE, NACKED, NOT_SENT = "SYNCED", "STALE", "NACKED", "NOT_SENT"


@dataclass(frozen=True, slots=True)
class TypeState:
    """One type of one proxy. `age` is for how many seconds it has been in this state."""

    type: str  # short name
    state: str  # SYNCED, STALE, NACKED, NOT_SENT
    age: float
    resources: int
    version: str  # the newest accepted: of the type (SotW), of what its response was computed from (delta)
    error: str = ""
    rejected: tuple[str, ...] = ()


def type_state(watch: Watch, now: float) -> TypeState:
    """The state of a type on its stream."""
    rejections = watch.current_rejections()
    error = next(iter(rejections.values())).message if rejections else ""
    state, since = _state(watch, rejections)
    return TypeState(
        watch.type.short,
        state,
        max(0.0, now - since),
        watch.group.count,
        watch.accepted,
        error,
        tuple(sorted(rejections)),
    )


def _state(watch: Watch, rejections: dict[str, Rejection]) -> tuple[str, float]:
    if rejections:
        return NACKED, max(said.at for said in rejections.values())
    if watch.outstanding:
        return STALE, min(waiting.sent_at for waiting in watch.outstanding.values())
    if not watch.answered:
        return NOT_SENT, watch.since
    return (STALE, _held_since(watch)) if watch.pending else (SYNCED, watch.since)


def _held_since(watch: Watch) -> float:
    """What could be sent and is not waits for an answer, of this type or of another (order.py)."""
    waits = [one.sent_at for other in watch.session.watches.values() for one in other.outstanding.values()]
    return watch.removals_held_since or min(waits, default=watch.since)


def unconverged(sessions: list[Session], revision: int, now: float) -> str:
    """Why a proxy with these streams has not ACKed everything at `revision`; empty when it has.

    A client that takes everything by wildcard has to have asked for clusters and listeners: one that starts asks for
    listeners only when its clusters are warm.
    """
    watches = sessions[0].watches
    for session in sessions[1:]:
        watches = watches | session.watches
    scope = sessions[0].scope
    if scope is not None and scope.legacy_wildcard:
        for url in (CDS, LDS):
            if url not in watches:
                return f"{TYPES[url].short} not asked for"
    for watch in watches.values():  # asked at each ACK while someone waits, so nothing is made for nothing
        reason = _reason(watch, revision, now)
        if reason:
            return reason
    return ""


def _reason(watch: Watch, revision: int, now: float) -> str:
    if watch.rejections:
        for name, said in watch.current_rejections().items():
            if said.floor <= revision:
                return f"{watch.type.short} NACKed: {name}: {said.message}"
    for waiting in watch.outstanding.values():
        if waiting.floor <= revision:
            return f"{watch.type.short} not acknowledged for {now - waiting.sent_at:.1f} s"
    return f"{watch.type.short} not sent yet" if watch.pending and _lacks(watch, revision) else ""


def _lacks(watch: Watch, revision: int) -> bool:
    """True when something of a view at or before `revision` is still to be sent."""
    lacks = watch.exceptions or {}
    if watch.everything or any(lack.revision <= revision for lack in lacks.values()):
        return True
    return watch.position != watch.group.end and watch.group.oldest_change(watch.position) <= revision
