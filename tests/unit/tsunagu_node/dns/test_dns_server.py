"""The name server over real sockets of this machine's loopback: UDP, TCP, what is forwarded, and what it does not let grow."""

import asyncio
import socket
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import dns.asyncquery
import dns.flags
import dns.message
import dns.rcode
import pytest

from tests.unit.mesh.discovery.test_records import by_hand, cloud_map_service, state, task
from tsunagu.mesh.discovery import catalogue
from tsunagu_node.dns import dns_server, upstream
from tsunagu_node.dns.dns_server import Bucket, DnsServer
from tsunagu_node.dns.resolver import Asker, Connected, Resolver
from tsunagu_node.dns.upstream import Upstream
from tsunagu_node.runtime import listener
from tsunagu_node.runtime.connecting import connected

NAME = "users.corp.internal"
NOWHERE = Upstream(connected, Path("/there/is/no/resolv.conf"))
WEB = Asker("default/web-1", Connected("shop"))


class Known:
    """The objects as a node agent has them; `version` is for the test to change."""

    def __init__(self, *objects):
        self.version = 1
        self.objects = objects

    def __getattr__(self, name):
        return getattr(catalogue.of_state(state(*self.objects)), name)

    def address(self, names, name):
        return {("shop", "orders"): "127.255.0.1"}.get((names.namespace, name), "")


class Judge:
    """Refuses what is below `refused`; `told`: what tasks were told."""

    def __init__(self, refused: str = "refused.example") -> None:
        self.refused = refused
        self.told = []

    def refusal(self, task, name):
        return f"{task} may not reach {name}" if name.endswith(self.refused) else ""

    async def heard(self, task, name, answer):
        self.told.append((task, name, found(dns.message.from_wire(answer))))


class Place:
    """Where a server listens."""

    def __init__(self, port: int) -> None:
        self.port = port

    async def ask(self, name: str, kind: str = "A", *, tcp: bool = False, **more):
        way = dns.asyncquery.tcp if tcp else dns.asyncquery.udp
        return await way(dns.message.make_query(name, kind, **more), "127.0.0.1", timeout=5, port=self.port)


def pair() -> tuple[socket.socket, socket.socket]:
    """Return a UDP and a TCP socket at one free port."""
    while True:
        udp = listener.bound("127.0.0.1", 0, "udp")
        try:
            return udp, listener.bound("127.0.0.1", udp.getsockname()[1])
        except OSError:  # somebody has that port for TCP
            udp.close()


@asynccontextmanager
async def served(resolver: Resolver, asker: Asker = WEB):
    udp, tcp = pair()
    place = Place(udp.getsockname()[1])
    async with asyncio.TaskGroup() as group:
        job = group.create_task(DnsServer(resolver, asker).serve(udp, tcp))
        yield place
        job.cancel()


@asynccontextmanager
async def mesh(*objects, asker: Asker = WEB, elsewhere: Upstream | None = None):
    known = Known(cloud_map_service("A", "SRV"), *objects)
    async with served(Resolver(known, elsewhere or NOWHERE, Judge()), asker) as place:
        place.known = known
        yield place


def found(reply) -> set[str]:
    return {record.address for one in reply.answer for record in one}


async def test_both_ways_give_the_same():
    async with mesh(task(2), task(3)) as place:
        assert found(await place.ask(NAME)) == {"10.88.0.2", "10.88.0.3"}
        assert found(await place.ask(NAME, tcp=True)) == {"10.88.0.2", "10.88.0.3"}
        assert (await place.ask("nobody.corp.internal")).rcode() == dns.rcode.NXDOMAIN


async def test_an_answer_that_is_too_long_is_asked_for_again_over_tcp():
    async with mesh(*(task(number) for number in range(2, 12))) as place:
        short = await place.ask(NAME, "SRV")
        assert short.flags & dns.flags.TC or len(short.answer[0]) == 8
        assert len((await place.ask(NAME, "SRV", tcp=True)).answer[0]) == 8


async def test_what_changes_is_told_at_the_next_question():
    async with mesh(task(2)) as place:
        for _ in range(20):
            assert found(await place.ask(NAME)) == {"10.88.0.2"}
        place.known.objects, place.known.version = (cloud_map_service("A"), task(3)), 2
        assert found(await place.ask(NAME)) == {"10.88.0.3"}


async def test_names_of_service_connect_are_those_of_the_asker_s_namespace():
    async with mesh() as place:
        assert found(await place.ask("orders")) == {"127.255.0.1"}
        assert (await place.ask("orders", "AAAA")).authority
    async with mesh(asker=Asker("default/other-1", Connected("other"))) as place:
        assert (await place.ask("orders")).rcode() == dns.rcode.SERVFAIL


async def test_unknown_names_of_the_mesh_are_remembered_a_few():
    asker = Asker("default/web-1", Connected("shop"))
    async with mesh(asker=asker) as place:
        for number in range(40):
            await place.ask(f"n{number}.corp.internal")
        await place.ask("n39.corp.internal")
    assert len(asker.unknown.counts) == 32
    assert asker.unknown.counts["n39.corp.internal"] == 2


