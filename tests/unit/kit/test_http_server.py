"""The HTTP server answers what is a request, and ends what is none, too large, too slow or silent."""

import asyncio
import socket
from contextlib import asynccontextmanager

import pytest

from tsunagu.kit import http
from tsunagu.kit.http_server import Answer, Limits, Request, serve


async def echo(request: Request) -> Answer:
    if request.target == "/broken":
        raise RuntimeError("of the handler")
    text = f"{request.method} {request.target} {request.header('x-word')} "
    return Answer(200, text.encode() + request.body, headers=[("x-made", "here")])


@asynccontextmanager
async def running(**limits):
    listener = socket.create_server(("127.0.0.1", 0))
    address = listener.getsockname()
    async with asyncio.TaskGroup() as group:
        served = group.create_task(serve(listener, echo, "test", Limits(**limits)), name="server")
        yield address
        served.cancel()


async def raw(address, *parts: bytes) -> bytes:
    """What the server says to these bytes until it ends the connection."""
    reader, writer = await asyncio.open_connection(*address)
    for part in parts:
        writer.write(part)
        await writer.drain()
    said = await asyncio.wait_for(reader.read(), 60)
    writer.close()
    return said


async def test_requests_on_one_connection_are_answered_in_turn():
    async with running() as address:
        connection = http.HttpConnection(address)
        first = await connection.request(http.Request("/a?b=c", headers={"x-word": "hello"}))
        second = await connection.request(http.Request("/", "POST", body=b"body"))
        connection.close()
    assert (first.status, first.text, first.headers["x-made"]) == (200, "GET /a?b=c hello ", "here")
    assert second.text == "POST /  body"


async def test_a_header_that_is_there_twice_has_no_value():
    async with running() as address:
        said = await raw(address, b"GET / HTTP/1.1\r\nhost: a\r\nx-word: 1\r\nx-word: 2\r\nconnection: close\r\n\r\n")
    assert said.endswith(b"GET /  ")


async def test_a_head_has_no_body():
    async with running() as address:
        said = await raw(address, b"HEAD / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
    assert said.endswith(b"\r\n\r\n")
    assert b"content-length: 8" in said


async def test_a_failing_handler_says_nothing_of_its_cause():
    told = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context["exception"]))
    async with running() as address:
        answer = await http.ask(address, http.Request("/broken"))
    assert (answer.status, answer.text) == (500, "internal error\n")
    assert [str(error) for error in told] == ["of the handler"]


@pytest.mark.parametrize(
    "sent",
    [
        b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 11\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nb\r\n01234567890\r\n0\r\n\r\n",
    ],
    ids=["announced", "chunked"],
)
async def test_a_body_that_is_too_large_is_refused(sent: bytes):
    async with running(body=10) as address:
        assert (await raw(address, sent)).startswith(b"HTTP/1.1 413 ")


async def test_a_body_that_is_announced_is_asked_for():
    async with running() as address:
        reader, writer = await asyncio.open_connection(*address)
        writer.write(
            b"POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 2\r\nconnection: close\r\n\r\n"
        )
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100 ")
        writer.write(b"ok")
        assert (await reader.read()).endswith(b"ok")
        writer.close()


async def test_what_is_no_request_is_told_so():
    async with running() as address:
        assert (await raw(address, b"\x16\x03\x01 hello\r\n\r\n")).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("sent", [(), (b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\n", b"slow")])
async def test_who_is_silent_is_disconnected(sent):
    async with running(idle=0.1, request=0.1) as address:
        assert await raw(address, *sent) == b""


async def test_a_head_that_comes_slowly_has_the_time_of_a_request_and_not_of_silence():
    async with running(request=0.1) as address:
        assert await raw(address, b"GET / HTTP/1.1\r\nx") == b""


async def test_connections_over_the_limit_wait_until_one_is_free():
    async with running(connections=1) as address:
        _, held = await asyncio.open_connection(*address)
        held.write(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        waiting = asyncio.create_task(http.ask(address, http.Request("/second")), name="second")
        done, _ = await asyncio.wait([waiting], timeout=0.2)
        assert not done
        held.close()
        assert (await waiting).text == "GET /second  "
