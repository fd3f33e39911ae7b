import asyncio
import itertools
from contextlib import asynccontextmanager, suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsunagu.kit.http import ConnectionEnded, Exchange, HttpConnection, HttpError, Request, ResponseTooLarge, ask

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1;x\r\nk\r\n0\r\nx: y\r\n\r\n"


def responses(stream: bytes, sizes=(1,), requests=1):
    """What the exchange makes of a stream that arrives in pieces of these sizes."""
    exchange, found, pieces = Exchange(), [], itertools.cycle(sizes)
    exchange.send(Request())
    while stream:
        size = next(pieces)
        response, stream = exchange.receive(stream[:size]), stream[size:]
        if response is not None:
            found.append(response)
            if len(found) < requests:
                exchange.send(Request())
    return found


@given(st.lists(st.integers(1, 50), min_size=1))
def test_a_response_is_the_same_in_whatever_pieces_it_arrives(sizes):
    first, second = responses(CHUNKED, sizes), responses(OK, sizes)
    assert [response.body for response in (*first, *second)] == [b"ok", b"ok"]


def test_a_request_has_a_length_when_it_has_a_body_or_may_have_one():
    send = Exchange().send
    assert send(Request("/items?a=b", host="orders:81")) == b"GET /items?a=b HTTP/1.1\r\nhost: orders:81\r\n\r\n"
    assert Exchange().send(Request("/x", "POST")).endswith(b"content-length: 0\r\n\r\n")
    assert Exchange().send(Request("/x", "PUT", body=b"ab")).endswith(b"content-length: 2\r\n\r\nab")


@pytest.mark.parametrize(
    "request_", [Request("/a b"), Request("/é"), Request("/", "GE T"), Request(headers={"x": "a\nb"})]
)
def test_what_is_no_request_is_never_written(request_):
    with pytest.raises(HttpError, match="is no HTTP request"):
        Exchange().send(request_)


def test_a_response_has_its_last_headers_and_its_body_as_text_and_json():
    [response] = responses(b'HTTP/1.1 201 X\r\nA: 1\r\na: 2\r\ncontent-length: 7\r\n\r\n{"b":3}')
    assert response.status == 201
    assert response.headers["a"] == "2"
    assert response.text == '{"b":3}'
    assert response.json() == {"b": 3}


def test_informational_responses_are_passed_over():
    [response] = responses(b"HTTP/1.1 103 Early Hints\r\n\r\n" + OK)
    assert response.status == 200


def test_a_response_that_nobody_asked_for_ends_the_use_of_the_connection():
    exchange = Exchange()
    exchange.send(Request())
    assert exchange.receive(OK + OK) is not None
    assert not exchange.reusable


@asynccontextmanager
async def answering(*answers, path=None):
    """A server that gives one answer to each request, and ends the connection after the last.

    Yields its address, the requests that it was sent, and a task for each of its connections.
    """
    waiting, requests, connections = list(answers), [], []

    async def serve(reader, writer):
        connections.append(asyncio.current_task())
        try:
            with suppress(OSError, EOFError):
                while waiting:
                    requests.append(await reader.readuntil(b"\r\n\r\n"))
                    writer.write(waiting.pop(0))
                await writer.drain()
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    server = await (asyncio.start_unix_server(serve, path) if path else asyncio.start_server(serve, "127.0.0.1", 0))
    async with server:
        yield path or server.sockets[0].getsockname(), requests, connections
        await asyncio.gather(*connections)


async def test_a_connection_is_kept():
    async with answering(OK, OK, OK) as (address, _, connections):
        connection = HttpConnection(address)
        assert [(await connection.request(Request())).body for _ in range(3)] == [b"ok"] * 3
        connection.close()
    assert len(connections) == 1


async def test_it_is_opened_again_when_the_server_says_close():
    closing = b"HTTP/1.1 503 No\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
    async with answering(closing, OK) as (address, _, connections):
        connection = HttpConnection(address)
        assert (await connection.request(Request())).status == 503
        assert (await connection.request(Request())).status == 200
        connection.close()
    assert len(connections) == 2


async def test_one_request_over_a_unix_socket_asks_for_the_connection_to_end(tmp_path):
    async with answering(OK, path=str(tmp_path / "http.sock")) as (address, requests, _):
        assert (await ask(address, Request("/ready"))).body == b"ok"
    assert b"\r\nconnection: close\r\n" in requests[0]


@pytest.mark.parametrize("answer", [CHUNKED, b"HTTP/1.1 200 OK\r\n\r\nok", b"HTTP/1.0 200 OK\r\n\r\nok"])
async def test_bodies_without_a_length(answer):
    async with answering(answer) as (address, _, _):
        assert (await ask(address, Request())).body == b"ok"


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"", ConnectionEnded),
        (b"HTTP/1.1 200 OK\r\n", ConnectionEnded),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nok", ConnectionEnded),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nok", ConnectionEnded),
        (b"hello\r\n\r\n", HttpError),
        (b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n", HttpError),
        (b"HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\n", HttpError),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", HttpError),
        (b"HTTP/1.1 200 OK\r\nx: " + b"y" * 200_000 + b"\r\n\r\n", HttpError),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n", ResponseTooLarge),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"y" * 100_000, ResponseTooLarge),
    ],
)
async def test_an_error_says_what_was_wrong_and_closes_the_connection(answer, error):
    async with answering(answer) as (address, _, _):
        connection = HttpConnection(address, max_body=50_000)
        with pytest.raises(error) as raised:
            await connection.request(Request())
        assert raised.type is error
        assert connection._streams is None


async def test_a_server_that_never_answers_costs_its_timeout():
    async with answering(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n", OK) as (address, _, _):
        with pytest.raises(TimeoutError):
            await ask(address, Request(), timeout=0.05)


async def test_a_socket_where_nobody_listens(tmp_path):
    with pytest.raises(FileNotFoundError):
        await ask(str(tmp_path / "none.sock"), Request())
