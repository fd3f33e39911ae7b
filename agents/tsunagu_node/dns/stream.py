"""Connections that a twin relays: to its caller in plaintext, to its task in plaintext or with TLS.

Rule: both kinds behave alike. The end of one direction leaves the other open: of TLS it is a close_notify, which is why OpenSSL works on
buffers here; asyncio's own TLS ends both at once. What ends without it, or in an error, is an OSError.
"""

import asyncio
import socket
import ssl
import struct
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Protocol

PIECE: Final = 65536
_RESET: Final = struct.pack("ii", 1, 0)
Target = tuple[str, int]


class Stream(Protocol):
    """One connection. Nobody reads, or writes, twice at once; all raise OSError."""

    async def read(self) -> bytes:
        """Return what came; nothing: the other side has ended its direction."""

    async def write(self, piece: bytes) -> None:
        """Send it all."""

    async def end(self) -> None:
        """End our direction."""

    def reset(self) -> None:
        """Have `close` tell the other side that this was no end."""

    def close(self) -> None:
        """End both directions."""


@dataclass(frozen=True, slots=True)
class Way:
    """How a task is reached. `context`: of TLS, None: in plaintext; the server has to prove the SPIFFE ID `server`."""

    target: Target
    context: ssl.SSLContext | None = None
    server: str = ""


class Foreign(ssl.SSLError):
    """The server's certificate is good, and somebody else's."""


class Plain:
    """A connection in plaintext; takes the socket over."""

    def __init__(self, own: socket.socket) -> None:
        own.setblocking(False)
        own.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._own = own
        self._loop = asyncio.get_running_loop()

    async def connect(self, target: Target) -> None:
        await self._loop.sock_connect(self._own, target)

    async def read(self) -> bytes:
        return await self._loop.sock_recv(self._own, PIECE)

    async def write(self, piece: bytes) -> None:
        await self._loop.sock_sendall(self._own, piece)

    async def end(self) -> None:
        with suppress(OSError):
            self._own.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        with suppress(OSError):
            self._own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)

    def close(self) -> None:
        self._own.close()


class Tls:
    """A connection with TLS over another one, as its client.

    Invariant: `_came` is empty, but for a part of a record, whenever somebody else may run; so OpenSSL never finds unread data
    when it is to end our direction, which it takes for an error.
    """

    def __init__(self, carrier: Plain, context: ssl.SSLContext) -> None:
        self._carrier = carrier
        self._came, self._goes = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._came, self._goes)
        self._sending = asyncio.Lock()  # what is read may have to be answered, too
        self._ended = False  # the other side has ended its direction
        self._failure: ssl.SSLError | None = None  # what ended both

    async def shake_hands(self, server: str) -> None:
        """Prove who we are to a server that proves the SPIFFE ID `server`."""
        while True:
            try:
                self._tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                await self._flush()
                self._take(await self._carrier.read())
        await self._flush()
        names = _names(self._tls.getpeercert())
        if names != [("URI", server)]:
            raise Foreign(f"the server is {', '.join(name for _, name in names) or 'nobody'}, and not {server}")

    async def read(self) -> bytes:
        while not (found := self._read()) and not self._ended:
            await self._flush()
            self._take(await self._carrier.read())
        return found

    async def write(self, piece: bytes) -> None:
        self._tls.write(piece)
        await self._flush()

    async def end(self) -> None:
        with suppress(ssl.SSLError):  # it asks for the other side's end, which may come much later
            self._tls.unwrap()
        with suppress(OSError):
            await self._flush()

    def reset(self) -> None:
        self._carrier.reset()

    def close(self) -> None:
        self._carrier.close()

    def _read(self) -> bytes:
        """Return all that can be read now. An error is raised when what came before it has been read."""
        pieces = []
        try:
            while self._failure is None and not self._ended:
                pieces.append(self._tls.read(PIECE))
                self._ended = not pieces[-1]
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self._ended = True
        except ssl.SSLError as error:
            self._failure = error
        if self._failure is not None and not pieces:
            raise self._failure
        return b"".join(pieces)

    def _take(self, came: bytes) -> None:
        if came:
            self._came.write(came)
        else:
            self._came.write_eof()

    async def _flush(self) -> None:
        async with self._sending:
            while piece := self._goes.read():
                await self._carrier.write(piece)


def _names(certificate: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    """Return the subjectAltNames of a certificate as `ssl` tells it: (type, name)."""
    return list((certificate or {}).get("subjectAltName", ()))


async def connected(way: Way) -> Stream:
    """Return a connection to a task. Raises OSError."""
    carrier = Plain(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
    try:
        await carrier.connect(way.target)
        if way.context is None:
            return carrier
        secured = Tls(carrier, way.context)
        await secured.shake_hands(way.server)
    except BaseException:
        carrier.close()
        raise
    return secured
