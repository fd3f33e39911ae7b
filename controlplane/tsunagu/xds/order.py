"""The rules across the types of one stream: make before break (docs/protocol.md 8).

Types are flushed in the order CDS, EDS, SDS, LDS, RDS, others (`ResourceType.order`). Besides that:

| what waits                       | for what                                              | no longer than                  |
|----------------------------------|-------------------------------------------------------|---------------------------------|
| LDS and RDS, removals too        | new clusters: to be sent, and, with EDS, the answer   | 1 s after these, 3 s altogether |
| removals of CDS                  | LDS and RDS: everything sent and acknowledged         | 5 s                             |
| "                                | connections of a changed listener that route as before | 0.5 s                          |
| removals of EDS                  | the removal of its cluster, sent and acknowledged     | 10 s: twice that of CDS         |
| newer content of a name          | the answer to the response that has the older         | CDS 0.25 s, others 5 s          |
| CDS, EDS and SDS, otherwise      | nothing: Envoy withholds the ACK of CDS while it warms | -                              |

What a client has refused while something that it depends on was unsettled (`_DEPENDS_ON`) is sent once more when that is
settled: the server's own order may have been the reason. So is what it has refused with an error that names something
which it acknowledges later: there was no such cluster when the listener came. The times are those of `waits.py`.

Rule: every wait ends by itself. A `Deferral` says when, and the session's deadline follows.
"""

from __future__ import annotations

from dataclasses import replace
from math import inf
from typing import TYPE_CHECKING, NamedTuple

from tsunagu.xds.actions import Deferred
from tsunagu.xds.resources import CDS, ECDS, EDS, LDS, RDS, SDS
from tsunagu.xds.watch import NO_DEFERRAL, Deferral

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from tsunagu.xds.resources import Resource
    from tsunagu.xds.waits import Waits
    from tsunagu.xds.watch import Watch


#: The rules of the table above, as an operator is told of them.
CLUSTERS_FIRST = "new clusters come before what leads to them"
ROUTES_FIRST = "clusters go after the listeners and routes that lead to them"
CONNECTIONS_FIRST = "clusters go after the connections of a changed listener"
CLUSTER_FIRST = "endpoints go after their cluster"
TOLD_NAMES = 8  # that an operator is told of; a deferral may be of thousands, on each stream

#: What a client may refuse because of something else that it has not acknowledged yet.
_DEPENDS_ON = {LDS: (CDS, SDS, ECDS), RDS: (CDS,), CDS: (SDS,)}


class Moment(NamedTuple):
    """What the rules look at: the watches of a stream by type url, the longest waits, and the time (seconds)."""

    watches: Mapping[str, Watch]
    waits: Waits
    now: float


def deferral(moment: Moment, watch: Watch) -> Deferral:
    """Return what of this watch has to wait now."""
    rule = _RULES.get(watch.type.url)
    found = rule(moment, watch) if rule else NO_DEFERRAL
    if not watch.outstanding:
        return found
    patience = moment.waits.warm_up if watch.type.url == CDS else moment.waits.answer
    return replace(found, patience=patience)


def told(moment: Moment, watch: Watch) -> Deferred:
    """Return what an operator is told of a watch of which something is deferred from now on."""
    names, more = watch.deferred_names(TOLD_NAMES)
    found = deferral(moment, watch)
    until = found.removals_until if found.upserts_until is None else found.upserts_until
    return Deferred(watch.type.url, names, more, found.why, moment.now if until is None else until)


def unsettled(watches: Mapping[str, Watch], watch: Watch) -> bool:
    """True when the client may refuse what it is sent because of what it has not acknowledged of another type."""
    depends_on = _DEPENDS_ON.get(watch.type.url)
    if depends_on is None:
        return False
    if CDS in depends_on and CDS not in watches:
        return True  # Envoy asks for clusters later on a new stream, when one of an earlier stream warms
    return any(not other.settled for other in _those(watches, *depends_on))


def reconsider(watches: Mapping[str, Watch], watch: Watch, introduced: frozenset[str]) -> None:
    """The client has acknowledged names that are new to it: what it has refused for want of them is sent once more."""
    for url, depends_on in _DEPENDS_ON.items() if introduced else ():
        if watch.type.url in depends_on and url in watches:
            watches[url].reconsider(introduced)


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
    if any(clusters.introduces for clusters in _those(moment.watches, CDS)):
        newest = now + waits.warming
    since = watch.deferred_since
    until = min(newest, (now if since is None else since) + waits.warming_total)
    return Deferral(until, until, why=CLUSTERS_FIRST) if until > now else NO_DEFERRAL


def _until_routes_settle(moment: Moment, watch: Watch) -> Deferral:
    others = _those(moment.watches, LDS, RDS)
    if any(other.pending or other.outstanding or other.current_rejections() for other in others):
        return _no_longer_than(moment.waits.removals, moment, watch, ROUTES_FIRST)
    replaced = [listeners.replaced_at for listeners in _those(moment.watches, LDS)]
    until = max(replaced, default=-inf) + moment.waits.connections
    return Deferral(removals_until=until, why=CONNECTIONS_FIRST) if until > moment.now else NO_DEFERRAL


def _no_longer_than(longest: float, moment: Moment, watch: Watch, why: str) -> Deferral:
    """Defer removals, each for so many seconds: one that has waited does not shorten the wait of the next."""
    overdue = moment.now - longest
    waiting = [at for at in (watch.removals_deferred or {}).values() if at > overdue]
    return Deferral(removals_until=min(waiting, default=moment.now) + longest, overdue=overdue, why=why)


def _until_cluster_is_gone(moment: Moment, watch: Watch) -> Deferral:
    clusters = moment.watches.get(CDS)
    if clusters is None or not (clusters.pending or clusters.outstanding):
        return NO_DEFERRAL
    if clusters.removes or any(one.removes for one in clusters.outstanding.values()):
        return _no_longer_than(2 * moment.waits.removals, moment, watch, CLUSTER_FIRST)
    return NO_DEFERRAL


_RULES: dict[str, Callable[[Moment, Watch], Deferral]] = {
    CDS: _until_routes_settle,
    EDS: _until_cluster_is_gone,
    LDS: _until_introduced,
    RDS: _until_introduced,
}


def _those(watches: Mapping[str, Watch], *urls: str) -> Iterable[Watch]:
    return [watches[url] for url in urls if url in watches]
