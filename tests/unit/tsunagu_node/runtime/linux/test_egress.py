"""What tasks send to places outside is carried there; whatever else comes to the listener is reset."""

import asyncio
import json
import socket
from contextlib import asynccontextmanager
from ipaddress import IPv4Network

import pytest

from tsunagu_node.runtime.contract import OutsidePlace
from tsunagu_node.runtime.linux import egress

TASKS = IPv4Network("127.0.0.0/8")  # so that the bridge's address is this machine's loopback


class Helper:
    """Connects as the outer process does."""

    async def connect(self, host, port):
        client = socket.socket()
        client.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(client, (host, port))
        except OSError:
            client.close()
            raise
        return client


@asynccontextmanager
async def carrying(tmp_path, monkeypatch, called, *places):
    """The relay's port. `called`: which address and port the client had called, as the kernel would tell."""
    led, ready = [], asyncio.Event()

    def nat(rules):
        led.extend(rules)
        loop.call_soon_threadsafe(ready.set)

    async def wanted():
        yield frozenset(places)
        await asyncio.Event().wait()

    loop = asyncio.get_running_loop()
    monkeypatch.setattr(egress, "_nat", nat)
    monkeypatch.setattr(egress, "destination", called)
    async with asyncio.TaskGroup() as group:
        carried = group.create_task(egress.Egress(Helper(), TASKS, tmp_path / "at.json").carry(wanted()))
        await ready.wait()
        yield led
        carried.cancel()


async def said(port):
    """What comes back over a connection to the relay; empty when it is reset."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(b"hello")
        writer.write_eof()
        return await reader.read()
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


@pytest.fixture
async def echo():
    """The port of a server that says what it hears."""

    async def answer(reader, writer):
        writer.write(await reader.read())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()


async def test_a_place_is_reached_at_its_address_among_tasks(tmp_path, monkeypatch, echo):
    place = OutsidePlace("169.254.88.1", echo, "127.0.0.1")
    async with carrying(tmp_path, monkeypatch, lambda _: ("169.254.88.1", echo), place) as led:
        assert [rule.ip for rule in led] == ["169.254.88.1"]
        assert await said(led[0].to) == b"hello"


async def test_another_port_of_the_address_is_reset(tmp_path, monkeypatch, echo):
    place = OutsidePlace("169.254.88.1", echo, "127.0.0.1")
    async with carrying(tmp_path, monkeypatch, lambda _: ("169.254.88.1", echo + 1), place) as led:
        assert await said(led[0].to) == b""


async def test_who_was_not_led_here_is_reset_and_the_next_one_is_carried(tmp_path, monkeypatch, echo):
    calls = iter([OSError("no such entry"), ("169.254.88.1", echo)])

    def called(_):
        found = next(calls)
        if isinstance(found, OSError):
            raise found
        return found

    async with carrying(tmp_path, monkeypatch, called, OutsidePlace("169.254.88.1", echo, "127.0.0.1")) as led:
        assert await said(led[0].to) == b""
        assert await said(led[0].to) == b"hello"


async def test_a_place_where_nobody_listens_is_reset(tmp_path, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    place = OutsidePlace("169.254.88.1", port, "127.0.0.1")
    async with carrying(tmp_path, monkeypatch, lambda _: ("169.254.88.1", port), place) as led:
        assert await said(led[0].to) == b""


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
async def test_the_endpoint_of_the_mesh_is_no_place(tmp_path, monkeypatch, echo, host):
    (tmp_path / "at.json").write_text(json.dumps({"host": host, "port": echo}))
    place = OutsidePlace("169.254.88.1", echo, "127.0.0.1")
    async with carrying(tmp_path, monkeypatch, lambda _: ("169.254.88.1", echo), place) as led:
        assert await said(led[0].to) == b""


async def test_there_is_a_rule_for_so_many_addresses_as_the_kernel_answers(tmp_path, monkeypatch):
    places = [OutsidePlace(f"10.0.{number // 250}.{number % 250 + 1}", 80, "") for number in range(200)]
    async with carrying(tmp_path, monkeypatch, lambda _: ("", 0), *places) as led:
        assert len(led) == 128
