"""The part of the contract of runtimes by which a node agent looks into its tasks: sockets inside of them, and what they use.

Imported as `runtime_suite` is.
"""

import asyncio
import signal
import socket
import time

import pytest

from tests.contract.runtime_suite import call, end_of, free_port, output, python, serve
from tsunagu_node.runtime.contract import PortTaken


def accept_one(listener: socket.socket, text: bytes) -> None:
    listener.settimeout(60)
    client, _ = listener.accept()
    with client:
        client.sendall(text)


async def test_the_node_agent_can_listen_inside_a_task(runtime, task):
    with await task.listen(free_port()) as listener:
        host, port = listener.getsockname()
        answering = asyncio.create_task(asyncio.to_thread(accept_one, listener, b"inside"))
        assert await output(runtime, task, call(host, port)) == ["inside"]
        await answering


async def test_the_node_agent_connects_as_an_app_of_the_task_would(task):
    port = free_port()
    await serve(task, port, "hello")
    connection = await task.outgoing()
    connection.setblocking(False)
    with connection:
        await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", port))
        assert await asyncio.get_running_loop().sock_recv(connection, 100) == b"hello"


async def test_what_a_container_uses_is_told_while_it_runs(runtime, task):
    assert await task.stats("app") is None
    await task.start(python("x = 0\nwhile 1: x += 1"))

    deadline, spent = time.monotonic() + 60, 0
    while spent < 100_000_000:
        assert time.monotonic() < deadline, "it has not used 0.1 s"
        await asyncio.sleep(0.01)
        stats = await task.stats("app")
        spent = stats["cpu_stats"]["cpu_usage"]["total_usage"]
    assert stats["memory_stats"]["usage"] > 0
    await task.signal("app", signal.SIGKILL)
    await end_of(task, "app")
    assert await task.stats("app") is None


async def test_a_node_agent_has_sockets_in_a_task_of_both_kinds(runtime, task):
    with await task.datagrams(15003) as udp, await task.listen(15003) as tcp:
        assert (udp.type, tcp.type) == (socket.SOCK_DGRAM, socket.SOCK_STREAM)
        assert tcp.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 1


async def test_a_node_agent_has_sockets_of_the_machine_itself(runtime):
    with await runtime.machine_socket("tcp", "127.88.77.1", 0) as one:
        host, port = one.getsockname()
        assert host == "127.88.77.1"
        with pytest.raises(PortTaken, match=f"cannot listen at 127.88.77.1:{port}: another process listens there"):
            await runtime.machine_socket("tcp", host, port)
        with await runtime.machine_socket("udp", host, port) as other:
            assert other.getsockname() == (host, port)
