"""One gRPC stream: its session fed, its responses written, its doings noted.

Rule: at any time one coroutine writes. While a write waits for a slow client nothing is pushed to it: changes gather in
the group's log and leave as one response. What it asks for meanwhile waits in a queue, and when that is full it is not
listened to. So no queue can grow.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, Protocol

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
    """Raised by `authenticate`: this client may not have a stream. The message reaches the client."""

    code = "UNAUTHENTICATED"


class Unauthenticated(Refused):
    """Nobody knows who this is."""


class PermissionDenied(Refused):
    """Known, and not allowed."""

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
    """What a stream needs of the server."""

    timeline: Timeline
    admission: Admission
    limits: Limits
    synced: asyncio.Event
    clock: Callable[[], float]
    wall: Callable[[], float]

    def admit(self, stream: Stream, node: NodeInfo) -> Scope: ...
    def moved(self, proxy: str) -> None: ...
    def settled(self, stream: Stream) -> None: ...


class Stream:
    """A session and the call that carries it. `proxy` is empty until it is admitted."""

    __slots__ = ("_awake", "_behind", "_close", "_context", "_outbox", "_owner", "_pusher", "_queued", "_room", "_server",
                 "_tasks", "_timer", "_writing", "opened_at", "proxy", "session")  # fmt: skip

    def __init__(self, server: Server, session: Session, context: Any) -> None:
        self.session = session
        self.proxy = ""
        self.opened_at = server.wall()
        self._server = server
        self._context = context
        self._outbox: deque[bytes] = deque()
        self._owner: asyncio.Task[Any] | None = None
        self._tasks: asyncio.TaskGroup | None = None
        self._pusher: asyncio.Task[None] | None = None
        self._room: asyncio.Future[None] | None = None  # awaited by the reader: the outbox is not full
        self._timer: asyncio.TimerHandle | None = None
        self._close: Close | None = None
        self._awake = False  # a push is about to run
        self._behind = False  # the session may have something to send
        self._queued = True  # for its first answers: it is pushed nothing
        self._writing = False

    async def run(self) -> Close | None:
        """Read until the client, or somebody here, ends the stream; in the latter case returns the status."""
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
                self._tasks = None  # a change from now on starts no push: the group would refuse it
                if self._pusher is not None:
                    self._pusher.cancel()  # it may hang on a client that does not read
        return self._close

    def metadata(self) -> CallMetadata:
        """The call's metadata; not kept, for it holds the token."""
        return CallMetadata(self._context)

    def wake(self) -> None:
        """The session may have something to send."""
        self._behind = True
        if self._writing or self._awake or self._queued or self._tasks is None or self._close is not None:
            return
        self._awake = True
        self._pusher = self._tasks.create_task(self._push(), name=f"push to {self.proxy}")

    def rescope(self, bundles: tuple[str, ...], mask: Mask) -> None:
        """See other bundles from now on."""
        self._take(self.session.rescope(bundles, mask, self._server.clock()))
        self.wake()

    def end(self, code: str, message: str) -> None:
        """End the stream from this side."""
        if self._close is None and self._owner is not None:
            self._close = Close(code, message)
            self._owner.cancel()

    def close(self) -> None:
        """The call is over: let go of everything."""
        if self._timer is not None:
            self._timer.cancel()
        self.session.close()
        if self.proxy:
            self._note("close", detail=self._close.message if self._close else "")

    async def _read(self) -> None:
        data = await self._first_message()
        if data is None or data is grpc.aio.EOF:
            return
        if not self._server.synced.is_set():  # who that is can be found out; there is nothing to answer yet
            self._hear(data)
            data = None
            await self._server.synced.wait()
        async with self._server.admission.turn():
            self._queued = False
            if data is not None:
                self._hear(data)
                data = None  # SotW's requests name everything: not to be kept while we wait
            await self._answer()
            if self.session.unanswered:  # until the client says more it is busy with what it got
                data = await self._context.read()
        if data is None:
            data = await self._context.read()
        while data is not grpc.aio.EOF:
            self._hear(data)
            data = None
            await self._answer()
            data = await self._context.read()

    async def _answer(self) -> None:
        """Returns when what there is to say is written, or has room to wait for the push that is being written."""
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
            self._close = Close("DEADLINE_EXCEEDED", f"nothing was asked for in {patience:g} s")
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
                    self._tell_room()
                else:
                    self._behind = False
                    self._take(self.session.publish(self._server.clock()))
        except (grpc.aio.InternalError, grpc.aio.UsageError) as error:
            self.end("UNAVAILABLE", f"cannot write: {error}")
        finally:
            self._writing = False

    def _is_full(self) -> bool:
        return sum(map(len, self._outbox)) > self._server.limits.outbox_bytes

    def _tell_room(self) -> None:
        if self._room is not None and not self._is_full():
            if not self._room.done():  # the reader may have been cancelled
                self._room.set_result(None)
            self._room = None

    def _take(self, actions: Iterable[Action]) -> None:
        for action in actions:
            _DO[type(action)](self, action)
        self._arm()
        if not self._behind and not self.session.unanswered:
            self._server.settled(self)
        if self.proxy:
            self._server.moved(self.proxy)

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        deadline = self.session.deadline
        if deadline is not None:
            delay = max(0.0, deadline - self._server.clock())
            self._timer = asyncio.get_running_loop().call_later(delay, self.wake)

    def _note(self, kind: str, type_url: str = "", **fields: Any) -> None:
        server = self._server
        event = Event(server.timeline.next_sequence, server.wall(), self.proxy, type_url, kind, **fields)
        server.timeline.record(event)

    # What becomes of each action.

    def _hello(self, action: Hello) -> None:
        try:
            scope = self._server.admit(self, action.node)
        except Refused as error:
            self.end(error.code, str(error))
            return
        self.proxy = scope.proxy
        self._note("connect", detail=f"{self.session.variant.name} {action.node.user_agent} {action.node.version}")
        self._take(self.session.admit(scope, self._server.clock()))

    def _subscribed(self, action: Subscribed) -> None:
        self._note("subscribe", action.type_url, asked=action.names, removed=action.dropped, cause=action.cause)

    def _send(self, action: Send) -> None:
        self._outbox.append(action.payload)
        self._note(
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

    def _acked(self, action: Acked) -> None:
        self._note("ack", action.type_url, nonce=action.nonce, version=action.version, latency=action.latency)

    def _nacked(self, action: Nacked) -> None:
        self._note(
            "nack",
            action.type_url,
            nonce=action.nonce,
            asked=action.names,
            detail=action.message,
            latency=action.latency,
        )

    def _stale(self, action: Stale) -> None:
        self._note("stale", action.type_url, nonce=action.nonce)

    def _closed(self, action: Close) -> None:
        self.end(action.code, action.message)


_DO: dict[type, Callable[[Stream, Any], None]] = {
    Hello: Stream._hello,  # noqa: SLF001  # a table of this class's own methods
    Subscribed: Stream._subscribed,  # noqa: SLF001
    Send: Stream._send,  # noqa: SLF001
    Acked: Stream._acked,  # noqa: SLF001
    Nacked: Stream._nacked,  # noqa: SLF001
    Stale: Stream._stale,  # noqa: SLF001
    Close: Stream._closed,  # noqa: SLF001
}
