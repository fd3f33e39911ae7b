"""A server from its start to its end: `async with`, signals, and addresses that it cannot have."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys

import grpc
import pytest

from tsunagu import CannotListen, Resource, XdsServer
from tsunagu.testing import FakeProxy
from tsunagu.testing.fake_proxy import StreamEnded
from tsunagu.xds import wire

PATIENCE = 10.0


def cluster(name):
    return Resource.of("CDS", name, wire.text(1, name))


async def boot(target):
    """A client that has its clusters."""
    proxy = await FakeProxy(target, node="me").__aenter__()
    await proxy.subscribe("CDS")
    await proxy.ack(await proxy.receive())
    return proxy


async def told(proxy):
    """What the stream ended with."""
    with pytest.raises(StreamEnded) as caught:
        await proxy.receive(PATIENCE)
    await proxy.close()
    return caught.value.code, caught.value.details


UNAVAILABLE = (grpc.StatusCode.UNAVAILABLE, "the control plane is stopping")


async def test_leaving_the_block_tells_clients_and_stops():
    async with XdsServer() as server:
        server.put(cluster("a"))
        port = await server.start("127.0.0.1:0")
        proxy = await boot(f"127.0.0.1:{port}")
    assert await told(proxy) == UNAVAILABLE
    async with XdsServer() as other:
        await other.start(f"127.0.0.1:{port}")  # the port is free


async def test_an_error_in_the_block_stops_it_too_and_goes_on():
    async def failing(server):
        async with server:
            failing.port = await server.start("127.0.0.1:0")
            raise LookupError

    with pytest.raises(LookupError):
        await failing(XdsServer())
    async with XdsServer() as other:
        await other.start(f"127.0.0.1:{failing.port}")


async def test_a_block_that_never_started_serving_ends_too():
    async with XdsServer() as server:
        server.put(cluster("a"))


PLANE = """
import asyncio
from tsunagu import Resource, XdsServer

async def main():
    async with XdsServer() as server:
        server.put(Resource.of("CDS", "a", b"\\n\\x01a"))
        print(await server.start("127.0.0.1:0"), flush=True)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(asyncio.sleep(1000))
            async for event in server.events():
                pass
    print("after the block", flush=True)

asyncio.run(main())
print("after the loop", flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_the_block_quietly_and_tells_clients(number):
    plane = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "always", "-c", PLANE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    async with asyncio.timeout(PATIENCE * 3):
        port = int(await plane.stdout.readline())
        proxy = await boot(f"127.0.0.1:{port}")
        plane.send_signal(number)
        assert await told(proxy) == UNAVAILABLE
        out, errors = await plane.communicate()
    assert (out.decode(), errors.decode(), plane.returncode) == ("after the block\nafter the loop\n", "", 0)


async def test_signals_are_given_back_and_may_be_left_alone():
    before = [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)]
    async with XdsServer(signals=()):
        assert [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)] == before
    async with XdsServer():
        assert [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)] != before
    assert [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)] == before


async def test_a_cancellation_from_elsewhere_is_not_taken_for_a_signal():
    async def serve():
        async with XdsServer():
            await asyncio.sleep(1000)

    task = asyncio.create_task(serve(), name="serve")
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_signal_ends_only_the_block():
    went_on = False

    async def serve():
        nonlocal went_on
        async with XdsServer():
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.sleep(1000)
        await asyncio.sleep(0)  # the cancellation is taken back: one may wait again
        went_on = asyncio.current_task().cancelling() == 0

    async with asyncio.timeout(PATIENCE):
        await serve()
    assert went_on


# -- quiet ends -------------------------------------------------------------------------------------------------------

