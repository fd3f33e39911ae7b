"""An HTTP/1.1 client for local servers: Envoy's admin socket, the apps of a mesh, the targets of a load test.

The protocol is h11's; `Exchange` is one connection without IO, `HttpConnection` drives it over a unix socket or TCP with
asyncio. Rule: no answer grows or lasts without limit, and nothing is hidden: no retry, no redirect, no decoding. A
connection that the other side ended under a request is a failure of that request.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import h11

if TYPE_CHECKING:
    from collections.abc import Mapping

#: The path of a unix socket, or host and port.
Address: TypeAlias = str | tuple[str, int]

_CHUNK: Final = 64 * 1024
_MAX_HEAD: Final = 64 * 1024
_MAX_BODY: Final = 16 * 1024 * 1024
_TIMEOUT: Final = 20.0


class HttpError(Exception):
    """The server's answer is no HTTP/1.1 response, or the request cannot be expressed as one."""


class ResponseTooLarge(HttpError):
    """The body of the response is larger than the caller allows."""


class ConnectionEnded(ConnectionError):
    """The other side ended the connection before its response was complete."""


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP request. `target` is the path with its query; `host` the value of the header of that name."""

    target: str = "/"
    method: str = "GET"
    host: str = "localhost"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Response:
    """An HTTP response; header names in lower case, of a repeated one the last value."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The body as UTF-8, with replacement characters where it is none."""
        return self.body.decode(errors="replace")

    def json(self) -> Any:
        """The body as a JSON value. Raises ValueError."""
        return json.loads(self.body)


class Exchange:
    """Requests and responses on one connection, without IO: `send` returns bytes to write, `receive` takes what was read.

    `max_body` (bytes) limits the body of a response; a head must be complete within 64 KiB and one read more.
    """

    def __init__(self, *, max_body: int = _MAX_BODY) -> None:
        self._protocol = h11.Connection(h11.CLIENT, max_incomplete_event_size=_MAX_HEAD)
        self._max_body = max_body
        self._head: h11.Response | None = None  # set from the head of a response to its end
        self._parts: list[bytes] = []  # of its body
        self._size = 0  # of these parts together

    @property
    def reusable(self) -> bool:
        """Whether another request may follow the last response: both sides keep the connection, and nothing is left over."""
        states = (self._protocol.our_state, self._protocol.their_state)
        return states == (h11.IDLE, h11.IDLE) and not self._protocol.trailing_data[0]

    @property
    def unfinished(self) -> Response | None:
        """The response of which the head has come and not the end, with as much of its body as has; None when there is none."""
        return self._response(self._head) if self._head is not None else None

    def send(self, request: Request) -> bytes:
        """The bytes of the request. Raises HttpError when it cannot be one (a target with a space, say)."""
        headers = {"host": request.host, **request.headers}
        if request.body or request.method not in ("GET", "HEAD"):
            headers["content-length"] = str(len(request.body))
        try:
            head = h11.Request(method=request.method, target=request.target, headers=list(headers.items()))
            parts = [self._protocol.send(event) for event in (head, h11.Data(request.body), h11.EndOfMessage())]
        except (h11.LocalProtocolError, UnicodeEncodeError) as error:
            raise HttpError(f"{request.method} {request.target!r} is no HTTP request: {error}") from error
        return b"".join(part for part in parts if part)

    def receive(self, data: bytes) -> Response | None:
        """Takes bytes, empty at the end of the connection; returns the response once it is complete.

        Raises HttpError, ResponseTooLarge and ConnectionEnded.
        """
        try:
            self._protocol.receive_data(data)
            return self._advance()
        except h11.RemoteProtocolError as error:
            if not data:
                raise ConnectionEnded("the connection ended before the response was complete") from error
            raise HttpError(f"no HTTP/1.1 response: {error}") from error

    def _advance(self) -> Response | None:
        while True:
            match event := self._protocol.next_event():
                case h11.Response():
                    self._begin(event)
                case h11.Data():
                    self._keep(bytes(event.data))
                case h11.EndOfMessage():
                    return self._complete()
                case h11.ConnectionClosed():
                    raise ConnectionEnded("the connection ended before a response")
                case h11.PAUSED:
                    raise HttpError("the server speaks another protocol now")
                case h11.NEED_DATA:
                    return None
                case _:  # an informational response (100-199): the final one follows
                    continue

    def _begin(self, head: h11.Response) -> None:
        self._head = head
        announced = dict(head.headers).get(b"content-length", b"0")  # digits: h11 has read it
        if int(announced) > self._max_body:
            raise ResponseTooLarge(f"the body of the response has {int(announced)} bytes; {self._max_body} are allowed")

    def _keep(self, part: bytes) -> None:
        self._size += len(part)
        if self._size > self._max_body:
            raise ResponseTooLarge(f"the body of the response is longer than {self._max_body} bytes")
        self._parts.append(part)

    def _complete(self) -> Response:
        assert self._head is not None
        response = self._response(self._head)
        self._head, self._parts, self._size = None, [], 0
        if (self._protocol.our_state, self._protocol.their_state) == (h11.DONE, h11.DONE):
            self._protocol.start_next_cycle()
        return response

    def _response(self, head: h11.Response) -> Response:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in head.headers}
        return Response(head.status_code, headers, b"".join(self._parts))


class HttpConnection:
    """One connection to `address`, opened when first needed and again after it was closed. One request at a time."""

    def __init__(self, address: Address, *, max_body: int = _MAX_BODY) -> None:
        self.address = address
        self._max_body = max_body
        self._exchange = Exchange(max_body=max_body)
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None  # None: not connected

    async def request(self, request: Request, *, timeout: float = _TIMEOUT) -> Response:
        """Sends one request and returns the response, connecting included, within `timeout` seconds.

        Raises TimeoutError, OSError (ConnectionEnded among them) and HttpError; the connection is then closed.
        """
        try:
            async with asyncio.timeout(timeout):
                response = await self._respond(request)
        except BaseException:
            self.close()
            raise
        if not self._exchange.reusable:
            self.close()
        return response

    def close(self) -> None:
        """Closes at once; a request in flight is lost."""
        if self._streams:
            self._streams[1].transport.abort()
            self._streams = None

    async def _respond(self, request: Request) -> Response:
        reader, writer = self._streams or await self._connect()
        writer.write(self._exchange.send(request))
        await writer.drain()
        while True:
            response = self._exchange.receive(await reader.read(_CHUNK))
            if response is not None:
                return response

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if isinstance(self.address, str):
            self._streams = await asyncio.open_unix_connection(self.address)
        else:
            self._streams = await asyncio.open_connection(*self.address)
        self._exchange = Exchange(max_body=self._max_body)
        return self._streams


async def ask(address: Address, request: Request, *, timeout: float = _TIMEOUT, max_body: int = _MAX_BODY) -> Response:
    """One request on a connection of its own, so that nothing is left behind whatever happens. Raises as `HttpConnection`."""
    connection = HttpConnection(address, max_body=max_body)
    only = replace(request, headers={"connection": "close", **request.headers})
    try:
        return await connection.request(only, timeout=timeout)
    finally:
        connection.close()
