"""One stream of xDS: messages, changes and time go in, actions come out. The place to start reading.

    session = Session(catalog, DELTA)
    session.receive(data, now)   -> [Hello(node)]        the edge finds out who that is
    session.admit(scope, now)    -> [Subscribed, Send]
    session.receive(data, now)   -> [Acked] ...
    session.publish(now)         -> [Send]               after Catalog.publish named this session
    session.tick(now)            -> [Send]               at `deadline`, when a rule of order.py has waited enough

Rule: no socket, no clock, no lock, no callback. Both variants, aggregated or of one type, are this class; what differs
between SotW and delta is in sotw.py and delta.py, and why in docs/protocol.md.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tsunagu.xds import encode, heartbeats, order
from tsunagu.xds import subscription as subscriptions
from tsunagu.xds.actions import Acked, Action, Close, Hello, Nacked, Send, Stale, Subscribed
from tsunagu.xds.decode import BadRequest
from tsunagu.xds.group import Batch
from tsunagu.xds.resources import CDS, EDS, same, sum_version, type_of
from tsunagu.xds.watch import Outstanding, Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tsunagu.xds.bundle import Composite, Mask, Scope
    from tsunagu.xds.catalog import Catalog
    from tsunagu.xds.decode import NodeInfo, Request
    from tsunagu.xds.order import Hold
    from tsunagu.xds.resources import Resource
    from tsunagu.xds.subscription import Subscription

REPAIR = "refused: the last good one again"
TYPE_LIMIT = 64  # types that one stream may ask for; the protocol knows a dozen


@dataclass(frozen=True, slots=True)
class Variant:
    """What SotW and delta do differently."""

    name: str  # sotw, delta
    whole_state: bool  # a response of LDS or CDS is all that there is
    identifier_number: int  # field number of control_plane in a response
    decode: Callable[[bytes], Request]
    claims: Callable[[Watch, Request], Mapping[str, str] | str | None]  # what a first request says the client has
    receive: Callable[[Session, Watch, Request, float], list[Action]]  # a request that is not the first of its type
    flush: Callable[[Session, Watch, Hold, float], list[Action]]
    repeat: Callable[[Watch, set[str]], None]  # endpoints whose clusters were sent changed
    keep: Callable[[Watch, Batch], Response | None]  # says of what lapses that it stays; None: cannot now


@dataclass(slots=True)
class Response:
    """A response to be sent: what stands in it, and what of that is news to the client."""

    batch: Batch
    entries: bytes
    version: str
    news: Batch


class Session:
    """The state of one stream. `type_url` is that of a per-type service, empty on the aggregated one."""

    __slots__ = ("__weakref__", "_counter", "_first", "_order", "_tail", "catalog", "composite", "deadline", "node",
                 "scope", "stream", "type_url", "variant", "watches")  # fmt: skip

    def __init__(
        self, catalog: Catalog, variant: Variant, type_url: str = "", stream: str = "1", identifier: str = ""
    ) -> None:
        self.catalog = catalog
        self.variant = variant
        self.type_url = type_url
        self.stream = stream
        self.watches: dict[str, Watch] = {}
        self.deadline: float | None = None  # when to call `tick`; None: no rule is waiting
        self.node: NodeInfo | None = None
        self.scope: Scope | None = None
        self.composite: Composite | None = None
        self._tail = encode.identifier_field(variant.identifier_number, identifier)
        self._order: list[Watch] = []
        self._counter = 0
        self._first: list[Request] = []  # came before the edge has said who this is

    @property
    def unanswered(self) -> bool:
        """The client owes an answer."""
        for watch in self._order:  # noqa: SIM110  # asked after each message; a generator costs more than the answer
            if watch.outstanding:
                return True
        return False

    def receive(self, data: bytes, now: float) -> list[Action]:
        """A message of the client. The first gives Hello; its answer comes from `admit`."""
        try:
            request = self._check(self.variant.decode(data))
            if self.scope is not None:
                return self._handle(request, now)
            return self._hello(request)
        except BadRequest as error:
            return [Close("INVALID_ARGUMENT", str(error))]

    def admit(self, scope: Scope, now: float) -> list[Action]:
        """The client is who it says, and may see this. Answers what it has sent so far."""
        self.scope = scope
        if self.node is not None:
            self.node = replace(self.node, metadata_bytes=b"")  # has been judged, and may hold a token
        self.composite = self.catalog.compose(scope.bundles, scope.mask)
        self.catalog.sessions.add(self)
        first, self._first = self._first, []
        return [action for request in first for action in self._handle(request, now)]

    def publish(self, now: float) -> list[Action]:
        """The catalog has changed, or is synced: send what concerns this client."""
        return self._flush(now)

    def tick(self, now: float) -> list[Action]:
        """`deadline` has passed."""
        return self._flush(now)

    def rescope(self, bundles: tuple[str, ...], mask: Mask, now: float) -> list[Action]:
        """From now on the client sees other bundles; it is sent the difference."""
        assert self.scope is not None, "rescope follows admit"
        before, self.composite = self.composite, self.catalog.compose(bundles, mask)
        self.scope = replace(self.scope, bundles=bundles, mask=mask)
        for watch in self._order:
            self._regroup(watch)
        if before is not None:
            self.catalog.release(before)
        return self._flush(now)

    def close(self) -> None:
        """The stream has ended: let go of everything shared. May be called twice."""
        for watch in self._order:
            watch.group.leave(watch)
        self.watches, self._order = {}, []
        self.catalog.sessions.discard(self)
        if self.composite is not None:
            self.catalog.release(self.composite)
            self.composite = None

    # What the variants use.

    def answer(self, watch: Watch, request: Request, now: float) -> list[Action]:
        """Book the ACK or NACK that a request may be. Whatever it says of others is left to the variant."""
        waiting = watch.outstanding.pop(request.nonce, None)
        if waiting is None:
            return [Stale(watch.type.url, request.nonce)]
        watch.since = now
        if request.error is not None:
            names, why = watch.reject(waiting, request.error, now)
            refused = Nacked(watch.type.url, waiting.nonce, names, why, now - waiting.sent_at)
            return [refused, *self._repair(watch, waiting, names, now)]
        watch.accept(waiting)
        return [Acked(watch.type.url, waiting.nonce, waiting.version, now - waiting.sent_at)]

    def resubscribe(self, watch: Watch, subscription: Subscription) -> None:
        """Ask for something else, in the group of those that do."""
        assert self.composite is not None, "a watch lives between admit and close"
        watch.move(subscription, self.catalog.group(watch.type, self.composite, subscription))

    def send(self, watch: Watch, response: Response, now: float) -> Send:
        """Make a response outstanding. The books are right before the bytes leave (pitfall P19)."""
        self._counter += 1
        nonce = f"{self.stream}-{self._counter}"
        batch, news = response.batch, response.news
        waiting = Outstanding(
            nonce, response.version, batch.names, now, news.floor, news.introduces, bool(news.removed)
        )
        if watch.type.repaired:
            waiting.brings, waiting.repair = batch.upserts, news.cause == REPAIR
        watch.outstanding[nonce] = waiting
        watch.nonce, watch.answered, watch.since = nonce, True, now
        if batch.mortal:
            watch.heard.update(dict.fromkeys(batch.mortal, now))
        if watch.type.url == CDS:
            self._repeat_endpoints(news)
        payload = encode.response(watch.type.url, response.entries, response.version, nonce, self._tail)
        return Send(
            type_url=watch.type.url,
            payload=payload,
            nonce=nonce,
            version=response.version,
            resources=batch.upserts,
            removed=news.removed,
            cause=news.cause or watch.cause,
            revision=news.revision or self.catalog.revision,
        )

    def wait_until(self, when: float | None) -> None:
        """A rule holds something back until then."""
        if when is not None and (self.deadline is None or when < self.deadline):
            self.deadline = when

    # The rest is private.

    def _hello(self, request: Request) -> list[Action]:
        self._first.append(request)
        if len(self._first) > 1:
            return []
        if request.node is None or not request.node.id:
            raise BadRequest("the first message of a stream must bear a node with an id")
        self.node = request.node
        return [Hello(request.node)]

    def _check(self, request: Request) -> Request:
        url = request.type_url or self.type_url
        if not url:
            raise BadRequest("type_url is missing: an aggregated stream cannot guess it")
        if self.type_url and url != self.type_url:
            raise BadRequest(f"type_url is {url}: this service serves {self.type_url}")
        if url not in self.watches and len(self.watches) >= TYPE_LIMIT:
            raise BadRequest(f"more than {TYPE_LIMIT} types on one stream")
        return request if request.type_url else replace(request, type_url=url)

    def _handle(self, request: Request, now: float) -> list[Action]:
        watch = self.watches.get(request.type_url)
        actions = self._open(request, now) if watch is None else self.variant.receive(self, watch, request, now)
        return actions + self._flush(now)

    def _open(self, request: Request, now: float) -> list[Action]:
        """The first request of a type, whatever nonce it bears: it may be one of an earlier stream (docs/protocol.md 3)."""
        assert self.scope is not None and self.composite is not None, "requests are handled after admit"  # noqa: PT018
        kind = type_of(request.type_url)
        legacy = kind.full_state and self.scope.legacy_wildcard
        subscription = subscriptions.first(request.names, self.catalog.names, legacy=legacy)
        watch = Watch(self, kind, subscription, self.catalog.group(kind, self.composite, subscription))
        watch.claims = self.variant.claims(watch, request)
        watch.cause = "reconnect" if request.version or request.initial else "subscribe"
        watch.since = now
        self.watches[kind.url] = watch
        self._order = sorted(self.watches.values(), key=lambda watch: watch.type.order)
        return [Subscribed(kind.url, subscription.asked, (), watch.cause)]

    def _flush(self, now: float) -> list[Action]:
        """Send what may be sent, in the order of the types. Removals of clusters get a second look at the end, when
        it is known whether routes had anything to say.
        """
        if not self.catalog.synced:
            return []  # an empty answer would wipe a client's config (pitfall P12)
        self.deadline = None
        actions: list[Action] = []
        for watch in self._order:
            if watch.pending:
                actions += self.variant.flush(self, watch, order.hold(self, watch, now), now)
            if watch.group.mortal:
                actions += self._keep(watch, now)
        clusters = self.watches.get(CDS)
        if clusters is not None and clusters.removals_held_since is not None:
            self._flush_removals(clusters, actions, now)
        return actions

    def _flush_removals(self, clusters: Watch, actions: list[Action], now: float) -> None:
        hold = order.hold(self, clusters, now)
        self.wait_until(hold.removals_until)
        if hold.removals_until is None:
            actions += self.variant.flush(self, clusters, hold, now)

    def _keep(self, watch: Watch, now: float) -> list[Action]:
        """Say of what lapses that it stays, when it is time to."""
        batch, when = heartbeats.due(watch, now)
        self.wait_until(when)
        response = self.variant.keep(watch, batch) if batch is not None else None
        return [self.send(watch, response, now)] if response is not None else []

    def _repair(self, watch: Watch, waiting: Outstanding, refused: tuple[str, ...], now: float) -> list[Action]:
        """Envoy keeps a refused secret for the clusters to come, and refuses these too, until it is sent a good one by
        itself (docs/protocol.md 14).
        """
        good = watch.spoiled(waiting, refused)
        if not good:
            return []
        batch = Batch(good, (), {one.name: one for one in good}, waiting.floor, waiting.floor, REPAIR)
        entries = batch.sotw_entries if self.variant.whole_state else batch.delta_entries
        version = sum_version(sum(one.digest for one in good))
        return [self.send(watch, Response(batch, entries, version, batch), now)]

    def _repeat_endpoints(self, news: Batch) -> None:
        names = order.endpoints_to_repeat(self, news.upserts)
        if names:
            self.variant.repeat(self.watches[EDS], names)

    def _regroup(self, watch: Watch) -> None:
        held = {resource.name: resource for resource in watch.group.resources()}
        watch.absorb()
        self.resubscribe(watch, watch.subscription)
        differs: dict[str, Resource | None] = {
            name: old for name, old in held.items() if not same(watch.group.current(name), old)
        }
        differs.update((new.name, None) for new in watch.group.resources() if new.name not in held)
        watch.except_(differs, "rescope")
