"""Whoever calls a place outside is answered as the place answers: what the queue's reader says of each first packet."""

import errno
import socket
import struct
import time

import pytest

from tsunagu_node.outside.relay import knock
from tsunagu_node.outside.relay.connector import Connector, reason
from tsunagu_node.outside.relay.destinations import Reason
from tsunagu_node.outside.relay.knock import RESET_MARK, UNREACHABLE_MARK, Door, Knock, knocker_of
from tsunagu_node.outside.relay.loop import Loop

TASK, PLACE = ("10.88.0.2", 40000), ("192.0.2.1", 443)
DROP, ACCEPT = 0, 1


def syn(source=TASK, to=PLACE, protocol=socket.IPPROTO_TCP, options=b""):
    """An IPv4 packet, as far as anybody reads it."""
    header = bytes([0x45 + len(options) // 4]) + bytes(8) + bytes([protocol]) + bytes(2)
    addresses = socket.inet_aton(source[0]) + socket.inet_aton(to[0])
    return header + addresses + options + struct.pack(">HH", source[1], to[1]) + bytes(16)


def from_kernel(number, packet):
    """A message as nfnetlink_queue sends it."""
    head = struct.pack("=HHIHB", 11, 1, socket.htonl(number), 0x0008, 0) + b"\0"
    payload = struct.pack("=HH", 4 + len(packet), 10) + packet + b"\0" * (-len(packet) % 4)
    body = bytes(4) + head + payload
    return struct.pack("=IHHII", 16 + len(body), 3 << 8, 0, 0, 0) + body


def verdict(raw):
    """(number, verdict, mark) of what was said to the kernel."""
    decided, number = struct.unpack_from(">II", raw, 24)
    return number, decided, struct.unpack_from(">I", raw, 36)[0] if len(raw) > 36 else 0


class Kernel:
    """The other end of the queue, and a door whose places answer when the test says so."""

    def __init__(self):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        theirs.setblocking(False)
        ours.settimeout(1)
        self.socket, self.connecting, self.failures = ours, [], []
        self.leads = {PLACE: ("198.51.100.1", 443)}
        door = Door(lambda _, called: self.leads.get(called), self._connect, lambda *told: self.failures.append(told))
        self.knock = Knock(Loop(), theirs, door)

    def _connect(self, target, done):
        self.connecting.append((target, done))

    def sends(self, *packets):
        for number, packet in enumerate(packets, 1):
            self.socket.send(from_kernel(number, packet))
        self.knock._read(0)

    def heard(self):
        return verdict(self.socket.recv(4096))

    def heard_nothing(self):
        self.socket.setblocking(False)
        try:
            return self.socket.recv(4096)
        except BlockingIOError:
            return True


@pytest.fixture
def kernel():
    made = Kernel()
    yield made
    made.knock.close()
    made.socket.close()


def test_a_packet_waits_until_the_place_has_answered_and_then_the_connection_is_claimed_once(kernel):
    kernel.sends(syn())
    assert kernel.heard_nothing() is True
    [(target, done)] = kernel.connecting
    assert target == ("198.51.100.1", 443)
    kernel.socket.settimeout(1)
    with socket.socket() as server:
        done(server, 0)
        assert kernel.heard() == (1, ACCEPT, 0)
        assert kernel.knock.claim((*TASK, *PLACE)) is server
        assert kernel.knock.claim((*TASK, *PLACE)) is None


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (errno.ECONNREFUSED, (1, ACCEPT, RESET_MARK)),
        (errno.EHOSTUNREACH, (1, ACCEPT, UNREACHABLE_MARK)),
        (errno.ENETUNREACH, (1, ACCEPT, UNREACHABLE_MARK)),
        (errno.ETIMEDOUT, (1, DROP, 0)),
    ],
)
def test_who_calls_is_told_what_this_machine_was_told(kernel, code, said):
    kernel.sends(syn())
    kernel.connecting[0][1](None, code)
    assert kernel.heard() == said
    assert kernel.failures == [(TASK[0], PLACE, code)]


def test_what_may_not_be_reached_is_refused_at_once(kernel):
    kernel.leads.clear()
    kernel.sends(syn())
    assert kernel.heard() == (1, ACCEPT, RESET_MARK)
    assert kernel.connecting == []


def test_a_packet_that_is_sent_again_makes_no_second_connection(kernel):
    kernel.sends(syn(), syn())
    assert len(kernel.connecting) == 1
    assert kernel.heard() == (2, DROP, 0)
    with socket.socket() as server:
        kernel.connecting[0][1](server, 0)
        assert kernel.heard() == (1, ACCEPT, 0)
        kernel.sends(syn())
        assert kernel.heard() == (1, ACCEPT, 0)
        assert kernel.knock.waiting == 1


def test_a_connection_that_nobody_claims_is_closed(kernel):
    kernel.sends(syn())
    server = socket.socket()
    kernel.connecting[0][1](server, 0)
    kernel.knock.look(time.monotonic() + knock.UNCLAIMED + 1)
    assert server.fileno() == -1
    assert kernel.knock.waiting == 0


def test_what_is_no_tcp_passes(kernel):
    kernel.sends(syn(protocol=socket.IPPROTO_UDP), b"")
    assert [kernel.heard(), kernel.heard()] == [(1, ACCEPT, 0), (2, ACCEPT, 0)]


def test_complaints_of_the_kernel_and_what_is_cut_are_passed_over(kernel):
    complaint = struct.pack("=IHHIIi", 36, 2, 0, 0, 0, -2) + bytes(16)
    assert list(knock.packets(complaint + from_kernel(7, syn()))) == [(7, syn())]
    assert list(knock.packets(b"\0" * 10)) == []
    assert knocker_of(syn(options=bytes(8))) == (*TASK, *PLACE)
    assert knocker_of(syn(options=bytes(40))[:30]) is None


def test_connections_are_made_and_refusals_told():
    told = []
    loop = Loop()
    connecting = Connector(loop)
    loop.each_tick(lambda _: loop.end())
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        for target in (listener.getsockname(), nobody.getsockname()):
            connecting.begin(target, lambda server, code: told.append((server, code)))
        assert len(connecting) == 2
        loop.run()
        codes = sorted(code for _, code in told)
        assert codes == [0, errno.ECONNREFUSED]
        next(server for server, _ in told if server).close()
    assert len(connecting) == 0


def test_what_takes_too_long_is_given_up():
    told = []
    connecting = Connector(Loop())
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        held = [socket.create_connection(full.getsockname())]
        connecting.begin(full.getsockname(), lambda server, code: told.append((server, code)))
        connecting.look(time.monotonic() + 60)
        assert told == [(None, errno.ETIMEDOUT)]
        held[0].close()
    assert reason(errno.EMFILE) is Reason.TOO_MANY
    assert reason(errno.ECONNREFUSED) is Reason.UNREACHABLE
