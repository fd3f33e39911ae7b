"""The rules across the types of one stream: make before break (docs/protocol.md 8).

Types are flushed in the order CDS, EDS, SDS, LDS, RDS, others (`ResourceType.order`). Besides that:

| what waits                         | for what                                         | no longer than                  |
|------------------------------------|--------------------------------------------------|---------------------------------|
| LDS and RDS, removals too          | the answer to CDS and EDS that bring new names   | 1 s after these, 3 s altogether |
| removals of CDS                    | LDS and RDS: everything sent and acknowledged    | 5 s                             |
| removals of EDS                    | the removal of its cluster, sent and acknowledged | the row above                  |
| nothing of CDS, EDS and SDS, ever  | an ACK of CDS: Envoy withholds it while it warms | -                               |

Rule: every wait ends by itself. A `Deferral` says when, and the session's deadline follows.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, NamedTuple

from tsunagu.xds.resources import CDS, EDS, LDS, RDS
from tsunagu.xds.watch import NO_DEFERRAL, Deferral

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from tsunagu.xds.resources import Resource
    from tsunagu.xds.waits import Waits
    from tsunagu.xds.watch import Watch


class Moment(NamedTuple):
    """What the rules look at: the watches of a stream by type url, the longest waits, and the time (seconds)."""

    watches: Mapping[str, Watch]
    waits: Waits
    now: float


def deferral(moment: Moment, watch: Watch) -> Deferral:
    """Return what of this watch has to wait now."""
    rule = _RULES.get(watch.type.url)
    return rule(moment, watch) if rule else NO_DEFERRAL


def endpoints_to_repeat(watches: Mapping[str, Watch], clusters: Iterable[Resource]) -> set[str]:
    """Return the EDS names that the client asks for and whose clusters it is being sent, new or changed. It warms these
    clusters anew and waits for their endpoints, which have not changed (docs/protocol.md 8).
    """
    watch = watches.get(EDS)
    if watch is None or watch.everything:
        return set()
    return {one.eds_name for one in clusters if one.eds_name and watch.subscription.covers(one.eds_name)}


def _until_introduced(moment: Moment, watch: Watch) -> Deferral:
    now, waits = moment.now, moment.waits
    newest = max(
        (
            waiting.sent_at + waits.warming
            for other in _those(moment.watches, CDS, EDS)
            for waiting in other.outstanding.values()
            if waiting.introduces
        ),
        default=now,
    )
    since = watch.deferred_since
    until = min(newest, (now if since is None else since) + waits.warming_total)
    return Deferral(until, until) if until > now else NO_DEFERRAL


def _until_routes_settle(moment: Moment, watch: Watch) -> Deferral:
    if not any(
        other.pending or other.outstanding or other.current_rejections() for other in _those(moment.watches, LDS, RDS)
    ):
        return NO_DEFERRAL
    since = watch.removals_deferred_since
    until = (moment.now if since is None else since) + moment.waits.removals
    return Deferral(removals_until=until) if until > moment.now else NO_DEFERRAL


def _until_cluster_is_gone(moment: Moment, _watch: Watch) -> Deferral:
    clusters = moment.watches.get(CDS)
    if clusters is None or (clusters.removals_deferred_since is None and not clusters.outstanding):
        return NO_DEFERRAL
    if clusters.removals_deferred_since is not None or any(one.removes for one in clusters.outstanding.values()):
        return Deferral(removals_until=inf)
    return NO_DEFERRAL


_RULES: dict[str, Callable[[Moment, Watch], Deferral]] = {
    CDS: _until_routes_settle,
    EDS: _until_cluster_is_gone,
    LDS: _until_introduced,
    RDS: _until_introduced,
}


def _those(watches: Mapping[str, Watch], *urls: str) -> Iterable[Watch]:
    return [watches[url] for url in urls if url in watches]
