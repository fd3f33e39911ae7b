"""What apps may do to the endpoint: anything, without harm to anyone."""

import asyncio
import socket
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from tsunagu.kit.http import HttpConnection, Request
from tsunagu_node.task.metadata import paced_server
from tsunagu_node.task.metadata.paced_server import BURST, LIMITS, RATE, Pace, as_json, serve


@asynccontextmanager
async def serving(answer=None):
    """A server; its address."""

    async def echo(method, target):
        return as_json([method, target])

    listener = socket.create_server(("127.0.0.1", 0))
    address = listener.getsockname()
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        running = group.create_task(serve(listener, answer or echo, "test"))
        yield address
        running.cancel()
    assert listener.fileno() == -1


async def said(address, raw: bytes) -> bytes:
    """Return everything that the server says to this until it closes the connection, be it with what it has not read."""
    reader, writer = await asyncio.open_connection(*address)
    writer.write(raw)
    await writer.drain()
    try:
        return await reader.read()
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


async def test_a_connection_is_kept_for_the_next_request():
    async with serving() as address:
        connection = HttpConnection(address)
        for target in ("/a", "/b?c=d"):
            response = await connection.request(Request(target))
            assert (response.status, response.json()) == (200, ["GET", target])
            assert response.headers["content-type"] == "application/json"
        connection.close()


async def test_an_answer_to_head_has_no_body():
    async with serving() as address:
        raw = await said(address, b"HEAD /a HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    head, _, body = raw.partition(b"\r\n\r\n")
    assert (head.split()[1], body) == (b"200", b"")


@pytest.mark.parametrize("raw", [b"\x00\x01\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"GET /" + b"a" * 20_000])
async def test_what_is_no_request_is_refused(raw):
    async with serving() as address:
        assert (await said(address, raw)).startswith(b"HTTP/1.1 400 ")


async def test_a_body_without_end_is_refused_before_it_is_read():
    async with serving() as address:
        head = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9999999\r\n\r\n"
        assert (await said(address, head)).startswith(b"HTTP/1.1 413 ")
        await said(address, head + b"a" * 200_000)  # and who sends it all the same is let go


async def test_who_says_nothing_is_let_go(monkeypatch):
    monkeypatch.setattr(paced_server, "LIMITS", replace(LIMITS, request=0.05))
    async with serving() as address:
        assert await said(address, b"GET / HT") == b""


async def test_more_connections_than_are_served_at_once_wait_for_their_turn():
    async with serving() as address:
        held = [await asyncio.open_connection(*address) for _ in range(LIMITS.connections)]
        late = asyncio.create_task(said(address, b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"))
        held[0][1].write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")  # what is open is answered meanwhile
        assert (await held[0][0].readline()).startswith(b"HTTP/1.1 200 ")
        assert not late.done()
        held[1][1].close()
        assert (await late).startswith(b"HTTP/1.1 200 ")
        for _, writer in held:
            writer.close()


def test_who_asks_too_often_waits_and_who_paused_may_ask_at_once_again():
    pace, step = Pace(), 1 / RATE
    assert [pace.delay(100.0) for _ in range(BURST)] == pytest.approx([0.0] * BURST, abs=1e-9)
    assert [pace.delay(100.0) for _ in range(3)] == pytest.approx([step, 2 * step, 3 * step])
    assert pace.delay(101.0) == 0.0
    assert [pace.delay(200.0) for _ in range(BURST)] == pytest.approx([0.0] * BURST, abs=1e-9)
    assert pace.delay(200.0) == pytest.approx(step)


async def test_a_failure_is_told_and_is_that_request_s_alone():
    async def answer(method, target):
        return as_json(1 // (target != "/bad"))

    async with serving(answer) as address:
        connection = HttpConnection(address)
        response = await connection.request(Request("/bad"))
        assert (response.status, response.json()) == (500, "failed to get metadata")
        assert (await connection.request(Request("/good"))).json() == 1
        connection.close()
