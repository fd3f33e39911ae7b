"""Delta: requests and responses are differences, by name; what a client holds is known by name and version.

Rule: several responses of a type may be outstanding: a cluster that warms must not hold back the next. A change to a name in
flight waits for its answer, and merges; after `Waits.warm_up` or `Waits.answer` it overtakes (docs/protocol.md 7, 8).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tsunagu.xds.actions import Action, Subscribed
from tsunagu.xds.answers import OUTSTANDING_LIMIT, Response
from tsunagu.xds.encode import removed_field, unresolved_entries
from tsunagu.xds.group import Batch
from tsunagu.xds.heartbeats import NEWS
from tsunagu.xds.pieces import pieces
from tsunagu.xds.requests.decode import decode_delta
from tsunagu.xds.resources import CDS, EDS, PLACEHOLDERS, Resource, placeholder
from tsunagu.xds.session import Session, Variant
from tsunagu.xds.subscription import STAR, Wildcard, adjust

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tsunagu.xds.requests.decode import Request
    from tsunagu.xds.watch import Deferral, Watch


class Delta(Variant):
    """The incremental variant."""

    name = "delta"
    whole_state = False
    identifier_number = 7

    def decode(self, data: bytes) -> Request:
        return decode_delta(data)

    def claims(self, watch: Watch, request: Request) -> Mapping[str, str] | None:
        """The versions that the client still holds. Not relied on for endpoints and secrets: a cluster that warms waits
        for an answer, and Envoy asks for no other cluster until it has one (docs/protocol.md 12).
        """
        return request.initial if request.initial and not watch.type.always_answered else None

    def receive(self, session: Session, watch: Watch, request: Request, now: float) -> list[Action]:
        """A stale nonce invalidates the ACK alone: the names would not be sent again (docs/protocol.md 3)."""
        actions = session.answer(watch, request, now) if request.nonce else []
        if request.names or request.dropped:
            actions.append(_resubscribe(session, watch, request))
        return actions

    def flush(self, session: Session, watch: Watch, deferral: Deferral, now: float) -> list[Action]:
        """Send what the client misses and what no unanswered response contains."""
        if watch.claims:
            _compare(watch)
        if not watch.pending:
            return []
        if watch.outstanding:
            session.wait_until(watch.next_overtaking(now, deferral.patience))
            if len(watch.outstanding) >= OUTSTANDING_LIMIT and watch.since + deferral.patience > now:
                return []
        if watch.everything:
            return _flush_everything(session, watch, deferral, now)
        news, deferred = watch.take(deferral, now, placeholders=_placeholders(session))
        if deferred:
            session.wait_until(deferral.upserts_until)
        elif watch.forced and not watch.outstanding:
            session.wait_until(now)
        return _send(session, watch, news, now) if news.names else []

    def entries(self, batch: Batch) -> tuple[bytes, ...]:
        return batch.delta_entries

    def repeat(self, watch: Watch, names: set[str]) -> None:
        """Envoy does not ask again for the endpoints of a changed cluster: they are sent unasked (docs/protocol.md 8)."""
        watch.force(names, "cluster changed", again=True)

    def heartbeat(self, watch: Watch, batch: Batch) -> Response | None:
        """Name the resources without their bodies."""
        if len(watch.outstanding) >= OUTSTANDING_LIMIT:
            return None
        entries = tuple([resource.delta_heartbeat for resource in batch.upserts])
        return Response(batch, entries, watch.group.version, NEWS)


def _resubscribe(session: Session, watch: Watch, request: Request) -> Subscribed:
    before, dropped = watch.subscription, request.dropped or []
    after = adjust(before, request.names, dropped, session.catalog.names)
    known = before.names.names.intersection(dropped)
    watch.forget(name for name in known if not after.covers(name))
    session.resubscribe(watch, after)
    if before.wildcard is Wildcard.NONE and after.wildcard is not Wildcard.NONE:
        _begin_wildcard(watch, before.names.names)
    watch.force((name for name in request.names if name != STAR), "subscribe")
    if after.wildcard is not Wildcard.NONE:  # it has to learn what the wildcard says of them (docs/protocol.md 4)
        watch.force(known.difference(request.names), "subscribe")
    return Subscribed(watch.type.url, frozenset(request.names), frozenset(dropped), "subscribe")


def _begin_wildcard(watch: Watch, named: frozenset[str]) -> None:
    """`*` joins: what was not asked for by name has not been sent."""
    if not named:
        watch.restart("subscribe")
        return
    missed = {one.name: None for one in watch.group.existing().upserts if one.name not in named}
    watch.diverge(missed, "subscribe")


def _flush_everything(session: Session, watch: Watch, deferral: Deferral, now: float) -> list[Action]:
    batch, later = _with_missing(watch, placeholders=_placeholders(session))
    if watch.subscription.wildcard is Wildcard.NONE and not batch.names:
        watch.caught_up()
        return []
    if deferral.upserts_until is not None and batch.upserts:
        watch.defer_everything(now)
        session.wait_until(deferral.upserts_until)
        return []
    watch.caught_up()
    watch.force(later, "subscribe")
    return _send(session, watch, batch, now)


def _placeholders(session: Session) -> int:
    """How many names without endpoints may be answered by an empty assignment: a client that takes clusters on this
    stream asks for the endpoints of one that it was sent.
    """
    return PLACEHOLDERS if CDS in session.watches else 0


def _with_missing(watch: Watch, *, placeholders: int) -> tuple[Batch, tuple[str, ...]]:
    """Everything, with an answer for each name that does not exist; and the names that are left for later."""
    batch = watch.group.full()
    if not batch.missing or watch.type.url != EDS or not placeholders:
        return Batch(batch.upserts, batch.missing) if batch.missing else batch, ()
    answers = {name: placeholder(watch.type, name) for name in batch.missing[:placeholders]}
    made_up = tuple(one for one in answers.values() if one is not None)
    absent = tuple(name for name, one in answers.items() if one is None)
    return Batch((*batch.upserts, *made_up), absent), batch.missing[placeholders:]


def _compare(watch: Watch) -> None:
    """Replace what the client claims to hold by where that differs from what there is."""
    claims = watch.claims
    assert claims is not None and not isinstance(claims, str), "delta's claims are versions by name"  # noqa: PT018
    differs: dict[str, Resource | None] = {}
    for resource in watch.group.existing().upserts:
        version = claims.get(resource.name)
        if version != resource.version:
            differs[resource.name] = None if version is None else _claimed(watch, resource.name, version)
    for name, version in claims.items():
        if watch.group.covers(name) and watch.group.current(name) is None:
            differs[name] = _claimed(watch, name, version)
    watch.compared(differs)
    unclaimed = (name for name in watch.subscription.names.names if name not in claims)
    watch.force((name for name in unclaimed if watch.group.current(name) is None), "reconnect")


def _claimed(watch: Watch, name: str, version: str) -> Resource:
    """A resource that only the client has: of it we know the version."""
    return Resource(watch.type.url, name, version, b"")


def _send(session: Session, watch: Watch, batch: Batch, now: float) -> list[Action]:
    actions: list[Action] = []
    for piece in pieces(batch, batch.delta_entries, lambda resource: len(resource.delta_entry)):
        entries = piece.delta_entries
        if piece.removed or watch.type.aliased:
            entries = (*entries, _absent(watch, piece))
        actions.append(session.send(watch, Response(piece, entries, watch.group.version, piece), now))
    return actions


def _absent(watch: Watch, batch: Batch) -> bytes:
    """What a client has to let go of with a batch, encoded. Of a type with aliases a resource is removed by its own name,
    once none of the names that the client asks for leads to it; an alias that leads to nothing is told as such, for Envoy
    lets a request wait for the answer to it.
    """
    if not watch.type.aliased:
        return removed_field(batch.removed)
    held = batch.held or {}
    lost = {name: told for name in batch.names if (told := _told(held.get(name))) and not _leads_to(watch, told)}
    return unresolved_entries([name for name in batch.removed if name not in lost]) + removed_field(
        dict.fromkeys(lost[name] for name in sorted(lost))
    )


def _told(held: Resource | None) -> str:
    """The name by which a client was sent what it holds; empty: it holds nothing."""
    return (held.alias_of or held.name) if held is not None and held.version else ""


def _leads_to(watch: Watch, name: str) -> bool:
    """True when the client asks for a resource, by its name or an alias."""
    resource = watch.group.source.get(name)
    return resource is not None and any(watch.subscription.covers(one) for one in (name, *resource.aliases))


DELTA = Delta()
