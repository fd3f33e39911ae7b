"""A small HTTP/1.1 server for a socket that apps may call as they like: GET and HEAD, JSON answers, no bodies of requests.

Rule: nothing grows or lasts without limit. At most `CONNECTIONS` are open; the next ones wait in the socket's backlog. `RATE`
requests a second are answered, after a burst of `BURST`, which is what ECS's agent answers to a task; whoever asks for more
waits. A request has `PATIENCE` seconds to come in, an answer as long to be taken, and a connection that says nothing is closed
after the same time. The protocol is h11's.
"""

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

import h11

from tsunagu.kit.accepting import accept
from tsunagu.kit.log import get

CONNECTIONS: Final = 16
RATE: Final = 40
BURST: Final = 60
PATIENCE: Final = 10.0
_HEAD: Final = 16 * 1024
_BODY: Final = 64 * 1024  # of a request, which nobody reads
_PIECE: Final = 16 * 1024
log = get("node.metadata")


@dataclass(frozen=True, slots=True)
class Answer:
    """`body` is sent as `content_type` says."""

    status: int
    body: bytes
    content_type: str = "application/json"

    @classmethod
    def of(cls, value: object, status: int = 200) -> "Answer":
        """Return a JSON answer."""
        return cls(status, json.dumps(value).encode())


#: Method and target of a request -> the answer.
Answering = Callable[[str, str], Awaitable[Answer]]
_FAILED: Final = Answer.of("failed to get metadata", 500)
_BAD: Final = Answer(400, b"Bad Request\n", "text/plain; charset=utf-8")


class Pace:
    """When the next request is answered: at the earliest one `RATE`th of a second after the last, unless a burst is saved up."""

    def __init__(self) -> None:
        self._due = 0.0  # of the next request, as if none had been saved up

    def delay(self, now: float) -> float:
        """Return for how many seconds a request that comes now has to wait."""
        self._due = max(self._due, now - BURST / RATE) + 1 / RATE
        return max(0.0, self._due - now)

    async def turn(self) -> None:
        """Wait for one's turn."""
        await asyncio.sleep(self.delay(asyncio.get_running_loop().time()))


async def serve(listener: socket.socket, answer: Answering, name: str) -> None:
    """Serve until cancelled; the listener and all connections are then closed. `name` is that of its tasks."""
    pace = Pace()
    with closing(listener):
        # Connections alone are work, too: each takes the turn of its first request, or of none.
        await accept(
            listener, CONNECTIONS, lambda client: _connection(client, answer, pace), f"{name} connection", pace.turn
        )


async def _connection(client: socket.socket, answer: Answering, pace: Pace) -> None:
    protocol = h11.Connection(h11.SERVER, max_incomplete_event_size=_HEAD)
    with closing(client), suppress(OSError, TimeoutError):
        while True:
            async with asyncio.timeout(PATIENCE):
                request = await _request(client, protocol)
            if request is None:
                return
            found = await _answered(request, answer)
            async with asyncio.timeout(PATIENCE):
                await _respond(client, protocol, found, bodiless=request.method == b"HEAD")
            if (protocol.our_state, protocol.their_state) != (h11.DONE, h11.DONE):
                return
            protocol.start_next_cycle()
            await pace.turn()


async def _request(client: socket.socket, protocol: h11.Connection) -> h11.Request | None:
    """Return the next request, read to its end; None when there is none, or when it was none and that has been said."""
    loop = asyncio.get_running_loop()
    request, size = None, 0
    try:
        while True:
            event = protocol.next_event()
            if event is h11.NEED_DATA:
                protocol.receive_data(await loop.sock_recv(client, _PIECE))
            elif isinstance(event, h11.Request):
                request = event
            elif isinstance(event, h11.Data):
                size += len(event.data)
                if size > _BODY:
                    return None
            elif isinstance(event, h11.EndOfMessage):
                return request
            else:
                return None
    except h11.RemoteProtocolError:
        if protocol.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            await _respond(client, protocol, _BAD)
        return None


async def _answered(request: h11.Request, answer: Answering) -> Answer:
    try:
        return await answer(request.method.decode("ascii"), request.target.decode("ascii", "replace"))
    except Exception:
        # The top of this request: what fails in its answer must end neither the endpoint nor the task.
        log.exception("metadata is not answered", target=request.target.decode("ascii", "replace"))
        return _FAILED


async def _respond(client: socket.socket, protocol: h11.Connection, answer: Answer, *, bodiless: bool = False) -> None:
    headers = [("content-type", answer.content_type), ("content-length", str(len(answer.body)))]
    reason = HTTPStatus(answer.status).phrase.encode()
    head = h11.Response(status_code=answer.status, headers=headers, reason=reason)
    body = h11.Data(b"" if bodiless else answer.body)
    raw = b"".join(part for event in (head, body, h11.EndOfMessage()) if (part := protocol.send(event)))
    await asyncio.get_running_loop().sock_sendall(client, raw)
