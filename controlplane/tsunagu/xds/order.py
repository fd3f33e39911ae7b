"""The rules across types on one stream: make before break (docs/protocol.md 8).

Types are flushed in the order CDS, EDS, SDS, LDS, RDS, others (`ResourceType.order`). Besides that:

| what waits                         | for what                                        | no longer than              |
|------------------------------------|-------------------------------------------------|-----------------------------|
| LDS and RDS, removals too          | the answer to CDS, EDS that bring new names     | 1 s after these, 3 s in all |
| removals of CDS                    | LDS and RDS: all sent, all ACKed                | 5 s                         |
| removals of EDS                    | the removal of its cluster, sent and ACKed      | the row above               |
| nothing of CDS, EDS, SDS ever      | an ACK of CDS: Envoy withholds it while it warms | -                          |

Rule: every wait ends by itself; `Hold.until` says when, and the session's deadline follows.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

from tsunagu.xds.resources import CDS, EDS, LDS, RDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tsunagu.xds.resources import Resource
    from tsunagu.xds.session import Session
    from tsunagu.xds.watch import Watch

WARMING_HOLD = 1.0  # s; a listener sent beside its warming cluster gave EOF to the first connection
WARMING_HOLDS = 3.0  # s; or where new clusters never cease to come no listener would
REMOVAL_HOLD = 5.0  # s


@dataclass(frozen=True, slots=True)
class Hold:
    """Until when a type's new content and its removals wait; None: they do not."""

    upserts_until: float | None = None
    removals_until: float | None = None


OPEN = Hold()


def hold(session: Session, watch: Watch, now: float) -> Hold:
    """What of this type has to wait now."""
    rule = _RULES.get(watch.type.url)
    return rule(session, watch, now) if rule else OPEN


def _until_introduced(session: Session, watch: Watch, now: float) -> Hold:
    newest = max(
        (
            waiting.sent_at + WARMING_HOLD
            for watch in _watches(session, CDS, EDS)
            for waiting in watch.outstanding.values()
            if waiting.introduces
        ),
        default=now,
    )
    since = watch.held_since
    until = min(newest, (now if since is None else since) + WARMING_HOLDS)
    return Hold(until, until) if until > now else OPEN


def _until_routes_settle(session: Session, watch: Watch, now: float) -> Hold:
    if not any(
        other.pending or other.outstanding or other.current_rejections() for other in _watches(session, LDS, RDS)
    ):
        return OPEN
    since = watch.removals_held_since
    until = (now if since is None else since) + REMOVAL_HOLD
    return Hold(removals_until=until) if until > now else OPEN


def _until_cluster_is_gone(session: Session, _watch: Watch, _now: float) -> Hold:
    clusters = session.watches.get(CDS)
    if clusters is None or (clusters.removals_held_since is None and not clusters.outstanding):
        return OPEN
    if clusters.removals_held_since is not None or any(one.removes for one in clusters.outstanding.values()):
        return Hold(removals_until=inf)
    return OPEN


_RULES: dict[str, Callable[[Session, Watch, float], Hold]] = {
    CDS: _until_routes_settle,
    EDS: _until_cluster_is_gone,
    LDS: _until_introduced,
    RDS: _until_introduced,
}


def endpoints_to_repeat(session: Session, clusters: Iterable[Resource]) -> set[str]:
    """The EDS names that the client asks for and whose clusters it is being sent, new or changed: it warms them anew
    and waits for their endpoints, which have not changed (docs/protocol.md 8).
    """
    watch = session.watches.get(EDS)
    if watch is None or watch.everything:
        return set()
    return {
        cluster.eds_name for cluster in clusters if cluster.eds_name and watch.subscription.covers(cluster.eds_name)
    }


def _watches(session: Session, *urls: str) -> Iterable[Watch]:
    return [session.watches[url] for url in urls if url in session.watches]
