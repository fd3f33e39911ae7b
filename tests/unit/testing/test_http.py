import asyncio
from contextlib import asynccontextmanager, suppress

import pytest

from tsunagu.testing.http import HttpConnection, HttpError, Target


@asynccontextmanager
async def answering(*answers):
    """A server that gives one answer to each request, and ends the connection after the last; yields its address."""
    waiting, asked, handlers = list(answers), [], []

    async def serve(reader, writer):
        handlers.append(asyncio.current_task())
        try:
            with suppress(OSError, EOFError):
                while waiting:
                    asked.append(await reader.readuntil(b"\r\n\r\n"))
                    writer.write(waiting.pop(0))
                await writer.drain()
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname(), asked, handlers
        await asyncio.gather(*handlers)


OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


async def test_a_connection_is_kept():
    async with answering(OK, OK, OK) as (address, asked, handlers):
        connection = HttpConnection(Target.parse("http://orders:81/items?a=b", address))
        assert [(await connection.get()).body for _ in range(3)] == [b"ok"] * 3
        connection.close()
    assert asked[0] == b"GET /items?a=b HTTP/1.1\r\nhost: orders:81\r\n\r\n"
    assert len(handlers) == 1


async def test_it_is_opened_again_when_the_server_says_close():
    bye = b"HTTP/1.1 503 No\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
    async with answering(bye, OK) as (address, _, handlers):
        connection = HttpConnection(Target.parse("http://orders", address))
        assert (await connection.get()).status == 503
        assert (await connection.get()).status == 200
        connection.close()
    assert len(handlers) == 2


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1;x\r\nk\r\n0\r\nx: y\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\nok",
    ],
)
async def test_bodies_without_a_length(answer):
    async with answering(answer) as (address, _, _):
        connection = HttpConnection(Target.parse("http://orders", address))
        assert (await connection.get()).body == b"ok"
        connection.close()


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"HTTP/1.1 200 OK\r\n", EOFError),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nok", EOFError),
        (b"hello\r\n\r\n", HttpError),
        (b"HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\n", HttpError),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n", HttpError),
        (b"HTTP/1.1 200 OK\r\nx: " + b"y" * 70_000 + b"\r\n\r\n", HttpError),
    ],
)
async def test_what_is_wrong_is_told_and_ends_the_connection(answer, error):
    async with answering(answer) as (address, _, _):
        connection = HttpConnection(Target.parse("http://orders", address))
        with pytest.raises(error):
            await connection.get()
        assert connection._streams is None


@pytest.mark.parametrize("url", ["orders", "https://orders", "http://", "ftp://x"])
def test_what_is_no_url(url):
    with pytest.raises(ValueError, match="is no URL"):
        Target.parse(url)
