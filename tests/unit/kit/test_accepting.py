"""Accepting connections: so many at a time, whatever the kernel refuses."""

import asyncio
import socket

import pytest

from tsunagu.kit import accepting
from tsunagu.kit.accepting import accept

MOST = 2


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


async def echo(client):
    with client:
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(client, await loop.sock_recv(client, 100))


async def said(address):
    reader, writer = await asyncio.open_connection(*address)
    writer.write(b"hello")
    answer = await reader.read()
    writer.close()
    return answer


async def test_what_is_over_the_limit_waits_in_the_backlog(listener):
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        running = group.create_task(accept(listener, MOST, echo, "test"), name="accepting")
        held = [await asyncio.open_connection(*listener.getsockname()) for _ in range(MOST)]
        late = group.create_task(said(listener.getsockname()), name="late")
        held[0][1].write(b"x")
        assert await held[0][0].read() == b"x"
        assert await late == b"hello"
        running.cancel()
        for _, writer in held:
            writer.close()
    assert listener.fileno() != -1


async def test_without_a_file_descriptor_it_is_tried_again(listener, monkeypatch):
    monkeypatch.setattr(accepting, "_PAUSE", 0.01)
    loop = asyncio.get_running_loop()
    refused, accepted = [OSError(24, "Too many open files")] * 3, loop.sock_accept

    async def scarce(server):
        if refused:
            raise refused.pop()
        return await accepted(server)

    monkeypatch.setattr(loop, "sock_accept", scarce)
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        running = group.create_task(accept(listener, 1, echo, "test"), name="accepting")
        assert await said(listener.getsockname()) == b"hello"
        running.cancel()
    assert refused == []


async def test_each_connection_takes_a_turn(listener):
    turns = []

    async def turn():
        turns.append(1)

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        running = group.create_task(accept(listener, MOST, echo, "test", turn), name="accepting")
        for _ in range(3):
            assert await said(listener.getsockname()) == b"hello"
        running.cancel()
    assert len(turns) >= 3
