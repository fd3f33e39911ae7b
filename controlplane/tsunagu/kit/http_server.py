"""An HTTP/1.1 server for small requests: what foreign clients of this machine call (AWS's APIs, metrics).

The protocol is h11's. Rule: nothing grows or lasts without limit. Who sends too slowly, takes an answer too slowly or says nothing
is disconnected; connections over the limit wait in the listener's backlog; a body that is too large is refused before it is read.
"""

from __future__ import annotations

import asyncio
from contextlib import closing, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, TypeAlias

import h11

from tsunagu.kit.accepting import accept

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable, Sequence

_PIECE: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """`head`, `body`: bytes of a request. `request`, `answer`: seconds in which one comes in, and is made and taken. `idle`: seconds
    without a request after which a connection is closed.
    """

    connections: int = 128
    head: int = 16 * 1024
    body: int = 1024 * 1024
    request: float = 10.0
    answer: float = 30.0
    idle: float = 60.0


@dataclass(frozen=True, slots=True)
class Request:
    """A request, read to its end. Header names are in lower case, and may be there more than once."""

    method: str
    target: str
    headers: Sequence[tuple[str, str]]
    body: bytes = b""

    def header(self, name: str) -> str:
        """The value of a header that may be there once; the empty string when it is not there, or more than once."""
        values = [value for each, value in self.headers if each == name]
        return values[0] if len(values) == 1 else ""


@dataclass(frozen=True, slots=True)
class Answer:
    """A response. `content-length`, and `connection` where it is needed, are added."""

    status: int
    body: bytes = b""
    content_type: str = "text/plain; charset=utf-8"
    headers: Sequence[tuple[str, str]] = field(default_factory=tuple)


Handler: TypeAlias = "Callable[[Request], Awaitable[Answer]]"
Turn: TypeAlias = "Callable[[], Awaitable[None]]"


class Refused(Exception):
    """A request that is not answered by the handler; the connection ends after `answer`."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.answer = Answer(status, f"{why}\n".encode())


async def serve(
    listener: socket.socket,
    handler: Handler,
    name: str,
    limits: Limits | None = None,
    turn: Turn | None = None,
) -> None:
    """Serve until cancelled; the listener and all connections are then closed. `name` is that of its tasks.

    `turn` is waited for before each request: before a connection for its first (or for none: connections alone are work,
    too), and after each answer for the next. What the handler raises becomes a 500 without a word of the cause, which the exception handler of the loop is given.
    """
    kept = limits or Limits()
    with closing(listener):
        await accept(
            listener,
            kept.connections,
            lambda client: _Connection(client, handler, kept, turn).run(),
            f"{name} connection",
            turn,
        )


class _Connection:
    """One connection. Invariant: between two requests the protocol is in its IDLE state on both sides."""

    def __init__(self, client: socket.socket, handler: Handler, limits: Limits, turn: Turn | None) -> None:
        self._client = client
        self._turn = turn
        self._handler = handler
        self._limits = limits
        self._protocol = h11.Connection(h11.SERVER, max_incomplete_event_size=limits.head)

    async def run(self) -> None:
        """Answers requests until one side ends the connection."""
        with closing(self._client), suppress(OSError, TimeoutError, h11.LocalProtocolError):
            try:
                while await self._one():
                    if self._turn is not None:
                        await self._turn()
            except Refused as refused:
                await self._send(refused.answer, last=True)
            except h11.RemoteProtocolError:
                if self._protocol.our_state in (h11.IDLE, h11.SEND_RESPONSE):
                    await self._send(Answer(HTTPStatus.BAD_REQUEST, b"no HTTP/1.1 request\n"), last=True)

    async def _one(self) -> bool:
        """Answers the next request. Returns whether another may follow."""
        async with asyncio.timeout(self._limits.idle):
            await self._first_bytes()
        async with asyncio.timeout(self._limits.request):
            head = await self._event()
            if not isinstance(head, h11.Request):
                return False
            request = await self._read(head)
        async with asyncio.timeout(self._limits.answer):
            await self._send(await self._answer(request), bodiless=request.method == "HEAD")
        if (self._protocol.our_state, self._protocol.their_state) != (h11.DONE, h11.DONE):
            return False
        self._protocol.start_next_cycle()
        return True

    async def _read(self, head: h11.Request) -> Request:
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in head.headers]
        announced = next((value for name, value in headers if name == "content-length"), "0")
        if int(announced) > self._limits.body:  # digits: h11 has read it
            raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a request may have {self._limits.body} bytes")
        if self._protocol.they_are_waiting_for_100_continue:
            proceed = self._protocol.send(h11.InformationalResponse(status_code=100, headers=[]))
            await asyncio.get_running_loop().sock_sendall(self._client, proceed or b"")
        parts, size = [], 0
        while isinstance(event := await self._event(), h11.Data):
            size += len(event.data)
            if size > self._limits.body:
                raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a request may have {self._limits.body} bytes")
            parts.append(bytes(event.data))
        target = head.target.decode("latin-1")
        return Request(head.method.decode("latin-1"), target, headers, b"".join(parts))

    async def _first_bytes(self) -> None:
        """Wait until a request begins, or the connection ends."""
        if not self._protocol.trailing_data[0]:
            self._protocol.receive_data(await asyncio.get_running_loop().sock_recv(self._client, _PIECE))

    async def _event(self) -> object:
        """The next event that is not "more bytes are needed"."""
        loop = asyncio.get_running_loop()
        while (event := self._protocol.next_event()) is h11.NEED_DATA:
            self._protocol.receive_data(await loop.sock_recv(self._client, _PIECE))
        return event

    async def _answer(self, request: Request) -> Answer:
        try:
            return await self._handler(request)
        except Exception as error:  # noqa: BLE001 - the top of this request: its failure must not end the server
            loop = asyncio.get_running_loop()
            message = f"a request was not answered: {request.method} {request.target}"
            loop.call_exception_handler({"message": message, "exception": error})
            return Answer(HTTPStatus.INTERNAL_SERVER_ERROR, b"internal error\n")

    async def _send(self, answer: Answer, *, bodiless: bool = False, last: bool = False) -> None:
        headers = [
            ("content-type", answer.content_type),
            ("content-length", str(len(answer.body))),
            *answer.headers,
            *([("connection", "close")] if last else ()),
        ]
        reason = HTTPStatus(answer.status).phrase.encode()
        head = h11.Response(status_code=answer.status, headers=headers, reason=reason)
        body = h11.Data(b"" if bodiless else answer.body)
        raw = b"".join(part for event in (head, body, h11.EndOfMessage()) if (part := self._protocol.send(event)))
        await asyncio.get_running_loop().sock_sendall(self._client, raw)
