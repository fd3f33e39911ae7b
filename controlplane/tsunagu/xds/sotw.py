"""State of the world: a request names the whole subscription, a response of LDS or CDS is the whole state.

Rule: the next response of a type waits for the answer to the one before, but not for ever (`Waits`). A request with an older nonce answers nothing, yet the names in it are
what the client wants now: a client that unsubscribes from all its names may answer no later response (docs/protocol.md 2, 3).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tsunagu.xds.actions import Action, Stale, Subscribed
from tsunagu.xds.answers import Response
from tsunagu.xds.group import Batch
from tsunagu.xds.heartbeats import NEWS
from tsunagu.xds.pieces import pieces
from tsunagu.xds.requests.decode import decode_sotw
from tsunagu.xds.resources import EDS, PLACEHOLDERS, placeholder, sum_version
from tsunagu.xds.session import Session, Variant
from tsunagu.xds.subscription import Subscription, Wildcard
from tsunagu.xds.subscription import replace as replace_names

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tsunagu.xds.requests.decode import Request
    from tsunagu.xds.resources import Resource
    from tsunagu.xds.watch import Deferral, Watch


class Sotw(Variant):
    """The older variant; the only one that gRPC's own clients speak."""

    name = "sotw"
    whole_state = True
    identifier_number = 6

    def decode(self, data: bytes) -> Request:
        return decode_sotw(data)

    def claims(self, watch: Watch, request: Request) -> str | None:
        """The version that the client has accepted. Only a response to a wildcard can be spared by it: a name asked for on a
        new stream is a new subscription, and one that does not exist changes no version (docs/protocol.md 4).
        """
        whole = watch.type.full_state and watch.subscription.wildcard is not Wildcard.NONE
        return request.version if whole else None

    def receive(self, session: Session, watch: Watch, request: Request, now: float) -> list[Action]:
        actions: list[Action] = []
        stale = bool(request.nonce) and request.nonce != watch.nonce
        if request.nonce in watch.outstanding:
            actions += session.answer(watch, request, now)
        elif stale:
            actions.append(Stale(watch.type.url, request.nonce))
        subscription = replace_names(watch.subscription, request.names, session.catalog.names)
        if subscription is not watch.subscription:
            actions.append(_resubscribe(session, watch, subscription))
        if watch.recheck and not stale:
            watch.force(filter(subscription.covers, watch.asked_again()), "cluster changed", again=True)
        return actions

    def flush(self, session: Session, watch: Watch, deferral: Deferral, now: float) -> list[Action]:
        """Send what the client misses, unless a response is outstanding."""
        if watch.outstanding and (until := watch.next_overtaking(now, deferral.patience)) is not None:
            session.wait_until(until if watch.pending else None)
            return []
        if watch.everything:
            return _flush_everything(session, watch, deferral, now)
        news, deferred = watch.take(deferral, now, placeholders=PLACEHOLDERS)
        if deferred:
            session.wait_until(deferral.upserts_until)
        if not watch.type.full_state:  # removals are not sent: absence means nothing here (docs/protocol.md 6)
            return _send_parts(session, watch, news, now) if news.upserts else []
        if not news.names:
            return []
        response = _overlaid(watch, deferred, news) if deferred else _response(watch, watch.group.full(), news)
        return [session.send(watch, response, now)]

    def entries(self, batch: Batch) -> tuple[bytes, ...]:
        return batch.sotw_entries

    def repeat(self, watch: Watch, names: set[str]) -> None:
        """Envoy asks again for the endpoints of a changed cluster, in a request that looks like an ACK (docs/protocol.md 8)."""
        watch.expect(names)

    def heartbeat(self, watch: Watch, batch: Batch) -> Response | None:
        """Send these again with their bodies, for Envoy counts no heartbeat without one. Of a whole state that is all of
        it, if none of it is refused.
        """
        if watch.outstanding:
            return None
        if not watch.type.full_state:
            return Response(batch, batch.sotw_entries, watch.accepted or watch.group.version, NEWS)
        if watch.rejections or watch.divergence:
            return None
        return _response(watch, watch.group.full(), NEWS)


def _resubscribe(session: Session, watch: Watch, subscription: Subscription) -> Subscribed:
    before = watch.subscription
    added = subscription.asked - before.asked
    dropped = before.asked - subscription.asked
    watch.forget(dropped)
    session.resubscribe(watch, subscription)
    if subscription.wildcard is not Wildcard.NONE and before.wildcard is Wildcard.NONE:
        watch.restart("subscribe")
    else:
        in_flight = bool(watch.outstanding) and watch.type.full_state  # a state that may hold what is gone since
        waited_for = in_flight or watch.type.url == EDS  # Envoy waits for each (docs/protocol.md 8)
        watch.force(added if waited_for else watch.group.answers(added), "subscribe")
    return Subscribed(watch.type.url, added, dropped, "subscribe", subscription.asked)


def _flush_everything(session: Session, watch: Watch, deferral: Deferral, now: float) -> list[Action]:
    batch, later = _with_placeholders(watch)
    if bool(watch.claims) and watch.claims == watch.group.version:
        watch.needs_nothing()
        return []
    silent = not batch.upserts and not watch.type.full_state and watch.subscription.wildcard is Wildcard.NONE
    if silent or watch.subscription.nothing:
        watch.caught_up()
        return []
    if deferral.upserts_until is not None and batch.upserts:
        watch.defer_everything(now)
        session.wait_until(deferral.upserts_until)
        return []
    watch.caught_up()
    watch.force(later, "subscribe")
    if not watch.type.full_state:
        return _send_parts(session, watch, batch, now)
    return [session.send(watch, _response(watch, batch, batch), now)]


def _send_parts(session: Session, watch: Watch, batch: Batch, now: float) -> list[Action]:
    """Send a part of the state: in several responses, if it is large."""
    parts = pieces(batch, batch.sotw_entries, lambda resource: len(resource.sotw_entry))
    return [session.send(watch, _response(watch, part, part), now) for part in parts]


def _with_placeholders(watch: Watch) -> tuple[Batch, tuple[str, ...]]:
    """Everything, with an answer for each name that does not exist where a client waits for one; and the names that are
    left for later.
    """
    batch = watch.group.full()
    if not batch.missing or watch.type.url != EDS:
        return batch, ()
    made_up = [placeholder(watch.type, name) for name in batch.missing[:PLACEHOLDERS]]
    answers = tuple([one for one in made_up if one is not None])
    return Batch((*batch.upserts, *answers)), batch.missing[PLACEHOLDERS:]


def _response(watch: Watch, batch: Batch, news: Batch) -> Response:
    return Response(batch, batch.sotw_entries, watch.group.version, news)


def _overlaid(watch: Watch, deferred: Mapping[str, Resource | None], news: Batch) -> Response:
    """The whole state, with what the client holds in the place of what is deferred."""
    state = {resource.name: resource for resource in watch.group.full().upserts}
    for name, held in deferred.items():
        if held is None:
            state.pop(name, None)
        else:
            state[name] = held
    batch = Batch(tuple(state.values()))
    return Response(batch, batch.sotw_entries, sum_version(batch.digest_sum), news)


SOTW = Sotw()
