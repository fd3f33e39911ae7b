"""One request and its answer over HTTP/1.1, gRPC or plain TCP: what a worker of a load does again and again.

Rule: nothing is tried again. What did not get a whole answer raises, and the kind of the failure is a word that a report can
count.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from tsunagu.kit.http import HttpConnection, Response

if TYPE_CHECKING:
    from collections.abc import Callable

    import grpc

    from tsunagu.testing.target import Target

_MOST = 64 * 1024  # bytes of a line


class CallFailed(Exception):
    """What was answered is no answer: `kind` is the name of a gRPC status other than OK, or "no line"."""

    def __init__(self, kind: str, details: str) -> None:
        self.kind = kind
        super().__init__(details)


class Exchange(Protocol):
    """One connection, or what stands for it: a request at a time."""

    async def ask(self, timeout: float) -> Response:
        """Send the request and return its answer. Raises OSError (also TimeoutError), HttpError or CallFailed."""
        ...

    def close(self) -> None:
        """End the connection, if there is one."""
        ...


class HttpExchange:
    """GET over a connection that is kept."""

    def __init__(self, target: Target, send: bytes = b"") -> None:
        self._connection = HttpConnection(target.address)
        self._request = target.request("POST" if send else "GET", send)

    async def ask(self, timeout: float) -> Response:
        return await self._connection.request(self._request, timeout=timeout)

    def close(self) -> None:
        self._connection.close()


class LineExchange:
    """A new TCP connection for each request: sends the bytes, and the first line is the answer."""

    def __init__(self, target: Target, send: bytes = b"") -> None:
        self._address, self._send = target.address, send

    async def ask(self, timeout: float) -> Response:
        async with asyncio.timeout(timeout):
            return Response(200, {}, await self._line())

    async def _line(self) -> bytes:
        reader, writer = await asyncio.open_connection(*self._address, limit=_MOST)
        try:
            writer.write(self._send)
            await writer.drain()
            line = await reader.readline()
        except ValueError:
            raise CallFailed("no line", f"a line is longer than {_MOST} bytes") from None
        finally:
            writer.close()
        if not line.endswith(b"\n"):
            raise ConnectionResetError("ended before there was a line")
        return line

    def close(self) -> None:
        """Do nothing: no connection outlives its request."""


class GrpcExchange:
    """Unary calls of one method over a channel with a connection of its own, which is kept."""

    def __init__(self, target: Target, send: bytes = b"") -> None:
        import grpc  # noqa: PLC0415 - only a load of gRPC needs it

        options = (("grpc.use_local_subchannel_pool", 1), ("grpc.default_authority", target.authority))
        self._channel = grpc.aio.insecure_channel("{}:{}".format(*target.address), options=options)
        self._method: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = self._channel.unary_unary(target.path)
        self._send, self._error = send, grpc.aio.AioRpcError

    async def ask(self, timeout: float) -> Response:
        try:
            return Response(200, {}, await self._method(self._send, timeout=timeout))
        except self._error as error:
            raise CallFailed(error.code().name, error.details() or "") from None

    def close(self) -> None:
        """Leave the channel to its end: closing it waits."""


EXCHANGES: dict[str, Callable[[Target, bytes], Exchange]] = {
    "http": HttpExchange,
    "grpc": GrpcExchange,
    "tcp": LineExchange,
}
"""By the scheme of a load's URL."""
