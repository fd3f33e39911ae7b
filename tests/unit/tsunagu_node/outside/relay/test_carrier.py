"""The relay over this machine's loopback: what is carried, what is refused, what ends, and what is counted."""

import socket
import struct
import threading
import time

import pytest

from tsunagu_node.outside.relay import carrier as carrying
from tsunagu_node.outside.relay.carrier import Carrier, Listener
from tsunagu_node.outside.relay.destinations import Machine, Reason
from tsunagu_node.outside.relay.loop import Loop

TASK = "web-1"


class Relay:
    """A carrier whose loop runs in a thread. `called`: where the next clients were going, as the kernel would tell."""

    def __init__(self, monkeypatch):
        self.called = ("198.51.100.1", 80)
        monkeypatch.setattr(carrying, "destination", lambda _: self.called)
        self.loop = Loop()
        machine = Machine(owns=lambda _: False, is_ours=lambda _ip, port: port == 6)
        self.carrier = Carrier(self.loop, machine)
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.place = self.listener.getsockname()
        self.carrier.listen("task", Listener(self.listener, TASK))
        self.thread = threading.Thread(target=self.loop.run)

    def leads_to(self, host, port):
        """Have what clients call be at host:port."""
        self.called = ("198.51.100.1", port)
        self.carrier.places = {self.called: host}

    def connect(self):
        return socket.create_connection(self.place, 10)

    @property
    def counts(self):
        return self.carrier.counts[TASK]

    def until(self, condition):
        deadline = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < deadline, self.counts
            time.sleep(0.01)


@pytest.fixture
def relay(monkeypatch):
    monkeypatch.setattr("tsunagu_node.outside.relay.loop.TICK", 0.05)
    made = Relay(monkeypatch)
    made.thread.start()
    yield made
    made.loop.end()
    made.thread.join(10)
    made.carrier.close()


@pytest.fixture
def server(relay):
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listening:
        listening.settimeout(10)
        relay.leads_to(*listening.getsockname())
        yield listening


def accepted(server):
    peer, _ = server.accept()
    peer.settimeout(10)
    return peer


def test_bytes_go_both_ways_and_each_end_is_passed_on(relay, server):
    with relay.connect() as client, accepted(server) as peer:
        peer.sendall(b"220 ready")  # the server speaks first
        assert client.recv(9, socket.MSG_WAITALL) == b"220 ready"
        client.sendall(b"question")
        client.shutdown(socket.SHUT_WR)
        assert peer.recv(8, socket.MSG_WAITALL) == b"question"
        assert peer.recv(1) == b""
        peer.sendall(b"answer after the end")
        assert client.recv(20, socket.MSG_WAITALL) == b"answer after the end"
        peer.shutdown(socket.SHUT_WR)
        assert client.recv(1) == b""
    relay.until(lambda: relay.counts.active == 0)
    assert (relay.counts.opened, relay.counts.sent, relay.counts.received) == (1, 8, 29)


def test_a_slow_reader_holds_its_sender_back_and_loses_nothing(relay, server):
    piece = bytes(range(256)) * 4096
    with relay.connect() as client, accepted(server) as peer:
        sending = threading.Thread(target=lambda: (client.sendall(piece * 40), client.shutdown(socket.SHUT_WR)))
        sending.start()
        sending.join(0.3)
        assert sending.is_alive(), "40 MiB are more than what sockets and a pipe hold back"
        received = bytearray()
        while more := peer.recv(1 << 20):
            received += more
        assert received == piece * 40


def test_a_reset_is_passed_on(relay, server):
    with relay.connect() as client, accepted(server) as peer:
        client.sendall(b"x")
        assert peer.recv(1) == b"x"
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        with pytest.raises(ConnectionResetError):
            peer.recv(1)


def is_reset(client):
    client.settimeout(10)
    try:
        client.recv(1)
    except ConnectionResetError:
        return True
    return False


def is_refused(relay):
    """Whether a new connection is reset, which may happen before connect() returns."""
    try:
        with relay.connect() as client:
            return is_reset(client)
    except ConnectionResetError:
        return True


@pytest.mark.parametrize("port", [6, 1])
def test_what_is_refused_is_reset_and_counted_with_its_reason(relay, port):
    relay.leads_to("127.0.0.1", port)
    assert is_refused(relay)
    reason = {6: Reason.OWN_PORT, 1: Reason.UNREACHABLE}[port]
    relay.until(lambda: relay.counts.refused[reason] == 1)
    assert relay.counts.told()["places"] == [["198.51.100.1", port, reason, 1]]


def test_more_connections_than_a_task_may_have_are_reset(relay, server, monkeypatch):
    monkeypatch.setattr(carrying, "PER_TASK", 2)
    with relay.connect(), relay.connect(), accepted(server), accepted(server):
        assert is_refused(relay)
        assert relay.counts.refused == {Reason.TOO_MANY: 1}


def test_silence_ends_a_connection_and_a_half_closed_one_sooner(relay, server, monkeypatch):
    monkeypatch.setattr(carrying, "HALF_CLOSED", 0.1)
    with relay.connect() as whole, accepted(server), relay.connect() as half, accepted(server):
        half.shutdown(socket.SHUT_WR)
        assert is_reset(half)
        monkeypatch.setattr(carrying, "IDLE", 0.1)
        assert is_reset(whole)


def test_who_does_not_answer_is_given_up(relay, server, monkeypatch):
    monkeypatch.setattr("tsunagu_node.outside.relay.connector.CONNECT", 0.1)
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        relay.leads_to(*full.getsockname())
        fillers = [socket.socket() for _ in range(3)]
        for one in fillers:
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        assert is_refused(relay)
        for one in fillers:
            one.close()
    assert relay.counts.refused == {Reason.UNREACHABLE: 1}


def test_the_last_places_that_were_refused_are_told_and_no_more(relay):
    for number in range(20):
        relay.counts.refuse(("198.51.100.9", number), Reason.DENIED)
    assert len(relay.counts.told()["places"]) == 16
    assert relay.counts.refused[Reason.DENIED] == 20
