"""A small HTTP/1.1 client connection over asyncio streams, for load: one request at a time, kept alive between them.

Rule: it hides nothing. A connection that the other side ended under a request is a failure of that request, no retry.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

_MAX_LINE = 64 * 1024
_MAX_BODY = 16 * 1024 * 1024


class HttpError(Exception):
    """What came was no HTTP/1.1 answer, or too long."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a URL leads to. `connect` may be another address than the URL's own, which then only names the host."""

    host: str
    port: int
    path: str
    authority: str

    @classmethod
    def parse(cls, url: str, connect: tuple[str, int] | None = None) -> "Target":
        """Of an http:// URL. Raises ValueError."""
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname:
            raise ValueError(f"{url!r} is no URL for this; one is http://orders/items or http://127.0.0.1:8080/")
        host, port = connect or (parts.hostname, parts.port or 80)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return cls(host, port, path, parts.netloc)


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer; header names in lower case, the last of a repeated one."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class HttpConnection:
    """One connection to `target`, opened when first needed and again after it was closed."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def get(self) -> Answer:
        """One GET of the target. Raises OSError (EOFError among them) and HttpError; the connection is then closed."""
        try:
            return await self._exchange()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Closes at once."""
        if self._streams:
            self._streams[1].transport.abort()
            self._streams = None

    async def _exchange(self) -> Answer:
        if self._streams is None:
            self._streams = await asyncio.open_connection(self.target.host, self.target.port, limit=_MAX_LINE)
        reader, writer = self._streams
        writer.write(f"GET {self.target.path} HTTP/1.1\r\nhost: {self.target.authority}\r\n\r\n".encode("ascii"))
        await writer.drain()
        answer, kept = await _read(reader)
        if not kept:
            self.close()
        return answer


async def _read(reader: asyncio.StreamReader) -> tuple[Answer, bool]:
    status = _status(await _line(reader))
    headers: dict[str, str] = {}
    while line := await _line(reader):
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    body, bounded = await _body(reader, headers)
    kept = bounded and headers.get("connection", "").lower() != "close"
    return Answer(status, headers, body), kept


async def _body(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> tuple[bytes, bool]:
    if headers.get("transfer-encoding", "").lower() == "chunked":
        return await _chunks(reader), True
    if "content-length" in headers:
        return await reader.readexactly(_size(headers["content-length"], 10)), True
    return await reader.read(_MAX_BODY), False


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    parts: list[bytes] = []
    total = 0
    while size := _size((await _line(reader)).partition(";")[0], 16):
        total += size
        if total > _MAX_BODY:
            raise HttpError(f"an answer longer than {_MAX_BODY} bytes")
        parts.append(await reader.readexactly(size))
        await reader.readexactly(2)
    while await _line(reader):  # trailers, then the end
        pass
    return b"".join(parts)


def _size(text: str, base: int) -> int:
    try:
        size = int(text, base)
    except ValueError:
        raise HttpError(f"{text[:40]!r} is no size of a body") from None
    if not 0 <= size <= _MAX_BODY:
        raise HttpError(f"a body of {size} bytes")
    return size


def _status(line: str) -> int:
    words = line.split(" ", 2)
    if len(words) < 2 or not words[0].startswith("HTTP/1.") or not words[1].isdigit():
        raise HttpError(f"{line[:80]!r} is no HTTP/1.1 status line")
    return int(words[1])


async def _line(reader: asyncio.StreamReader) -> str:
    try:
        return (await reader.readuntil(b"\r\n"))[:-2].decode("latin-1")
    except asyncio.LimitOverrunError as error:
        raise HttpError(f"a line longer than {_MAX_LINE} bytes") from error
