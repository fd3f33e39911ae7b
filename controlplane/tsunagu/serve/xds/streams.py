"""One gRPC stream: feeds its session, writes its responses, records its events.

Rule: at any time one coroutine writes. While a write waits for a slow client, no push to it begins: changes collect in
the group's log and leave as one response. Answers to its requests wait in an outbox, and while that is full nothing is
read from the client. So no queue grows without bound.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, Protocol, assert_never

import grpc.aio

from tsunagu.serve.xds.timeline import Event, Timeline
from tsunagu.xds.actions import Acked, Action, Close, Hello, Nacked, Send, Stale, Subscribed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tsunagu.serve.xds.admission import Admission
    from tsunagu.serve.xds.limits import Limits
    from tsunagu.xds.bundle import Mask, Scope
    from tsunagu.xds.decode import NodeInfo
    from tsunagu.xds.session import Session


class Refused(Exception):
    """Raised by `authenticate`: this client may not have a stream. The message is sent to the client."""

    code = "UNAUTHENTICATED"


class Unauthenticated(Refused):
    """The client has not proved who it is."""


class PermissionDenied(Refused):
    """The client is known, and not allowed."""

    code = "PERMISSION_DENIED"


class CallMetadata(dict[str, str]):
    """The metadata of a call. `identities`: the names in the client's certificate, which TLS has verified; `peer`: its
    address as gRPC writes it.
    """

    def __init__(self, context: Any) -> None:
        pairs = context.invocation_metadata() or ()
        super().__init__({key: value for key, value in pairs if isinstance(value, str)})
        self.identities = tuple(name.decode(errors="replace") for name in context.peer_identities() or ())
        self.peer: str = context.peer()


class Server(Protocol):
    """What a stream needs of its server."""

    timeline: Timeline
    admission: Admission
    limits: Limits
    synced: asyncio.Event
    clock: Callable[[], float]
    wall: Callable[[], float]

    def authorize(self, stream: Stream, node: NodeInfo) -> Scope: ...
    def progressed(self, proxy: str) -> None: ...
    def settled(self, stream: Stream) -> None: ...


class Stream:
    """A session and the call that carries it. `proxy` is empty until the client is authorized."""

    __slots__ = ("_awake", "_behind", "_close", "_context", "_outbox", "_owner", "_pusher", "_queued", "_room", "_server",
                 "_tasks", "_timer", "_writing", "opened_at", "proxy", "session")  # fmt: skip

    def __init__(self, server: Server, session: Session, context: Any) -> None:
        self.session = session
        self.proxy = ""
        self.opened_at = server.wall()
        self._server = server
        self._context = context
        self._outbox: deque[bytes] = deque()  # responses to be written, oldest first
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
        async with asyncio.TaskGroup() as group:
            self._tasks = group
            try:
                await self._read()
            except asyncio.CancelledError:
                if self._close is None:
                    raise
                self._owner.uncancel()
            finally:
                self._tasks = None  # from now on no push is started: the group would refuse it
                if self._pusher is not None:
                    self._pusher.cancel()  # it may wait for a client that does not read
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

    def rescope(self, bundles: tuple[str, ...], mask: Mask) -> None:
        """Let the client see other bundles from now on."""
        self._take(self.session.rescope(bundles, mask, self._server.clock()))
        self.wake()

    def end(self, code: str, message: str) -> None:
        """End the stream from this side, with a gRPC status."""
        if self._close is None and self._owner is not None:
            self._close = Close(code, message)
            self._owner.cancel()

    def close(self) -> None:
        """The call is over: release everything."""
        if self._timer is not None:
            self._timer.cancel()
        self.session.close()
        if self.proxy:
            self._record("close", detail=self._close.message if self._close else "")

    async def _read(self) -> None:
        data = await self._first_message()
        if data is None or data is grpc.aio.EOF:
            return
        if not self._server.synced.is_set():  # the client can be authorized; there is nothing to answer yet
            self._hear(data)
            data = None
            await self._server.synced.wait()
        async with self._server.admission.turn():
            self._queued = False
            if data is not None:
                self._hear(data)
                data = None  # a SotW request names everything: it is not kept while we wait
            await self._answer()
            if self.session.unanswered:  # the place is kept until the client has answered
                data = await self._context.read()
        if data is None:
            data = await self._context.read()
        while data is not grpc.aio.EOF:
            self._hear(data)
            data = None
            await self._answer()
            data = await self._context.read()

    async def _answer(self) -> None:
        """Return when the answers are written, or wait in the outbox for a push that is being written."""
        await self._write()
        if self._outbox and self._is_full():
            self._room = asyncio.get_running_loop().create_future()
            await self._room

    def _hear(self, data: bytes) -> None:
        self._take(self.session.receive(data, self._server.clock()))

    async def _first_message(self) -> Any:
        patience = self._server.limits.first_message
        try:
            async with asyncio.timeout(patience):
                return await self._context.read()
        except TimeoutError:
            self._close = Close("DEADLINE_EXCEEDED", f"no request in {patience:g} s")
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
            while self._outbox or self._behind:
                if self._outbox:
                    await self._context.write(self._outbox.popleft())
                    self._signal_room()
                else:
                    self._behind = False
                    self._take(self.session.publish(self._server.clock()))
        except (grpc.aio.InternalError, grpc.aio.UsageError) as error:
            self.end("UNAVAILABLE", f"cannot write: {error}")
        finally:
            self._writing = False

    def _is_full(self) -> bool:
        return sum(map(len, self._outbox)) > self._server.limits.outbox_bytes

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
        match action:
            case Hello(node):
                self._authorize(node)
            case Subscribed(url, names, dropped, cause):
                self._record("subscribe", url, subscribed=names, removed=dropped, cause=cause)
            case Send():
                self._send(action)
            case Acked(url, nonce, version, latency):
                self._record("ack", url, nonce=nonce, version=version, latency=latency)
            case Nacked(url, nonce, names, error, latency):
                self._record("nack", url, nonce=nonce, refused=names, error=error, latency=latency)
            case Stale(url, nonce):
                self._record("stale", url, nonce=nonce)
            case Close(code, message):
                self.end(code, message)
            case _:
                assert_never(action)

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        deadline = self.session.deadline
        if deadline is not None:
            delay = max(0.0, deadline - self._server.clock())
            self._timer = asyncio.get_running_loop().call_later(delay, self.wake)

    def _authorize(self, node: NodeInfo) -> None:
        try:
            scope = self._server.authorize(self, node)
        except Refused as error:
            self.end(error.code, str(error))
            return
        self.proxy = scope.proxy
        self._record("connect", detail=f"{self.session.variant.name} {node.user_agent} {node.version}")
        self._take(self.session.authorize(scope, self._server.clock()))

    def _send(self, action: Send) -> None:
        self._outbox.append(action.payload)
        self._record(
            "send",
            action.type_url,
            resources=action.resources,
            removed=action.removed,
            version=action.version,
            nonce=action.nonce,
            cause=action.cause,
            revision=action.revision,
            bytes=len(action.payload),
        )

    def _record(self, kind: str, type_url: str = "", **fields: Any) -> None:
        server = self._server
        event = Event(server.timeline.next_sequence, server.wall(), self.proxy, type_url, kind, **fields)
        server.timeline.record(event)
