"""Twins: where they listen, what is told of that, and that bytes and datagrams get through, both ways."""

import asyncio
import socket
import threading
from contextlib import asynccontextmanager, contextmanager
from types import SimpleNamespace

import pytest

from tsunagu.v1 import objects_pb2
from tsunagu_node.dns import twin_relay
from tsunagu_node.dns.stream import Way
from tsunagu_node.dns.twin import Port, Twin, candidates, ports
from tsunagu_node.runtime import listener
from tsunagu_node.runtime.contract import PortTaken
from tsunagu_node.task.spec import TaskSpec

TASK_IP = "127.77.0.9"  # its twin is 127.88.0.9


class Machine:
    """A runtime whose machine has `refused` ports: (address or "", number)."""

    def __init__(self, *refused):
        self.refused = set(refused)

    async def machine_socket(self, protocol, host, port):
        if (host, port) in self.refused or ("", port) in self.refused:
            raise PortTaken(f"cannot listen at {host}:{port}: another process listens there")
        return listener.listen(host, port, protocol)


class Plaintext:
    """Entrances of a task without TLS."""

    @contextmanager
    def open(self):
        yield lambda port: At((TASK_IP, port))


class At:
    """The entrance at a place, in plaintext."""

    def __init__(self, target):
        self.target = target

    async def way(self):
        return Way(self.target)

    def failed(self, error):
        pass


def free_port() -> int:
    with socket.create_server((TASK_IP, 0)) as probe:
        return probe.getsockname()[1]


def spec(*mappings, registered: int = 0, before: str = ""):
    revision = objects_pb2.ServiceRevision()
    revision.registrations.add(cloud_map_service="corp.internal/users", port=registered)
    container = revision.task_definition.container_definitions.add()
    for number, protocol in mappings:
        container.port_mappings.add(container_port=number, protocol=protocol)
    body = objects_pb2.Task()
    body.status.twin.ip = before
    return TaskSpec("default/users-1", body, revision)


@asynccontextmanager
async def twin(machine: Machine, wanted: TaskSpec):
    opened = asyncio.Event()
    one = Twin(machine, SimpleNamespace(id="users-1", ip=TASK_IP), wanted, Plaintext(), opened.set)
    async with asyncio.TaskGroup() as group:
        job = group.create_task(one.run())
        async with asyncio.timeout(60):
            await opened.wait()
        yield one.status
        job.cancel()


def told(status) -> list[tuple[int, int]]:
    return [(port.container_port, port.port) for port in status.ports]


async def test_its_address_follows_from_the_task_s():
    port = free_port()
    async with twin(Machine(), spec((port, "tcp"))) as status:
        assert (status.ip, told(status), status.ports[0].reason) == ("127.88.0.9", [(port, port)], "")


async def test_when_something_has_the_port_there_all_ports_are_at_another_address():
    first, second = free_port(), free_port()
    machine = Machine(("127.88.0.9", second))
    async with twin(machine, spec((first, "tcp"), (second, "tcp"))) as status:
        assert status.ip == candidates(TASK_IP, "")[1]
        assert told(status) == [(first, first), (second, second)]


async def test_a_port_that_is_taken_everywhere_is_another_one_and_why_is_said():
    port = free_port()
    async with twin(Machine(("", port)), spec((port, "tcp"))) as status:
        (one,) = status.ports
        assert one.port not in (0, port)
        assert "another process listens there" in one.reason


async def test_a_port_of_root_s_is_8000_more():
    async with twin(Machine(("", 443)), spec((443, "tcp"))) as status:
        assert told(status) == [(443, 8443)]
        assert "ports below 1024 are root's" in status.ports[0].reason


async def test_after_a_restart_of_the_agent_it_is_where_it_was():
    port = free_port()
    async with twin(Machine(), spec((port, "tcp"), before="127.88.3.4")) as status:
        assert status.ip == "127.88.3.4"