CUT = """
import asyncio, logging, sys
from tsunagu import Resource, XdsServer
from tsunagu.testing import FakeProxy

def cluster(name, note):
    return Resource.of("CDS", name, b"\\n" + bytes([len(name)]) + name.encode() + b"\\xe2\\x01\\x7f" + note * 127)

async def client(target, number):
    async with FakeProxy(target, node=f"n{number}", variant=("delta", "sotw")[number % 2]) as proxy:
        await proxy.subscribe("CDS")
        for _ in range(number % 3):
            await proxy.ack(await proxy.receive(20))
        if number % 5 == 0:
            proxy._call.cancel()
        if number % 7 == 0:
            await proxy._channel.close()

async def main():
    logging.basicConfig()
    async with XdsServer() as server:
        server.put(*[cluster(f"c{number}", b"0") for number in range(100)])
        target = f"127.0.0.1:{await server.start('127.0.0.1:0')}"

        async def push():
            for turn in range(1 << 30):
                server.put(*[cluster(f"c{number}", str(turn % 10).encode()) for number in range(100)])
                await asyncio.sleep(0.005)

        pushing = asyncio.create_task(push())
        for _ in range(3):
            await asyncio.gather(*[client(target, number) for number in range(30)])
        last = [asyncio.create_task(client(target, number)) for number in range(20)]
        await asyncio.sleep(0)
        pushing.cancel()
    await asyncio.gather(*last, return_exceptions=True)

asyncio.run(main())
"""


async def test_clients_that_cut_their_streams_leave_nothing_on_stderr():
    plane = await asyncio.create_subprocess_exec(sys.executable, "-c", CUT, stderr=subprocess.PIPE)
    async with asyncio.timeout(PATIENCE * 6):
        _, errors = await plane.communicate()
    assert (errors.decode(), plane.returncode) == ("", 0)


async def test_what_authenticate_raises_reaches_the_log_and_ends_that_stream_alone(caplog):
    def careless(_call, node):
        return {"me": "me"}[node.id]

    async with XdsServer(authenticate=careless) as server:
        server.put(cluster("a"))
        target = f"127.0.0.1:{await server.start('127.0.0.1:0')}"
        mine = await boot(target)
        async with FakeProxy(target, node="other") as other:
            await other.subscribe("CDS")
            assert await told(other) == (grpc.StatusCode.INTERNAL, "the control plane has failed; its log says how")
        assert "KeyError: 'other'" in caplog.text
        assert [client.proxy for client in server.clients()] == ["me"]
        await mine.close()


# -- addresses --------------------------------------------------------------------------------------------------------


async def refusal(address):
    with pytest.raises(CannotListen) as caught:
        await XdsServer().start(address)
    return str(caught.value)


async def test_a_taken_port_is_told_with_what_would_be_right(capfd):
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        assert await refusal(address) == (
            f"cannot listen at {address}: another process listens there: "
            "stop it, or use another port (0: any that is free)"
        )
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("18000", "an address is HOST:PORT (127.0.0.1:18000), or unix:PATH"),
        ("127.0.0.1:", "an address is HOST:PORT"),
        ("127.0.0.1:99999", "an address is HOST:PORT"),
        ("192.0.2.1:0", "no interface of this machine has that address"),
        ("no.such.name.invalid:0", "is neither an address nor a name that this machine knows"),
        ("unix:/nowhere/at/all.sock", "/nowhere/at is not a directory"),
        ("unix:/" + "x" * 200, "may have 107"),
    ],
)
async def test_what_is_no_address_is_told(address, words):
    assert words in await refusal(address)


async def test_a_socket_that_is_served_is_not_taken_over(tmp_path):
    address = f"unix:{tmp_path}/xds.sock"
    async with XdsServer() as server:
        await server.start(address)
        assert "another process serves there" in await refusal(address)
    (tmp_path / "xds.sock").unlink(missing_ok=True)
    (tmp_path / "xds.sock").write_text("something else")
    assert "a file that is no socket" in await refusal(address)


async def test_a_socket_that_nobody_serves_any_more_is_used_again(tmp_path):
    path = tmp_path / "xds.sock"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    async with XdsServer() as server:
        server.put(cluster("a"))
        await server.start(f"unix:{path}")
        await (await boot(f"unix:{path}")).close()
