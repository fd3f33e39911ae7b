"""The API of a container engine (Docker's, or Podman's compatible one) on its unix socket.

Rule: every request has a connection of its own, so that a stream that lasts for hours takes no place from another request.
An engine that restarts is waited for: a request whose connection was refused has done nothing, and is tried again.
The protocol is h11's; a stream that is no HTTP any more (`upgrade`) is handed out as it is.
"""

import asyncio
import json
from collections.abc import AsyncIterable, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.parse import quote, urlencode

import h11

from tsunagu.kit.backoff import Backoff
from tsunagu_node.runtime.contract import RuntimeFailed

NEWEST: Final = (1, 44)
"""The newest version of the API whose answers this code knows; an engine that has an older one is spoken to in that."""
_CHUNK: Final = 64 * 1024
_RETRY: Final = Backoff(base=0.02, cap=0.5)
_PATIENCE: Final = 20.0  # seconds for which an engine that does not listen is waited for
_TIMEOUT: Final = 120.0
_ANSWER: Final = 64 * 1024 * 1024
_ABSENT: Final = (FileNotFoundError, ConnectionRefusedError)
Pair = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class EngineError(RuntimeFailed):
    """The engine refused a request. `status`: of HTTP; the message is the engine's own."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class EngineGone(RuntimeFailed):
    """Nobody listens at the engine's socket, or the connection ended before the answer."""


class Answer:
    """A response whose body is read piece by piece."""

    def __init__(self, protocol: h11.Connection, reader: asyncio.StreamReader) -> None:
        self._protocol = protocol
        self._reader = reader

    async def status(self) -> int:
        """Return the status, once its head has come. Raises EngineGone."""
        event = await self._next()
        while isinstance(event, h11.InformationalResponse) and event.status_code != 101:
            event = await self._next()
        if not isinstance(event, h11.Response | h11.InformationalResponse):
            raise EngineGone("the container engine ended the connection without an answer")
        return event.status_code

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield the body as it comes. Raises EngineGone when the connection ends before the body does."""
        while isinstance(event := await self._next(), h11.Data):
            yield bytes(event.data)
        if not isinstance(event, h11.EndOfMessage):
            raise EngineGone("the container engine ended the connection in the middle of an answer")

    async def body(self) -> bytes:
        parts, size = [], 0
        async for piece in self.pieces():
            size += len(piece)
            if size > _ANSWER:
                raise EngineError(0, f"the container engine's answer is longer than {_ANSWER} bytes")
            parts.append(piece)
        return b"".join(parts)

    async def _next(self) -> Any:
        try:
            while (event := self._protocol.next_event()) is h11.NEED_DATA:
                self._protocol.receive_data(await self._reader.read(_CHUNK))
        except (h11.RemoteProtocolError, OSError) as error:
            raise EngineGone(f"the connection to the container engine broke: {error}") from error
        return event


class Engine:
    """The engine at the unix socket `socket`. `version`: the prefix of each path, empty until `negotiate`."""

    def __init__(self, socket: str, *, patience: float = _PATIENCE) -> None:
        self.socket = socket
        self.version = ""
        self._patience = patience

    async def negotiate(self) -> Mapping[str, Any]:
        """Agree on a version of the API; return the answer to /version. Raises EngineError, EngineGone."""
        answer: Mapping[str, Any] = await self.call("GET", "/version")
        theirs = tuple(int(part) for part in answer["ApiVersion"].split("."))
        self.version = "/v{}.{}".format(*min(theirs, NEWEST))
        return answer

    async def call(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        *,
        timeout: float = _TIMEOUT,
    ) -> Any:
        """Send one request; return the answer's JSON value, None when it has none. Raises EngineError, EngineGone."""
        try:
            async with asyncio.timeout(timeout), self.stream(method, path, query, body) as answer:
                text = await answer.body()
        except TimeoutError as error:
            raise EngineGone(f"the container engine did not answer {method} {path} within {timeout:g} s") from error
        return json.loads(text) if text.strip() else None

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> AsyncIterator[Answer]:
        """Send one request and yield its answer, to be read piece by piece. `body`: a JSON value, or bytes as they come."""
        reader, writer = await self._connect()
        try:
            protocol = h11.Connection(h11.CLIENT)
            await _send(protocol, writer, (method, self._target(path, query)), body, headers or {})
            answer = Answer(protocol, reader)
            await _checked(answer)
            yield answer
        except OSError as error:
            raise EngineGone(f"the connection to the container engine broke: {error}") from error
        finally:
            writer.transport.abort()

    async def upgrade(self, path: str, body: Any) -> tuple[bytes, Pair]:
        """Send a request after which both sides speak raw; return what came already, and the streams. The caller closes them."""
        reader, writer = await self._connect()
        try:
            protocol = h11.Connection(h11.CLIENT)
            headers = {"connection": "Upgrade", "upgrade": "tcp"}
            await _send(protocol, writer, ("POST", self._target(path, None)), body, headers)
            await _checked(Answer(protocol, reader))
            return protocol.trailing_data[0], (reader, writer)
        except OSError as error:
            writer.transport.abort()
            raise EngineGone(f"the connection to the container engine broke: {error}") from error
        except BaseException:
            writer.transport.abort()
            raise

    def _target(self, path: str, query: Mapping[str, Any] | None) -> str:
        words = {name: _word(value) for name, value in (query or {}).items()}
        return f"{self.version}{quote(path, safe='/:@')}" + (f"?{urlencode(words)}" if words else "")

    async def _connect(self) -> Pair:
        loop = asyncio.get_running_loop()
        deadline, failures = loop.time() + self._patience, 0
        while True:
            try:
                return await asyncio.open_unix_connection(self.socket)
            except _ABSENT as error:
                failures += 1
                if loop.time() >= deadline:
                    raise EngineGone(f"no container engine listens at {self.socket}: {error.strerror}") from error
            except OSError as error:
                raise EngineGone(f"the container engine at {self.socket} is out of reach: {error}") from error
            await asyncio.sleep(_RETRY.delay(failures))