def test_its_ports_are_the_containers_and_the_one_that_is_registered():
    wanted = spec((80, "tcp"), (80, ""), (53, "udp"), registered=9000)
    assert ports(wanted.revision) == (Port(80, "tcp"), Port(53, "udp"), Port(9000, "tcp"))
    assert ports(spec((80, "tcp"), registered=80).revision) == (Port(80, "tcp"),)


def test_candidates_are_hosts_of_the_network():
    for ip in ("10.88.0.1", "10.88.255.254", "10.96.0.2", "10.100.255.255"):
        assert all(one.startswith("127.88.") and not one.endswith(".0.0") for one in candidates(ip, ""))
        assert len(set(candidates(ip, ""))) == 4


@contextmanager
def echo():
    """A task's TCP server: answers with what it got, once the client has ended its side."""
    with socket.create_server((TASK_IP, 0)) as server:

        def serve():
            while True:
                try:
                    client, _ = server.accept()
                except OSError:
                    return
                with client:
                    while piece := client.recv(65536):
                        client.sendall(piece)

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()
        server.shutdown(socket.SHUT_RDWR)


@asynccontextmanager
async def relayed(work, protocol: str, target):
    with listener.bound("127.88.0.9", 0, protocol) as at:
        async with asyncio.TaskGroup() as group:
            job = group.create_task(work(at, target))
            yield at.getsockname()
            job.cancel()


async def test_bytes_get_through_both_ways_and_each_end_by_itself():
    with echo() as target:
        async with relayed(twin_relay.tcp, "tcp", At(target)) as place:
            reader, writer = await asyncio.open_connection(*place)
            sent = bytes(range(256)) * 4096
            writer.write(sent)
            writer.write_eof()
            assert await asyncio.wait_for(reader.read(), 60) == sent
            writer.close()


async def test_a_task_that_refuses_is_a_reset():
    with socket.create_server((TASK_IP, 0)) as server:
        target = server.getsockname()
    async with relayed(twin_relay.tcp, "tcp", At(target)) as place:
        reader, _ = await asyncio.open_connection(*place)
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(reader.read(), 60)


async def test_a_way_that_changed_while_a_connection_failed_is_taken():
    with echo() as target, socket.create_server((TASK_IP, 0)) as closed:
        ways = [At(closed.getsockname()), At(target)]
        closed.close()

        class Changes(At):
            async def way(self):
                return Way((ways.pop(0) if len(ways) > 1 else ways[0]).target)

        async with relayed(twin_relay.tcp, "tcp", Changes(target)) as place:
            reader, writer = await asyncio.open_connection(*place)
            writer.write(b"once more")
            writer.write_eof()
            assert await asyncio.wait_for(reader.read(), 60) == b"once more"
            writer.close()


async def test_a_task_without_a_way_to_it_is_a_reset_in_the_end(monkeypatch):
    monkeypatch.setattr(twin_relay, "_CONNECT", 0.01)

    class Never(At):
        async def way(self):
            await asyncio.Event().wait()

    async with relayed(twin_relay.tcp, "tcp", Never(("127.0.0.1", 1))) as place:
        reader, _ = await asyncio.open_connection(*place)
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(reader.read(), 60)


async def test_datagrams_find_back_to_each_caller(monkeypatch):
    monkeypatch.setattr(twin_relay, "FLOWS", 2)
    loop = asyncio.get_running_loop()
    with listener.bound(TASK_IP, 0, "udp") as server:
        server.setblocking(False)

        async def answer():
            while True:
                piece, caller = await loop.sock_recvfrom(server, 100)
                await loop.sock_sendto(server, b"to " + piece, caller)

        async with relayed(twin_relay.udp, "udp", server.getsockname()) as place, asyncio.TaskGroup() as group:
            job = group.create_task(answer())
            for name in (b"a", b"b", b"c", b"a"):  # more callers than it keeps
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                    client.setblocking(False)
                    client.connect(place)
                    await loop.sock_sendall(client, name)
                    assert await asyncio.wait_for(loop.sock_recv(client, 100), 60) == b"to " + name
            job.cancel()
