"""One call, made inside a task by its node agent: what to send, and what the bytes that come back mean.

The one rule: it sends what an app might send, once, and never more than one request; it is counted by every Envoy on the way
as any call is.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from tsunagu.cli.why.facts import Answer, short_time
from tsunagu.kit.http import Exchange, HttpError, Request, ResponseTooLarge
from tsunagu.v1 import node_pb2

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tsunagu.cli.why.target import Target
    from tsunagu.kit.http import Response

#: The connection preface of HTTP/2 with empty SETTINGS (RFC 9113, 3.4); a server answers with its own SETTINGS.
_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
_FRAME_HEAD: Final = 9
_SETTINGS, _GOAWAY = 4, 7
_TLS: Final = (b"\x15\x03", b"\x16\x03")
GRPC_PATH: Final = "/grpc.health.v1.Health/Check"
_BODY: Final = 64 * 1024
QUIET: Final = 0.5
"""Seconds in which a tcp server that has nothing to say first says nothing."""
CONNECTED_BY: Final = 3.5
"""Seconds after which an Envoy that has taken a tcp connection has reached an endpoint, or closed it: three attempts of a second."""
_CONNECT: Final = 3.0
_KEPT: Final = 400
_HEAD_END: Final = b"\r\n\r\n"


@dataclass(slots=True)
class Conversation:
    """What to send on a connection, and what came back. `http`: an HTTP/1.1 answer ends it; `patience`: seconds at most, from
    the moment that there is a connection, for which `connecting` seconds are waited.
    """

    sends: bytes = b""
    patience: float = 5.0
    exchange: Exchange | None = None
    began: float = field(default_factory=time.monotonic)
    seen: bytes = b""
    answer: Answer | None = None  # set when nothing more is to be waited for

    @property
    def connecting(self) -> float:
        """Seconds until there must be a connection: a busy machine needs more of them than an answer that nobody gives."""
        return max(self.patience, _CONNECT)

    @classmethod
    def http(cls, target: Target, protocol: str, patience: float) -> Conversation:
        """A request as the app of a task makes it; in HTTP/1.1, since Envoy speaks HTTP/2 to a server that wants it."""
        exchange = Exchange(max_body=_BODY)
        headers = {"user-agent": "tsunagu-why", "connection": "close"}
        host = str(target)
        request = Request(target.path or "/", "GET", host, headers)
        if protocol == "grpc":
            grpc_headers = {**headers, "content-type": "application/grpc", "te": "trailers"}
            request = Request(target.path or GRPC_PATH, "POST", host, grpc_headers, bytes(5))
        return cls(exchange.send(request), patience, exchange)

    @classmethod
    def http2(cls, patience: float) -> Conversation:
        """The question whether a server speaks HTTP/2 without TLS."""
        return cls(_PREFACE, patience)

    @classmethod
    def tls(cls, patience: float) -> Conversation:
        """The question whether a server speaks TLS: a ClientHello (RFC 8446, 4.1.2), to which it answers with its own, or an alert."""
        sent = ssl.MemoryBIO()
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # nothing is told to who answers
        with suppress(ssl.SSLWantReadError):
            context.wrap_bio(ssl.MemoryBIO(), sent).do_handshake()
        return cls(sent.read(), patience)

    @classmethod
    def tcp(cls, quiet: float = QUIET) -> Conversation:
        """A connection on which nothing is sent, and that is looked at for so many seconds."""
        return cls(b"", quiet)

    def receive(self, data: bytes) -> None:
        """Take bytes; `answer` is set once they say enough."""
        self.seen = (self.seen + data)[:_BODY]
        spoke = spoken(self.seen)
        if self.exchange is None:
            self.answer = self._answer(spoke=spoke) if spoke else None
            return
        if spoke and spoke != "http1":
            self.answer = self._answer(spoke=spoke)
            return
        try:
            response = self.exchange.receive(data)
        except ResponseTooLarge:  # as large as it may be: there is one
            self.answer = self._part()
        except HttpError as error:
            self.answer = self._part(broken=str(error.__cause__ or error))
        else:
            self.answer = self._whole(response) if response is not None else None

    def end(self, how: str) -> Answer:
        """The other side has ended the connection."""
        if self.exchange is not None and how == "closed" and spoken(self.seen) == "http1":
            with suppress(ConnectionError):
                self.receive(b"")  # a body may end with its connection
        return self.answer or self._part(ended=how)

    def give_up(self) -> Answer:
        """Time is over."""
        return self.answer or self._part(timed_out=bool(self.sends))

    def unconnected(self) -> Answer:
        """Time is over, and there is no connection yet."""
        return self._answer(refused=f"no connection for {short_time(self.connecting)}", timed_out=True)

    def _part(self, **more: Any) -> Answer:
        """What has come of an answer that is not whole."""
        found = self.exchange.unfinished if self.exchange else None
        return self._whole(found, **more) if found else self._answer(spoke=spoken(self.seen), **more)

    def _whole(self, response: Response, **more: Any) -> Answer:
        head = self.seen.partition(_HEAD_END)[0]
        known = {"headers": dict(response.headers), "body": response.text[:_KEPT], "lines": head.count(b"\n")}
        return self._answer(spoke="http1", status=response.status, size=len(head), **known, **more)

    def _answer(self, **more: Any) -> Answer:
        return Answer(seconds=time.monotonic() - self.began, **more)


def spoken(data: bytes) -> str:
    """The protocol that bytes belong to; empty while there are too few of them."""
    if data.startswith(b"HTTP/1."):
        return "http1"
    if data.startswith(_TLS):
        return "tls"
    if len(data) >= _FRAME_HEAD and data[3] in (_SETTINGS, _GOAWAY) and data[5:9] == bytes(4):
        return "http2"
    return "other" if data and not b"HTTP/1.".startswith(data[:7]) and len(data) >= _FRAME_HEAD else ""


async def call(agent: Any, start: node_pb2.DialStart, talk: Conversation) -> Answer:
    """Make the call through a node agent."""
    connected = asyncio.Event()
    stream = agent.Dial(_requests(start, talk, connected))
    try:
        async with asyncio.timeout(talk.connecting) as limit:
            return await _talk(stream, talk, connected, limit)
    except TimeoutError:
        return talk.give_up() if connected.is_set() else talk.unconnected()
    finally:
        stream.cancel()


async def _requests(
    start: node_pb2.DialStart, talk: Conversation, connected: asyncio.Event
) -> AsyncIterator[node_pb2.DialRequest]:
    """An iterator, since grpc.aio loses what a call has answered when a write of its own fails."""
    yield node_pb2.DialRequest(start=start)
    await connected.wait()
    if talk.sends:
        yield node_pb2.DialRequest(sent=talk.sends)


async def _talk(stream: Any, talk: Conversation, connected: asyncio.Event, limit: asyncio.Timeout) -> Answer:
    async for message in stream:
        match message.WhichOneof("response"):
            case "connected":
                talk.began = time.monotonic()
                limit.reschedule(asyncio.get_running_loop().time() + talk.patience)
                connected.set()
            case "received":
                talk.receive(message.received)
            case "refused":
                return Answer(refused=message.refused)
            case "ended":
                return talk.end(message.ended)
        if talk.answer is not None:
            return talk.answer
    return talk.end("reset")
