"""One gRPC stream: feeds its session, writes its responses, records its events.

Rule: at any time one coroutine writes. While a write waits for a slow client, no push to it begins: changes collect in
the group's log and leave as one response. Answers to its requests wait in an outbox, and while that is full nothing is
read from the client. So no queue grows without bound.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, Any, assert_never

import grpc.aio

from tsunagu.serve.xds.call_metadata import CallMetadata
from tsunagu.serve.xds.first_reads import TooManyStrangers
from tsunagu.serve.xds.look_up import Searcher, Wanted
from tsunagu.serve.xds.refusal import Refused
from tsunagu.serve.xds.timeline import Event
from tsunagu.serve.xds.writer import Writer
from tsunagu.xds.actions import Acked, Action, Close, Deferred, Hello, Nacked, Send, Sought, Stale, Subscribed
from tsunagu.xds.resources import TYPES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tsunagu.serve.xds.identities import Account
    from tsunagu.serve.xds.stream_server import Server
    from tsunagu.xds.bundle import Mask, Scope
    from tsunagu.xds.requests.decode import NodeInfo
    from tsunagu.xds.session import Session

LARGE = 1 << 20  # bytes of a message after which freed memory is given back
SMALL = (
    512  # bytes of a message, as an ACK is one, for which reading the thread's clock would be a good part of the work
)


class Stream:
    """A session and the call that carries it. `proxy` is empty until the client is authorized."""

    __slots__ = ("__weakref__", "_awake", "_behind", "_close", "_context", "_outbox", "_owner", "_pusher",
                 "_queued", "_room", "_scope", "_searcher", "_server", "_tasks", "_timer", "_writer", "_writing", "account",
                 "incarnation", "opened_at", "peer", "proxy", "session", "sole", "woken_at")  # fmt: skip

    def __init__(self, server: Server, session: Session, context: Any) -> None:
        self.session = session
        self.proxy = ""
        self.account: Account | None = None  # with the client whose limits hold; set when it is authorized
        self.sole, self.incarnation = False, 0  # see `Scope`
        self.peer: str = context.peer()
        self.opened_at = server.wall()
        self.woken_at: float | None = None  # the first publish that it has not answered; for the server's metrics
        self._server = server
        self._context = context
        self._writer = Writer(context)
        self._searcher: Searcher | None = None  # once the client has asked for what nobody has
        self._outbox: deque[bytes] = deque()  # responses to be written, oldest first
        self._scope: Scope | None = None  # what the client may see. Invariant: None once the session knows it
        self._owner: asyncio.Task[Any] | None = None
        self._tasks: asyncio.TaskGroup | None = None
        self._pusher: asyncio.Task[None] | None = None
        self._room: asyncio.Future[None] | None = None  # awaited by the reader until the outbox is not full
        self._timer: asyncio.TimerHandle | None = None  # Invariant: set exactly while the session has a deadline
        self._close: Close | None = None  # the status with which this side has ended the stream
        self._awake = False  # a push is scheduled, and has not begun
        self._behind = False  # the session may have something to send
        self._queued = True  # it waits for its turn in the admission: nothing is pushed
        self._writing = False  # Invariant: True while exactly one coroutine writes

    async def run(self) -> Close | None:
        """Read until one side ends the stream. Returns the status if this side did."""
        self._owner = asyncio.current_task()
        assert self._owner is not None, "a stream runs in the task of its call"
        cut = False
        async with asyncio.TaskGroup() as group:
            self._tasks = group
            try:
                await self._read()
            except asyncio.CancelledError:
                cut = self._close is None
                if not cut:
                    self._owner.uncancel()
            finally:
                if self._searcher is not None:
                    self._searcher.cancel()
                self._tasks = None  # from now on no push is started: the group would refuse it
                if self._pusher is not None:
                    self._pusher.cancel()  # it may wait for a client that does not read
        if cut:  # by the client; raised here, for Python 3.11's TaskGroup would make a reference cycle of it
            raise asyncio.CancelledError
        return self._close

    def metadata(self) -> CallMetadata:
        """Return the call's metadata. It is not kept, for it holds the token."""
        return CallMetadata(self._context)

    def wake(self) -> None:
        """Push what the session may have to send, as soon as nothing else is being written."""
        self._behind = True
        if self._writing or self._awake or self._queued or self._tasks is None or self._close is not None:
            return
        self._awake = True
        self._pusher = self._tasks.create_task(self._push(), name=f"push to {self.proxy}")

    @property
    def connection(self) -> str:
        """The client's address, where that tells its connection from others; empty on a Unix socket."""
        return "" if self.peer.startswith("unix:") else self.peer

    @property
    def aggregated(self) -> bool:
        """True for a stream of all types."""
        return not self.session.type_url

    @property
    def waiting(self) -> int:
        """Bytes of the responses that wait to be written."""
        return sum(map(len, self._outbox))

    def rescope(self, bundles: tuple[str, ...], mask: Mask) -> None:
        """Let the client see other bundles from now on."""
        if self._scope is not None:
            self._scope = replace(self._scope, bundles=bundles, mask=mask)
            return
        self._take(self.session.rescope(bundles, mask, self._server.clock()))
        self.wake()

    def hold(self, type_url: str, seconds: float) -> None:
        """Keep the responses of a type back for so long; 0: no longer."""
        self.session.holds.hold(type_url, seconds, self._server.clock())
        self._record("hold", type_url, latency=seconds)
        self.wake()

    def end(self, code: str, message: str) -> None:
        """End the stream from this side, with a gRPC status."""
        if self._close is None and self._owner is not None:
            self._close = Close(code, message)
            self._writer.cancel(self._owner)

    def close(self) -> None:
        """The call is over: release everything."""
        if self._timer is not None:
            self._timer.cancel()
        self.session.close()
        if self.proxy:
            self._record("close", detail=self._close.message if self._close else "")
        self._owner = self._searcher = None  # they have finished, and refer to this

    async def _read(self) -> None:
        data = await self._first_message()
        if data is None or data is grpc.aio.EOF:
            return
        await self._hear(data)
        data = None  # a SotW request names everything: it is not kept while we wait
        if self._scope is None:
            await asyncio.sleep(0)  # the client was refused: here this task is cancelled
            return
        if not self._server.synced.is_set():  # there is nothing to answer yet
            await self._begin()
            await self._server.synced.wait()
        async with self._server.admission.turn():
            self._queued = False
            await self._begin()
            await self._answer()
            if self.session.unanswered:  # the place is kept until the client has answered
                data = await self._context.read()
        if data is None:
            data = await self._context.read()
        while data is not grpc.aio.EOF:
            await self._hear(data)
            data = None
            await self._answer()
            await self._rest()
            data = await self._context.read()

    async def _answer(self) -> None:
        """Return when the answers are written, or wait in the outbox for a push that is being written."""
        await self._write()
        if self._outbox and self._is_full():
            self._room = asyncio.get_running_loop().create_future()
            await self._room

    async def _begin(self) -> None:
        """Let the session answer what the client has sent so far, now that it is known who that is."""
        scope, self._scope = self._scope, None
        if scope is not None:
            await self._work(lambda now: self.session.authorize(scope, now))

    async def _hear(self, data: bytes) -> None:
        """Handle a message."""
        counters = self._server.counters
        counters.requests += 1
        counters.request_bytes += len(data)
        if len(data) > LARGE:
            self._server.let_go()
        clock = time.perf_counter if len(data) <= SMALL else time.thread_time
        await self._work(lambda now: self.session.receive(data, now), clock)

    async def _work(
        self, begin: Callable[[float], list[Action]], clock: Callable[[], float] = time.thread_time
    ) -> None:
        """Let the session work, a slice at a time. Of all streams' slices one is handled at a time, and after each the event
        loop is left to others for as long as it took: a push goes through several rounds of it. What it takes is the client's.
        """
        if self.account is not None:
            self.session.names_elsewhere = self.account.elsewhere
        used = self._use(begin, clock)
        while self.session.unfinished and self._close is None:
            await self._answer()
            async with self._server.slices:
                await asyncio.sleep(used)
                if self._close is None:
                    used = self._use(self.session.proceed, clock)

    def _use(self, work: Callable[[float], list[Action]], clock: Callable[[], float]) -> float:
        """Do a part of the session's work. Returns the seconds that it took, which are booked to the client, or to all
        strangers together if it was refused. Should the whole machine have stood still meanwhile, that is not the client's debt.
        """
        began, now = clock(), self._server.clock()
        self._take(work(now))
        used = min(clock() - began, self._server.limits.work_burst)
        if self.account is not None:
            self.account.identity.allowance.spend(used, now)
        elif self._close is not None:
            self._server.strangers.spend(used, now)
        return used

    async def _rest(self) -> None:
        """Return when the client may ask for more: it has used no more of the event loop than others leave to it."""
        pause = self.account.identity.allowance.pause(self._server.clock()) if self.account else 0.0
        if pause > 0:
            self._server.counters.paused += pause
            await asyncio.sleep(pause)

    async def _first_message(self) -> Any:
        """The first message, or None when there is none, or the stream has been ended for it."""
        limits = self._server.limits
        try:
            if self._server.recognize(self.metadata()):
                async with asyncio.timeout(limits.first_message):
                    return await self._context.read()
            await asyncio.sleep(min(self._server.strangers.pause(self._server.clock()), limits.first_message_hurried))
            async with self._server.first_reads.turn():
                data = await self._context.read()
        except Refused as error:
            self._close = Close(error.code, str(error))
        except TooManyStrangers:
            self._close = Close("RESOURCE_EXHAUSTED", f"{limits.strangers} streams wait to say who they are")
        except TimeoutError:
            self._close = Close("DEADLINE_EXCEEDED", "no request in time")
        else:
            if data is grpc.aio.EOF or len(data) <= limits.first_request_bytes:
                return data
            self._server.let_go()
            about = "of a client that the call's metadata do not prove"
            self._close = Close(
                "RESOURCE_EXHAUSTED", f"a first request {about} has {limits.first_request_bytes} bytes at most"
            )
        return None

    async def _push(self) -> None:
        self._awake = False
        try:
            await self._write()
        finally:
            self._pusher = None

    async def _write(self) -> None:
        if self._writing:
            return
        self._writing = True
        try:
            while (self._outbox or self._behind) and self._close is None:
                if self._outbox:
                    failed = await self._writer.write(self._outbox.popleft())
                    if failed:
                        self.end("UNAVAILABLE", failed)
                    self._signal_room()
                else:
                    self._behind = False
                    self._take(self.session.publish(self._server.clock()))
        finally:
            self._writing = False

    def _is_full(self) -> bool:
        return self.waiting > self._server.limits.outbox_bytes

    def _signal_room(self) -> None:
        if self._room is not None and not self._is_full():
            if not self._room.done():  # or the reader was cancelled
                self._room.set_result(None)
            self._room = None

    def _take(self, actions: Iterable[Action]) -> None:
        for action in actions:
            self._do(action)
        self._arm()
        if not self._behind and not self.session.unanswered:
            self._server.settled(self)
        if self.proxy:
            self._server.progressed(self.proxy)

    def _do(self, action: Action) -> None:
        counters = self._server.counters
        match action:
            case Hello(node):
                self._authorize(node)
            case Subscribed(url, names, dropped, cause, asked, claims):
                self._record(
                    "subscribe", url, subscribed=names, removed=dropped, cause=cause, asked=asked, detail=claims
                )
                if self.account is not None:
                    self.account.hold(self.session.held)
            case Sought(url, names):
                self._look_up(url, names)
            case Send():
                self._send(action)
            case Acked(url, nonce, version, latency):
                counters.of(url).acked(latency)
                self._record("ack", url, nonce=nonce, version=version, latency=latency)
            case Nacked(url, nonce, names, error, latency, version):
                counters.of(url).nacked(latency)
                self._record("nack", url, nonce=nonce, refused=names, error=error, latency=latency, version=version)
            case Deferred(url, names, more, why, until):
                longest = max(0.0, until - self._server.clock())
                self._record("defer", url, deferred=names, more=more, cause=why, latency=longest)
            case Stale(url, nonce):
                counters.stale += 1
                self._record("stale", url, nonce=nonce)
            case Close(code, message):
                self.end(code, message)
            case _:
                assert_never(action)

    def _look_up(self, url: str, names: tuple[str, ...]) -> None:
        look_up, scope, node = self._server.look_up, self.session.scope, self.session.node
        if look_up is not None and self._tasks is not None and scope is not None and node is not None:
            self._searcher = self._searcher or Searcher(look_up, scope.lookup, self._looked_up)
            self._searcher.search([Wanted(self.proxy, node, scope.bundles, url, name) for name in names], self._tasks)

    def _looked_up(self, one: Wanted) -> None:
        self._take(self.session.looked_up(one.type_url, (one.name,), self._server.clock()))
        self.wake()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if (deadline := self.session.deadline) is not None:
            delay = max(0.0, deadline - self._server.clock())
            self._timer = asyncio.get_running_loop().call_later(delay, self.wake)

    def _authorize(self, node: NodeInfo) -> None:
        try:
            scope = self._server.authorize(self, node)
        except Refused as error:
            self.end(error.code, str(error))
            return
        self.proxy, self._scope = scope.proxy, scope
        self._record("connect", detail=f"{self.session.variant.name} {node.user_agent} {node.version}")

    def _send(self, action: Send) -> None:
        self._outbox.append(action.payload)
        self._server.counters.of(action.type_url).sent(len(action.payload))
        self._record(
            "send",
            action.type_url,
            sent=action.listing,
            more=len(action.resources) - len(action.listing),
            removed=action.removed,
            version=action.version,
            nonce=action.nonce,
            cause=action.cause,
            revision=action.revision,
            bytes=len(action.payload),
        )

    def _record(self, kind: str, type_url: str = "", **fields: Any) -> None:
        server = self._server
        if type_url and type_url not in TYPES:
            fields["own_type"] = self.session.catalog.types.of(type_url).short
        fields["stream"], fields["variant"] = self.session.stream, self.session.variant.name
        event = Event(server.timeline.next_sequence, server.wall(), self.proxy, type_url, kind, **fields)
        server.timeline.record(event)