async def _send(
    protocol: h11.Connection,
    writer: asyncio.StreamWriter,
    line: tuple[str, str],
    body: Any,
    headers: Mapping[str, str],
) -> None:
    """Send a request. `line`: its method and its target."""
    method, target = line
    fields = {"host": "docker", "connection": "close", **headers}
    if isinstance(body, AsyncIterable):
        pieces, fields["transfer-encoding"] = body, "chunked"
    else:
        raw = b"" if body is None else json.dumps(body).encode()
        pieces = _single(raw)
        fields["content-length"] = str(len(raw))
        if raw:
            fields["content-type"] = "application/json"
    head = h11.Request(method=method, target=target, headers=list(fields.items()))
    writer.write(protocol.send(head) or b"")
    async for piece in pieces:
        writer.write(protocol.send(h11.Data(piece)) or b"")
        await writer.drain()
    writer.write(protocol.send(h11.EndOfMessage()) or b"")
    await writer.drain()


async def _single(raw: bytes) -> AsyncIterator[bytes]:
    if raw:
        yield raw


async def _checked(answer: Answer) -> None:
    """Wait for the head of the answer. Raises EngineError with the engine's words when it is a refusal."""
    status = await answer.status()
    if status >= 400:
        text = (await answer.body()).decode(errors="replace")
        raise EngineError(status, _message(text) or f"the container engine answered with {status}")


def _message(text: str) -> str:
    try:
        return str(json.loads(text)["message"]).strip()
    except (ValueError, KeyError, TypeError):
        return text.strip()


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return "1" if value else "0"
    return value if isinstance(value, str) else json.dumps(value) if isinstance(value, dict | list) else str(value)
