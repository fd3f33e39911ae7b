"""A client of Envoy's admin interface on its unix socket.

Rule: no request may wait or grow without limit: a hung Envoy costs its caller a timeout, a huge answer an error. Every
request has its own connection, so that nothing is left behind whatever happens. HTTP/1.1 over asyncio streams; Envoy
answers with a length, in chunks, or until it closes. Envoy shows its bootstrap with the task's token in it
(/config_dump): tokens are redacted here, at the only door.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from tsunagu.kit.tokens import TOKEN

MAX_BODY = 64 * 1024 * 1024
_MAX_LINE = 64 * 1024
_TOKEN = re.compile(TOKEN.pattern.encode())


class AdminError(Exception):
    """Envoy's admin interface did not answer as it should."""


class AdminUnreachable(AdminError):
    """Nobody listens at the socket, or no answer came in time: Envoy is not up, or hangs."""


@dataclass(frozen=True, slots=True)
class Response:
    """An answer. `content_type` is empty when there was none."""

    status: int
    content_type: str
    body: bytes

    def json(self) -> Any:
        """The body as a JSON value. Raises AdminError when it is none."""
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise AdminError(f"expected JSON from Envoy, got {self.body[:80]!r}") from error


class Admin:
    """Asks the Envoy whose admin socket is at `path`. `timeout` (seconds) limits each request as a whole."""

    def __init__(self, path: str, *, timeout: float = 2.0, max_body: int = MAX_BODY) -> None:
        self.path = path
        self._timeout = timeout
        self._max_body = max_body

    async def request(self, method: str, target: str, *, timeout: float | None = None) -> Response:
        """One request. Raises AdminUnreachable or AdminError; a status other than 200 is an answer, not an error."""
        if not target.startswith("/") or not target.isprintable() or " " in target:
            raise AdminError(f"{target!r} is no path of the admin interface; one is '/stats?format=json'")
        try:
            async with asyncio.timeout(timeout or self._timeout), self._connect() as (reader, writer):
                writer.write(_request(method, target))
                await writer.drain()
                return await self._response(reader)
        except TimeoutError as error:
            raise AdminUnreachable(f"no answer from Envoy at {self.path} to {method} {target} in time") from error
        except (OSError, asyncio.IncompleteReadError) as error:
            raise AdminUnreachable(f"Envoy at {self.path} cannot be reached: {error}") from error

    async def ready(self) -> bool:
        """Whether Envoy is LIVE: it has had its first configuration. False when it cannot be reached as well."""
        with suppress(AdminUnreachable):
            return (await self.request("GET", "/ready")).status == 200
        return False

    async def listeners(self) -> tuple[str, ...]:
        """Names of the listeners that are active: not those that still warm."""
        answer = (await self._get("/listeners?format=json")).json()
        return tuple(status["name"] for status in answer.get("listener_statuses", ()))

    async def stats(self, pattern: str = "") -> Mapping[str, int]:
        """Counters and gauges whose names match the regular expression `pattern` (all, when empty)."""
        query = f"&filter={_quoted(pattern)}" if pattern else ""
        answer = (await self._get(f"/stats?format=json{query}")).json()
        return {stat["name"]: stat["value"] for stat in answer["stats"] if isinstance(stat.get("value"), int)}

    async def config_dump(self, query: str = "") -> Any:
        """The configuration as Envoy has it, e.g. `query` 'resource=dynamic_listeners' or 'include_eds'."""
        return (await self._get(f"/config_dump?{query}" if query else "/config_dump")).json()

    async def clusters(self) -> Any:
        """Clusters with their hosts and the health of each, as JSON."""
        return (await self._get("/clusters?format=json")).json()

    async def server_info(self) -> Any:
        """State, version and command line of Envoy, as JSON."""
        return (await self._get("/server_info")).json()

    async def post(self, target: str) -> Response:
        """A request that changes something, e.g. '/drain_listeners?graceful&inboundonly'. Raises on a refusal."""
        return _checked("POST", target, await self.request("POST", target))

    async def _get(self, target: str) -> Response:
        return _checked("GET", target, await self.request("GET", target))

    @asynccontextmanager
    async def _connect(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        reader, writer = await asyncio.open_unix_connection(self.path, limit=_MAX_LINE)
        try:
            yield reader, writer
        finally:
            writer.transport.abort()

    async def _response(self, reader: asyncio.StreamReader) -> Response:
        status = _status(await _line(reader))
        headers = {}
        while line := await _line(reader):
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        body = b"".join([part async for part in self._limited(_parts(reader, headers))])
        return Response(status, headers.get("content-type", ""), _TOKEN.sub(b"[redacted]", body))

    async def _limited(self, parts: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        size = 0
        async for part in parts:
            size += len(part)
            if size > self._max_body:
                raise AdminError(f"Envoy's answer is longer than {self._max_body} bytes; ask for less (a filter)")
            yield part


def _checked(method: str, target: str, response: Response) -> Response:
    if response.status != 200:
        text = response.body[:200].decode(errors="replace").strip()
        raise AdminError(f"Envoy answered {method} {target} with {response.status}: {text}")
    return response


def _request(method: str, target: str) -> bytes:
    head = f"{method} {target} HTTP/1.1\r\nhost: envoy\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
    return head.encode("ascii")


def _quoted(pattern: str) -> str:
    # Only what would end the query's value; Envoy decodes percent escapes.
    escapes = {"%": "%25", "&": "%26", "+": "%2B", "#": "%23", " ": "%20"}
    return "".join(escapes.get(character, character) for character in pattern)


def _status(line: str) -> int:
    words = line.split(" ", 2)
    if len(words) < 2 or not words[0].startswith("HTTP/1.") or not words[1].isdigit():
        raise AdminError(f"expected an HTTP/1.1 status line from Envoy, got {line[:80]!r}")
    return int(words[1])


async def _line(reader: asyncio.StreamReader) -> str:
    try:
        line = await reader.readuntil(b"\r\n")
    except asyncio.LimitOverrunError as error:
        raise AdminError(f"a line of Envoy's answer is longer than {_MAX_LINE} bytes") from error
    return line[:-2].decode("latin-1")


async def _parts(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> AsyncIterator[bytes]:
    if headers.get("transfer-encoding", "").lower() == "chunked":
        async for part in _chunks(reader):
            yield part
    elif "content-length" in headers:
        async for part in _exactly(reader, int(headers["content-length"])):
            yield part
    else:
        while part := await reader.read(_MAX_LINE):
            yield part


async def _chunks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while size := _chunk_size(await _line(reader)):
        async for part in _exactly(reader, size):
            yield part
        await reader.readexactly(2)


def _chunk_size(line: str) -> int:
    try:
        return int(line.partition(";")[0], 16)
    except ValueError as error:
        raise AdminError(f"expected the size of a chunk from Envoy, got {line[:80]!r}") from error


async def _exactly(reader: asyncio.StreamReader, size: int) -> AsyncIterator[bytes]:
    while size:
        part = await reader.read(min(size, _MAX_LINE))
        if not part:
            raise asyncio.IncompleteReadError(b"", size)
        size -= len(part)
        yield part
