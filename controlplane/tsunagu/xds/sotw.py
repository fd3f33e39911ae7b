"""State of the world: a request names the whole subscription, a response of LDS or CDS is the whole state.

Rule: at most one response per type is outstanding. A request with an older nonce answers nothing, yet the names in it are
what the client wants now: a client that lets go of all its names may answer no later response (docs/protocol.md 2, 3).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tsunagu.xds.actions import Action, Stale, Subscribed
from tsunagu.xds.decode import decode_sotw
from tsunagu.xds.group import Batch
from tsunagu.xds.heartbeats import NEWS
from tsunagu.xds.resources import sum_version
from tsunagu.xds.session import Response, Session, Variant
from tsunagu.xds.subscription import Subscription, Wildcard
from tsunagu.xds.subscription import replace as replace_names

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tsunagu.xds.decode import Request
    from tsunagu.xds.order import Hold
    from tsunagu.xds.resources import Resource
    from tsunagu.xds.watch import Watch


def receive(session: Session, watch: Watch, request: Request, now: float) -> list[Action]:
    """A request that is not the first of its type."""
    actions: list[Action] = []
    stale = bool(request.nonce) and request.nonce != watch.nonce
    if stale:
        actions.append(Stale(watch.type.url, request.nonce))
    elif request.nonce in watch.outstanding:
        actions += session.answer(watch, request, now)
    subscription = replace_names(watch.subscription, request.names, session.catalog.names)
    if subscription is not watch.subscription:
        actions.append(_resubscribe(session, watch, subscription))
    if watch.recheck and not stale:
        repeated, watch.recheck = watch.recheck, None
        watch.owe(filter(subscription.covers, repeated), "cluster changed", again=True)
    return actions


def _resubscribe(session: Session, watch: Watch, subscription: Subscription) -> Subscribed:
    before = watch.subscription
    added = subscription.asked - before.asked
    dropped = before.asked - subscription.asked
    watch.forget(dropped)
    session.resubscribe(watch, subscription)
    if subscription.wildcard is not Wildcard.NONE and before.wildcard is Wildcard.NONE:
        watch.caught_up()
        watch.everything, watch.cause = True, "subscribe"
    else:
        flies = bool(watch.outstanding) and watch.type.full_state  # a state that may hold what has gone since
        watch.owe((name for name in added if flies or watch.group.current(name) is not None), "subscribe")
    return Subscribed(watch.type.url, added, dropped, "subscribe")


def claims(watch: Watch, request: Request) -> str | None:
    """The version that the client has accepted. Only a response that is the whole state can be spared by it: a name
    asked for on a new stream is a new subscription (docs/protocol.md 4).
    """
    return request.version if watch.type.full_state else None


def flush(session: Session, watch: Watch, hold: Hold, now: float) -> list[Action]:
    """Send what the client lacks, unless it still owes an answer."""
    if watch.outstanding:
        return []
    if watch.everything:
        return _flush_everything(session, watch, hold, now)
    news, kept = watch.take(hold, now)
    if kept:
        session.wait_until(hold.upserts_until)
    if not watch.type.full_state:  # what is gone is not told: absence means nothing in these types (docs/protocol.md 6)
        return _send(session, watch, news, news, now) if news.upserts else []
    if not news.names:
        return []
    return _send(session, watch, _overlaid(watch, kept) if kept else watch.group.full(), news, now)


def repeat(watch: Watch, names: set[str]) -> None:
    """Envoy asks again for the endpoints of a changed cluster, in a request that looks like an ACK (docs/protocol.md 8)."""
    watch.recheck = (watch.recheck or set()) | names


def keep(watch: Watch, batch: Batch) -> Response | None:
    """Say these again, bodies and all, for Envoy lets lapse what it hears of without. Of a whole state that is all of it,
    if none of it is refused.
    """
    if watch.outstanding:
        return None
    if not watch.type.full_state:
        return Response(batch, batch.sotw_entries, watch.accepted or watch.group.version, NEWS)
    if watch.rejections or watch.exceptions:
        return None
    whole = watch.group.full()
    return Response(whole, whole.sotw_entries, watch.group.version, NEWS)


def _flush_everything(session: Session, watch: Watch, hold: Hold, now: float) -> list[Action]:
    batch = watch.group.full()
    unchanged = bool(watch.claims) and watch.claims == watch.group.version
    silent = not batch.upserts and not watch.type.full_state and watch.subscription.wildcard is Wildcard.NONE
    if unchanged or silent or watch.subscription.nothing:
        watch.caught_up()
        watch.answered = watch.answered or unchanged
        return []
    if hold.upserts_until is not None and batch.upserts:
        watch.hold_everything(now)
        session.wait_until(hold.upserts_until)
        return []
    watch.caught_up()
    return _send(session, watch, batch, batch, now)


def _send(session: Session, watch: Watch, batch: Batch, news: Batch, now: float) -> list[Action]:
    if watch.recheck:
        watch.recheck -= batch.names
    version = batch.version or watch.group.version
    return [session.send(watch, Response(batch, batch.sotw_entries, version, news), now)]


def _overlaid(watch: Watch, kept: Mapping[str, Resource | None]) -> Batch:
    """The whole state, with what the client has in the place of what is held back."""
    now = {resource.name: resource for resource in watch.group.full().upserts}
    for name, held in kept.items():
        if held is None:
            now.pop(name, None)
        else:
            now[name] = held
    version = sum_version(sum(resource.digest for resource in now.values()))
    return Batch(tuple(now.values()), (), {}, version=version)


SOTW = Variant("sotw", True, 6, decode_sotw, claims, receive, flush, repeat, keep)