async def test_other_names_are_asked_for_elsewhere(tmp_path):
    async with mesh(by_hand(9), asker=Asker("default/there-1")) as there:
        conf = tmp_path / "resolv.conf"
        conf.write_text("# none yet\n")
        elsewhere = Upstream(connected, conf, there.port)
        async with served(Resolver(Known(), elsewhere, Judge())) as place:
            place_known = await place.ask("example.com")
            assert place_known.rcode() == dns.rcode.SERVFAIL
            conf.write_text("nameserver 127.0.0.1\n")
            assert (await place.ask("example.com")).rcode() == dns.rcode.SERVFAIL  # there, too
            assert (await place.ask("example.com", tcp=True)).rcode() == dns.rcode.SERVFAIL


async def test_an_answer_from_elsewhere_comes_back_with_the_asker_s_id(tmp_path):
    class Others(Known):
        def zone_of(self, name):
            return None

    async with mesh(by_hand(9), asker=Asker("default/there-1")) as there:
        conf = tmp_path / "resolv.conf"
        conf.write_text("nameserver 127.0.0.1\n")
        async with served(Resolver(Others(), Upstream(connected, conf, there.port), Judge())) as place:
            assert found(await place.ask(NAME)) == {"10.0.0.9"}
            assert found(await place.ask(NAME, tcp=True)) == {"10.0.0.9"}


async def test_who_may_reach_names_is_told_of_before_the_task_is(tmp_path):
    class Others(Known):
        def zone_of(self, name):
            return None

    async with mesh(by_hand(9), asker=Asker("default/there-1")) as there:
        conf = tmp_path / "resolv.conf"
        conf.write_text("nameserver 127.0.0.1\n")
        judge = Judge()
        async with served(Resolver(Others(), Upstream(connected, conf, there.port), judge)) as place:
            assert found(await place.ask(NAME)) == {"10.0.0.9"}
            assert judge.told == [("web-1", NAME, {"10.0.0.9"})]


async def test_a_name_that_a_task_may_not_reach_is_refused_with_the_reason():
    async with mesh() as place:
        reply = await place.ask("www.refused.example", use_edns=0)
        assert reply.rcode() == dns.rcode.REFUSED
        assert [option.text for option in reply.options] == ["web-1 may not reach www.refused.example"]


async def test_this_machine_has_a_name_for_tasks():
    async with mesh() as place:
        assert found(await place.ask("host.tsunagu.internal")) == {"169.254.88.1"}
        assert (await place.ask("host.tsunagu.internal", "AAAA")).authority
    async with mesh(asker=Asker()) as place:
        assert (await place.ask("host.tsunagu.internal")).rcode() == dns.rcode.REFUSED


async def test_a_server_that_is_silent_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(upstream, "PATIENCE", 0.05)
    with listener.bound("127.0.0.1", 0, "udp") as silent:
        conf = tmp_path / "resolv.conf"
        conf.write_text("nameserver 127.0.0.1\n")
        async with served(Resolver(Known(), Upstream(connected, conf, silent.getsockname()[1]), Judge())) as place:
            assert (await place.ask("example.com")).rcode() == dns.rcode.SERVFAIL


async def test_the_machine_s_programs_are_told_twins_and_refused_other_names():
    async with mesh(task(2), asker=Asker()) as place:
        assert found(await place.ask(NAME)) == {"127.88.0.2"}
        assert (await place.ask("example.com")).rcode() == dns.rcode.REFUSED


async def test_connections_are_few_and_one_that_is_silent_is_closed(monkeypatch):
    monkeypatch.setattr(dns_server, "IDLE", 0.2)
    monkeypatch.setattr(dns_server, "CONNECTIONS", 2)
    async with mesh(task(2)) as place:
        silent = [await asyncio.open_connection("127.0.0.1", place.port) for _ in range(2)]
        assert found(await place.ask(NAME, tcp=True)) == {"10.88.0.2"}  # waits until they are closed
        for reader, writer in silent:
            assert await reader.read() == b""
            writer.close()


@pytest.mark.parametrize("raw", [b"\0\0", b"\xff\xff" + b"x" * 100, b"\0\x05hello"])
async def test_nonsense_over_tcp_ends_the_connection(raw):
    async with mesh(task(2)) as place:
        reader, writer = await asyncio.open_connection("127.0.0.1", place.port)
        writer.write(raw)
        with suppress(ConnectionResetError):  # what it has not read is told by a reset
            assert await asyncio.wait_for(reader.read(), 60) == b""
        writer.close()


async def test_nonsense_over_udp_is_dropped_and_the_next_question_is_answered():
    async with mesh(task(2)) as place:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            for size in (0, 1, 11, 12, 600, 5000):
                client.sendto(b"\xff" * size, ("127.0.0.1", place.port))
        assert found(await place.ask(NAME)) == {"10.88.0.2"}


def test_a_bucket_allows_its_rate_and_a_second_of_it_at_once():
    bucket = Bucket(10)
    assert [bucket.take(100.0) for _ in range(12)] == [True] * 10 + [False] * 2
    assert [bucket.take(100.2) for _ in range(3)] == [True, True, False]
    assert bucket.delay(100.2) == pytest.approx(0.1, abs=0.05)


def test_the_servers_of_a_resolv_conf_are_the_first_three():
    text = "search x\n# nameserver 1.1.1.1\nnameserver 10.0.0.1\nnameserver\nnameserver ::1 # six\nnameserver 10.0.0.2\nnameserver 10.0.0.3\n"
    assert upstream.servers(text) == ("10.0.0.1", "::1", "10.0.0.2")
