"""One stream of xDS: messages, changes and time go in, actions come out. With `watch.py`, the place to start reading.

    session = Session(catalog, DELTA)
    session.receive(data, now)     -> [Hello(node)]        the edge finds out who that is
    session.authorize(scope, now)  -> [Subscribed, Send]
    session.receive(data, now)     -> [Acked] ...
    session.publish(now)           -> [Send]               after Catalog.publish returned this session
    session.tick(now)              -> [Send]               at `deadline`, when a rule of order.py has waited long enough

Rule: no socket, no clock, no lock, no callback. Streams of both variants, aggregated or of one type, are this class.
What differs between SotW and delta is a `Variant` (sotw.py and delta.py); why it differs is in docs/protocol.md.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import TYPE_CHECKING

from tsunagu.xds import encode, heartbeats, order
from tsunagu.xds import subscription as subscriptions
from tsunagu.xds.actions import Acked, Action, Close, Hello, Nacked, Send, Sought, Subscribed
from tsunagu.xds.answers import Outstanding, Response
from tsunagu.xds.lookups import Lookups
from tsunagu.xds.requests.decode import BadRequest
from tsunagu.xds.requests.limits import LIMITS, Held, TooMuch, check_bytes, check_names, check_request, slices
from tsunagu.xds.resources import CDS, EDS, sum_version
from tsunagu.xds.waits import Holds
from tsunagu.xds.watch import Deferral, Watch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tsunagu.xds.bundle import Mask, Scope
    from tsunagu.xds.catalog import Catalog
    from tsunagu.xds.composite import Composite
    from tsunagu.xds.group import Batch, Group
    from tsunagu.xds.requests.decode import NodeInfo, Request
    from tsunagu.xds.requests.limits import RequestLimits
    from tsunagu.xds.subscription import Subscription

NO_NAMES: frozenset[str] = frozenset()


class Variant(ABC):
    """What SotW and delta do differently. It has no state; a session passes itself and one of its watches."""

    name: str
    whole_state: bool  # a response of LDS or CDS holds all resources that there are
    identifier_number: int  # the field number of control_plane in a response

    @abstractmethod
    def decode(self, data: bytes) -> Request:
        """Read a request. Raises BadRequest."""

    @abstractmethod
    def claims(self, watch: Watch, request: Request) -> Mapping[str, str] | str | None:
        """Return what the first request of a type says that the client holds, as far as that can be relied on."""

    @abstractmethod
    def receive(self, session: Session, watch: Watch, request: Request, now: float) -> list[Action]:
        """Handle a request that is not the first of its type."""

    @abstractmethod
    def flush(self, session: Session, watch: Watch, deferral: Deferral, now: float) -> list[Action]:
        """Send what the client misses and may be sent."""

    @abstractmethod
    def entries(self, batch: Batch) -> tuple[bytes, ...]:
        """Return the upserts of a batch, encoded for a response."""

    @abstractmethod
    def repeat(self, watch: Watch, names: set[str]) -> None:
        """Send these endpoints again, for their clusters were sent changed."""

    @abstractmethod
    def heartbeat(self, watch: Watch, batch: Batch) -> Response | None:
        """Return the response that refreshes these resources; None: it cannot be sent now."""


class Session:
    """The state of one stream. `type_url` is that of a per-type service, empty on the aggregated one."""

    __slots__ = ("__weakref__", "_counter", "_first", "_limits", "_lookups", "_order", "_rest", "_tail", "catalog", "composite",
                 "deadline", "holds", "names_elsewhere", "node", "scope", "stream", "type_url", "variant", "watches")  # fmt: skip

    def __init__(
        self,
        catalog: Catalog,
        variant: Variant,
        type_url: str = "",
        stream: str = "1",
        identifier: str = "",
        *,
        limits: RequestLimits = LIMITS,
    ) -> None:
        self.catalog = catalog
        self.variant = variant
        self.type_url = type_url
        self.stream = stream
        self.watches: dict[str, Watch] = {}  # by type url
        self.deadline: float | None = None  # when to call `tick`; None: no rule waits
        self.node: NodeInfo | None = None  # set by the first message
        self.scope: Scope | None = None  # set by `authorize`
        self.composite: Composite | None = None  # Invariant: that of `scope`, from `authorize` to `close`
        self.holds = Holds()  # set by the edge, which then calls `publish`
        self._tail = encode.identifier_field(variant.identifier_number, identifier)
        self._order: list[Watch] = []  # Invariant: the watches, in the order in which types are flushed
        self._counter = 0  # of the responses sent; the newest nonce ends in it
        self._first: list[Request] = []  # requests that came before `authorize`
        self._limits = limits
        self._lookups = Lookups()
        self._rest: list[Request] = []  # slices of the last request that are still to be handled, the next one last
        self.names_elsewhere = 0  # names that other streams of the same client hold; set by the edge

    @property
    def unanswered(self) -> bool:
        """True when a response has not been answered."""
        for watch in self._order:  # noqa: SIM110  # asked after each message; a generator costs more than the answer
            if watch.outstanding:
                return True
        return False

    @property
    def held(self) -> int:
        """How many names the client has asked for."""
        return sum([len(watch.subscription.names.names) for watch in self._order])

    @property
    def unfinished(self) -> bool:
        """True while a part of the last request is to be handled by `proceed`, before anything else is received."""
        return bool(self._rest)

    def receive(self, data: bytes, now: float) -> list[Action]:
        """Handle a message of the client. The first message gives Hello; its answer comes from `authorize`. A large one is
        not finished with this: see `unfinished`.
        """
        try:
            check_bytes(data, self._limits)
            request = self._check(self.variant.decode(data))
            if self.scope is None:
                return self._hello(request)
        except BadRequest as error:
            return [Close(error.code, str(error))]
        self._rest = slices([request], self.watches, self._limits)[::-1]
        return self.proceed(now)

    def proceed(self, now: float) -> list[Action]:
        """Handle the next part of a request that is not finished."""
        return self._handle(self._rest.pop(), now)

    def authorize(self, scope: Scope, now: float) -> list[Action]:
        """Let the client see this scope, and answer what it has sent so far."""
        self.scope = scope
        if self.node is not None:
            self.node = replace(self.node, metadata_bytes=b"")  # may hold a token, and has served its purpose
        self.composite = self.catalog.compose(scope.bundles, scope.mask)
        self.catalog.owners.add(self)
        first, self._first = self._first, []
        try:
            for request in first:  # which client it is, and what that holds, is known only now
                check_names(Held(NO_NAMES, 0, self.names_elsewhere), request, self._limits)
        except BadRequest as error:
            return [Close(error.code, str(error))]
        self._rest = slices(first, self.watches, self._limits)[::-1]
        return self.proceed(now) if self._rest else []

    def publish(self, now: float) -> list[Action]:
        """Send what concerns this client of a change of the catalog."""
        actions = [
            action for request in self._lookups.overdue(now) for action in self._handle(request, now, look=False)
        ]
        return [*actions, *self._flush(now)]

    def tick(self, now: float) -> list[Action]:
        """Send what had to wait until `deadline`."""
        return self.publish(now)

    def looked_up(self, type_url: str, names: tuple[str, ...], now: float) -> list[Action]:
        """These names were looked for (`Sought`): whatever there is now is the answer."""
        request = self._lookups.found(type_url, names)
        return self._handle(request, now, look=False) if request is not None and self.composite is not None else []

    def rescope(self, bundles: tuple[str, ...], mask: Mask, now: float) -> list[Action]:
        """Let the client see other bundles from now on; it is sent the difference."""
        assert self.scope is not None and self.composite is not None, "rescope follows authorize"  # noqa: PT018
        before, self.composite = self.composite, self.catalog.compose(bundles, mask)
        self.scope = replace(self.scope, bundles=bundles, mask=mask)
        for watch in self._order:
            group = watch.group
            watch.rescope(self.composite, self.catalog.group(watch.type, self.composite, watch.subscription.key))
            self._joined(watch, group)
        self.catalog.release(before)
        return self._flush(now)

    def close(self) -> None:
        """The stream has ended: give back everything shared. May be called twice."""
        for watch in self._order:
            self.catalog.leave(watch, watch.group)
        self.watches, self._order = {}, []
        self.catalog.owners.discard(self)
        if self.composite is not None:
            self.catalog.release(self.composite)
            self.composite = None

    # What the variants use.

    def answer(self, watch: Watch, request: Request, now: float) -> list[Action]:
        """Book the ACK or NACK in a request. The names in the request are the variant's business."""
        waiting = watch.settle(request.nonce, now)
        if waiting is None:
            return [watch.without_response(request.nonce, request.error, now)]
        latency = now - waiting.sent_at
        if request.error is None:
            watch.accept(waiting)
            order.reconsider(self.watches, watch, waiting.introduced)
            return [Acked(watch.type.url, waiting.nonce, waiting.version, latency)]
        names, error = watch.refuse(waiting, request.error, now)
        refused = Nacked(watch.type.url, waiting.nonce, names, error, latency, request.version)
        return [refused, *self._repair(watch, waiting, names, now)]

    def resubscribe(self, watch: Watch, subscription: Subscription) -> None:
        """Let a watch ask for other names, in the group of those that do."""
        assert self.composite is not None, "a watch lives between authorize and close"
        before = watch.group
        watch.resubscribe(subscription, self.catalog.group(watch.type, self.composite, subscription.key))
        self._joined(watch, before)

    def send(self, watch: Watch, response: Response, now: float) -> Send:
        """Make a response outstanding. It is booked before its bytes leave (pitfall P19)."""
        self._counter += 1
        nonce = f"{self.stream}-{self._counter}"
        watch.sent(nonce, response, now, early=order.unsettled(self.watches, watch))
        news = response.news
        if watch.type.url == CDS:
            self._repeat_endpoints(news)
        return Send(
            type_url=watch.type.url,
            payload=encode.response(watch.type.url, response.entries, response.version, nonce, self._tail),
            nonce=nonce,
            version=response.version,
            resources=response.batch.upserts,
            listing=response.batch.listing,
            removed=news.removed,
            cause=news.cause or watch.cause,
            revision=news.revision or self.catalog.revision,
        )

    def wait_until(self, when: float | None) -> None:
        """Move the deadline forward, if a rule defers something until then."""
        if when is not None and (self.deadline is None or when < self.deadline):
            self.deadline = when

    # The rest is private.

    def _hello(self, request: Request) -> list[Action]:
        if self._first:
            self._first.append(request)
            return []
        if request.node is None or not request.node.id:
            raise BadRequest("the first message of a stream must bear a node with an id")
        self._first.append(request)
        self.node = request.node
        return [Hello(request.node)]

    def _check(self, request: Request) -> Request:
        url = request.type_url or self.type_url
        if not url:
            raise BadRequest("type_url is missing: an aggregated stream cannot guess it")
        if self.type_url and url != self.type_url:
            raise BadRequest(f"type_url is {url}: this service serves {self.type_url}")
        check_request(request, self._limits)
        watch = self.watches.get(url)
        if watch is None and len(self.watches) >= self._limits.types:
            raise TooMuch(f"more than {self._limits.types} types on one stream")
        if request.names:
            names = watch.subscription.names.names if watch else NO_NAMES
            check_names(Held(names, self.held - len(names), self.names_elsewhere), request, self._limits)
        return request if request.type_url else replace(request, type_url=url)

    def _handle(self, request: Request, now: float, *, look: bool = True) -> list[Action]:
        watch = self.watches.get(request.type_url)
        actions: list[Action] = []
        asked = request
        if look and self.scope is not None and self.scope.lookup:
            asked = self._look(request, watch, now, actions)
        if watch is None:
            actions += self._open(asked, now, named=bool(request.names))
        else:
            actions += self.variant.receive(self, watch, asked, now)
        return actions + self._flush(now)

    def _look(self, request: Request, watch: Watch | None, now: float, actions: list[Action]) -> Request:
        """Let the edge look for names that nobody has; returns what is to be handled meanwhile."""
        assert self.scope is not None and self.composite is not None, "requests are handled after authorize"  # noqa: PT018
        whole = self.variant.whole_state  # then a request repeats what it has asked for
        known = watch.subscription.names.names if whole and watch is not None else NO_NAMES
        self._lookups.unsubscribe(request.type_url, request.dropped or [])
        names = self._lookups.missing(request, known, self.composite)
        if names:
            actions.append(Sought(request.type_url, tuple(names)))
        kind = self.catalog.types.of(request.type_url)
        if whole or not kind.removable or kind.always_answered:  # its answer is none that fails a request, or none
            return request
        return self._lookups.hold_back(request, names, now + self.scope.lookup)

    def _open(self, request: Request, now: float, *, named: bool) -> list[Action]:
        """The first request of a type, whatever nonce it bears: it may be one of an earlier stream (docs/protocol.md 3).
        `named`: the client has asked for names; when all of them are looked for first, that is no wildcard.
        """
        assert self.scope is not None and self.composite is not None, "requests are handled after authorize"  # noqa: PT018
        kind = self.catalog.types.of(request.type_url)
        legacy = kind.full_state and self.scope.legacy_wildcard and not named
        subscription = subscriptions.first(request.names, self.catalog.names, legacy=legacy)
        group = self.catalog.group(kind, self.composite, subscription.key)
        watch = Watch(self, self.composite, group, subscription, whole_state=self.variant.whole_state)
        self.catalog.join(watch)
        cause = "reconnect" if request.version or request.initial else "subscribe"
        watch.open(self.variant.claims(watch, request), cause, now)
        self.watches[kind.url] = watch
        self._order = sorted(self.watches.values(), key=lambda watch: watch.type.order)
        asked = subscription.asked
        told = Subscribed(kind.url, asked, (), cause, asked if self.variant.whole_state else (), request.claims)
        return [told] if request.names or not named else []

    def _joined(self, watch: Watch, before: Group) -> None:
        """A watch has another group than before."""
        if watch.group is not before:  # or the last subscriber would take the group along
            self.catalog.join(watch)
            self.catalog.leave(watch, before)

    def _flush(self, now: float) -> list[Action]:
        """Send what may be sent, in the order of the types. Removals of clusters are looked at again at the end, when
        it is known whether routes had anything to be sent.
        """
        if not self.catalog.synced:
            return []  # an empty answer would wipe a client's config (pitfall P12)
        self.deadline = None
        actions: list[Action] = []
        begun: list[Watch] = []  # those of which something is deferred from now on
        for watch in self._order:
            if watch.rejections and not order.unsettled(self.watches, watch):
                watch.retry()
            if watch.pending and (self.holds.types is None or not self._held(watch, now)):
                deferred = watch.defers
                actions += self.variant.flush(self, watch, self._deferral(watch, now), now)
                if watch.defers and not deferred:
                    begun.append(watch)
            if watch.group.expiring:
                actions += self._refresh(watch, now)
        self.wait_until(self._lookups.deadline)
        clusters = self.watches.get(CDS)
        if clusters is not None and clusters.removals_deferred:
            self._flush_removals(clusters, actions, now)
        endpoints = self.watches.get(EDS)
        if endpoints is not None and endpoints.removals_deferred:
            self.wait_until(self._deferral(endpoints, now).removals_until)
        return actions + [order.told(self._moment(now), watch) for watch in begun if watch.defers] if begun else actions

    def _held(self, watch: Watch, now: float) -> bool:
        """True when an operator keeps the responses of a type back."""
        until = self.holds.until(watch.type.url, now)
        self.wait_until(until)
        return until is not None

    def _deferral(self, watch: Watch, now: float) -> Deferral:
        return order.deferral(self._moment(now), watch)

    def _moment(self, now: float) -> order.Moment:
        return order.Moment(self.watches, self.catalog.waits, now)

    def _flush_removals(self, clusters: Watch, actions: list[Action], now: float) -> None:
        deferral = self._deferral(clusters, now)
        self.wait_until(deferral.removals_until)
        if deferral.removals_until is None and not self._held(clusters, now):
            actions += self.variant.flush(self, clusters, deferral, now)

    def _refresh(self, watch: Watch, now: float) -> list[Action]:
        """Send the heartbeats that are due."""
        batch, when = heartbeats.due(watch, now)
        self.wait_until(when)
        response = self.variant.heartbeat(watch, batch) if batch is not None else None
        return [self.send(watch, response, now)] if response is not None else []

    def _repair(self, watch: Watch, waiting: Outstanding, refused: tuple[str, ...], now: float) -> list[Action]:
        """Envoy keeps a refused secret or filter for the clusters and listeners to come, and refuses these too, until it is
        sent a good one by itself (docs/protocol.md 14).
        """
        batch = watch.repair(waiting, refused)
        if batch is None:
            return []
        response = Response(batch, self.variant.entries(batch), sum_version(batch.digest_sum), batch)
        return [self.send(watch, response, now)]

    def _repeat_endpoints(self, news: Batch) -> None:
        names = order.endpoints_to_repeat(self.watches, news.upserts)
        if names:
            self.variant.repeat(self.watches[EDS], names)
