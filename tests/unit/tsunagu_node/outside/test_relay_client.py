"""The node agent and its relay: a real process, which is killed, and another that is told everything again."""

import asyncio
import json
import os
import signal
import socket
import time

import pytest

from tsunagu_node.outside.relay.destinations import HOST, Policy
from tsunagu_node.outside.relay.starting import OutsideProcess
from tsunagu_node.outside.relay_client import RelayClient, RelayGone
from tsunagu_node.runtime.folders import Folders
from tsunagu_node.runtime.outside import OutsidePlace


@pytest.fixture
def folders(tmp_path):
    made = Folders.of(tmp_path)
    made.logs.mkdir()
    return made


@pytest.fixture
def process(folders):
    life, end = os.pipe()
    made = OutsideProcess(folders, life)
    yield made
    os.close(end)
    made._process.wait(10)
    assert not (folders.node / "outside.sock").exists()
    os.close(life)


def record(folders):
    return (folders.node / "outside.json").read_text()


async def test_what_it_was_told_is_told_to_the_next_one(folders, process):
    client = RelayClient(folders.node)
    listener = socket.create_server(("127.0.0.1", 0))
    async with asyncio.TaskGroup() as group, asyncio.timeout(30):
        running = group.create_task(client.run())
        await client.listen("sandbox", listener)
        await client.tasks({"127.0.0.1": "web-1"})
        await client.places([OutsidePlace(HOST, 80, "127.0.0.1")])
        await client.policy("web-1", Policy.NAMES)
        with await client.kept("sandbox") as kept:
            assert kept.getsockname() == listener.getsockname()
        assert await client.kept("nobody") is None
        await called(listener)
        before = record(folders)
        os.kill(process._process.pid, signal.SIGKILL)
        await asyncio.to_thread(process.again)
        assert record(folders) != before
        while (found := await counted(client)) is None:  # noqa: ASYNC110 - another process has no event
            await asyncio.sleep(0.02)
        assert found.tasks == {}
        running.cancel()
    client.close()


async def test_what_is_not_known_yet_is_not_told(tmp_path):
    """A relay goes on with the tasks and places that an earlier node agent told it; it would forget what it counted of others."""
    client = RelayClient(tmp_path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
        server.bind(str(tmp_path / "outside.sock"))
        server.listen(1)
        assert await asked(server, client) == ["counts"]
        await client.places([])
        await client.tasks({})
        assert await asked(server, client) == ["places", "tasks", "counts"]
    client.close()


async def asked(server, client):
    """What a relay that is connected to anew is asked, up to the question for its counts."""
    loop, found = asyncio.get_running_loop(), []
    server.setblocking(False)
    async with asyncio.TaskGroup() as group, asyncio.timeout(30):
        running = group.create_task(client.run())
        counting = group.create_task(client.counts(places=False))
        channel, _ = await loop.sock_accept(server)
        with channel:
            while not found or found[-1] != "counts":
                found.append(json.loads(await loop.sock_recv(channel, 4096))["op"])
                answer = {"began": 1.0, "counts": {}} if found[-1] == "counts" else {}
                await loop.sock_sendall(channel, json.dumps(answer).encode())
            assert (await counting).tasks == {}
            running.cancel()
    return found


async def counted(client):
    try:
        return await client.counts(places=True)
    except RelayGone:
        return None


async def called(listener):
    """Who calls the listener itself, led by no nat rule, is reset: already by connect(), at times."""
    with pytest.raises(ConnectionResetError):
        await asyncio.to_thread(first_byte, listener.getsockname())


def first_byte(place):
    with socket.create_connection(place, 10) as one:
        return one.recv(1)


async def test_another_launcher_finds_the_one_that_runs(folders, process):
    before = record(folders)
    other = OutsideProcess(folders, 0)
    assert record(folders) == before
    os.close(other.ended)


async def test_whoever_reads_the_record_while_the_next_one_starts_reads_a_whole_one(folders, process):
    before = record(folders)
    with (folders.node / "outside.json").open() as reader:
        os.kill(process._process.pid, signal.SIGKILL)
        await asyncio.to_thread(process.again)
        assert reader.read() == before
    assert record(folders) != before


async def test_nobody_there_is_said_in_time(folders, monkeypatch):
    monkeypatch.setattr("tsunagu_node.outside.relay_client._PATIENCE", 0.1)
    client = RelayClient(folders.node)
    began = time.monotonic()
    with pytest.raises(RelayGone):
        await client.counts(places=True)
    assert time.monotonic() - began < 10
