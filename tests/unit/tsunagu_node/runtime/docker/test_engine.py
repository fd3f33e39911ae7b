"""Requests to an engine, over a socket at which a test answers."""

import asyncio
import json
import tempfile
from contextlib import asynccontextmanager

import pytest

from tsunagu_node.runtime.docker.engine.engine import Engine, EngineError, EngineGone


@asynccontextmanager
async def answering(*answers: bytes, engine: Engine | None = None):
    """An engine that gives these answers, one for each connection; yields it with the requests that came."""
    requests, left = [], list(answers)

    async def serve(reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        length = next((int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")), 0)
        requests.append((head.decode(), await reader.readexactly(length)))
        writer.write(left.pop(0))
        await writer.drain()
        writer.close()

    with tempfile.TemporaryDirectory(prefix="tsunagu-") as folder:
        path = f"{folder}/engine.sock"
        async with await asyncio.start_unix_server(serve, path):
            yield Engine(path, patience=0.2), requests


def answer(status: int, body: bytes = b"", more: str = "") -> bytes:
    return f"HTTP/1.1 {status} Whatever\r\nContent-Length: {len(body)}\r\n{more}\r\n".encode() + body


async def test_a_request_and_its_answer():
    async with answering(answer(201, b'{"Id": "c1"}')) as (engine, requests):
        made = await engine.call("POST", "/containers/create", {"name": "a b", "force": True}, {"Image": "x"})
    assert made == {"Id": "c1"}
    ((head, body),) = requests
    assert head.startswith("POST /containers/create?name=a+b&force=1 HTTP/1.1")
    assert "content-type: application/json" in head
    assert json.loads(body) == {"Image": "x"}


async def test_an_answer_without_a_body():
    async with answering(b"HTTP/1.1 204 No Content\r\n\r\n") as (engine, _):
        assert await engine.call("POST", "/containers/c1/start") is None


@pytest.mark.parametrize(
    ("body", "words"), [(b'{"message": "no such thing\\n"}', "no such thing"), (b"plain", "plain")]
)
async def test_a_refusal_has_the_engine_s_words(body, words):
    async with answering(answer(404, body)) as (engine, _):
        with pytest.raises(EngineError, match=words) as caught:
            await engine.call("GET", "/x")
    assert caught.value.status == 404


@pytest.mark.parametrize(("theirs", "ours"), [("1.41", "/v1.41"), ("1.52", "/v1.44")])
async def test_the_version_is_one_that_both_know(theirs, ours):
    async with answering(answer(200, json.dumps({"ApiVersion": theirs}).encode()), answer(200, b"[]")) as (
        engine,
        requests,
    ):
        await engine.negotiate()
        await engine.call("GET", "/networks")
    assert requests[1][0].startswith(f"GET {ours}/networks HTTP/1.1")


@pytest.mark.parametrize("raw", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"])
async def test_a_connection_that_ends_before_the_answer(raw):
    async with answering(raw) as (engine, _):
        with pytest.raises(EngineGone):
            await engine.call("GET", "/x")


async def test_an_engine_that_is_not_there_yet_is_waited_for(tmp_path):
    with tempfile.TemporaryDirectory(prefix="tsunagu-") as folder:
        path = f"{folder}/late.sock"
        asking = asyncio.create_task(Engine(path).call("GET", "/x"))
        await asyncio.sleep(0)

        async def serve(reader, writer):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer(200, b"[]"))
            writer.close()

        async with await asyncio.start_unix_server(serve, path):
            assert await asking == []


async def test_an_engine_that_does_not_come_is_told(tmp_path):
    with pytest.raises(EngineGone, match="no container engine listens at"):
        await Engine(str(tmp_path / "none"), patience=0.05).call("GET", "/x")


async def test_a_stream_is_read_as_it_comes():
    raw = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"
    async with answering(raw) as (engine, _), engine.stream("GET", "/events") as stream:
        assert b"".join([piece async for piece in stream.pieces()]) == b"onetwo"


async def test_a_connection_that_speaks_raw_afterwards():
    head = b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nfirst"
    async with answering(head) as (engine, requests):
        first, (reader, writer) = await engine.upgrade("/exec/x/start", {"Tty": False})
        assert first + await reader.read() == b"first"
        writer.close()
    assert "upgrade: tcp" in requests[0][0].lower()


async def test_a_body_of_many_pieces_is_sent_as_it_is_made():
    async def pieces():
        yield b"one"
        yield b"two"

    async with (
        answering(answer(200)) as (engine, requests),
        engine.stream("POST", "/images/create", {"fromSrc": "-"}, pieces()) as stream,
    ):
        assert await stream.body() == b""
    assert "transfer-encoding: chunked" in requests[0][0].lower()
