"""Connects to a place outside before the kernel of the tasks' network answers whoever calls it: so a refused connection is refused.

A listener accepts before anybody knows whether the place beyond it does, and whoever called believes to be connected: an Envoy would
neither try another address nor avoid this one. So the first packet of each connection (SYN) waits in a queue of the kernel until
this process has connected there, or failed to, and the packet is let in, or answered as the place outside has answered: a reset where
it refused, "host unreachable" where no way led, silence where there was silence.

Rule: nothing depends on it. While nobody reads the queue, or it is full, the kernel lets packets pass, and connections are made after
they are accepted. Numbers are the kernel's: linux/netfilter/nfnetlink_queue.h. Standard library only.
"""

import errno
import os
import socket
import struct
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tsunagu_node.outside.relay.loop import READ, Loop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tsunagu_node.outside.relay.destinations import Place

QUEUE: Final = 7
"""The queue's number; each network has queues of its own."""
RESET_MARK: Final = 0x74736E01
UNREACHABLE_MARK: Final = 0x74736E02
"""Marks of packets that are let in to be answered by the rules behind: with a reset, with "host unreachable"."""
UNCLAIMED: Final = 5.0
"""Seconds that a connection waits for its task, which may be gone."""
_NETLINK_NETFILTER: Final = 12
_REQUEST, _ACK = 0x1, 0x4
_ERROR: Final = 2
_SUBSYSTEM: Final = 3 << 8
_PACKET, _VERDICT, _CONFIG = 0, 1, 2
_HEADER, _MARK, _PAYLOAD = 1, 3, 10
_COMMAND, _PARAMETERS, _MASK, _FLAGS = 1, 2, 4, 5
_VERDICT_HEADER: Final = 2
_BIND: Final = 1
_COPY_PACKET: Final = 2
_FAIL_OPEN: Final = 1
_DROP, _ACCEPT = 0, 1
_BYTES: Final = 64  # of a packet: its headers
_AT_ONCE: Final = 64
Knocker = tuple[str, int, str, int]  # address and port of the task, address and port that it calls


@dataclass(frozen=True, slots=True)
class Door:
    """What is done for whoever knocks. `lead`: (address of the task, place that it calls) -> where to connect; None: it is refused. `connect`:
    connects there, and calls with the socket, or with None and why (an errno; ETIMEDOUT: nobody answered). `failed`: is
    told of that, too.
    """

    lead: "Callable[[str, Place], Place | None]"
    connect: "Callable[[Place, Callable[[socket.socket | None, int], None]], None]"
    failed: "Callable[[str, Place, int], None]"


def opened() -> socket.socket:
    """Return a socket at which the queue of this thread's network is read. Raises OSError where the kernel has no queues."""
    queue = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_NETFILTER)
    try:
        queue.bind((0, 0))
        queue.settimeout(5.0)
        for body in (
            _attribute(_COMMAND, struct.pack(">BxH", _BIND, socket.AF_INET)),
            _attribute(_PARAMETERS, struct.pack(">IB", _BYTES, _COPY_PACKET)),
            _attribute(_FLAGS, struct.pack(">I", _FAIL_OPEN)) + _attribute(_MASK, struct.pack(">I", _FAIL_OPEN)),
        ):
            queue.send(_message(_CONFIG, _REQUEST | _ACK, body))
            _acknowledged(queue.recv(4096))
        queue.setblocking(False)
    except BaseException:
        queue.close()
        raise
    return queue


def _acknowledged(answer: bytes) -> None:
    """Raises OSError when the kernel has refused."""
    if code := -struct.unpack_from("=i", answer, 16)[0]:
        raise OSError(code, os.strerror(code))


class Knock:
    """Reads `queue`, which it owns. Invariant: whoever knocked is in `_connecting` until its packet is judged, then in `_ready` until its
    connection is claimed, if it was let in.
    """

    def __init__(self, loop: Loop, queue: socket.socket, door: Door) -> None:
        self._loop = loop
        self._queue = queue
        self._door = door
        self._connecting: set[Knocker] = set()
        self._ready: dict[Knocker, tuple[socket.socket, float]] = {}
        loop.watch(queue.fileno(), READ, self._read)

    @property
    def waiting(self) -> int:
        """How many connections nobody has claimed yet."""
        return len(self._ready)

    def fileno(self) -> int:
        return self._queue.fileno()

    def claim(self, knocker: Knocker) -> socket.socket | None:
        """Return the connection that was made for this one, which is the caller's from now on; None if it has not knocked."""
        found = self._ready.pop(knocker, None)
        return found[0] if found else None

    def look(self, now: float) -> None:
        """Close what nobody has claimed in time."""
        for knocker, (server, until) in [*self._ready.items()]:
            if now > until:
                del self._ready[knocker]
                server.close()

    def close(self) -> None:
        """Read the queue no more: packets pass."""
        self._loop.forget(self._queue.fileno())
        self._queue.close()
        for server, _ in self._ready.values():
            server.close()
        self._ready.clear()

    def _read(self, _events: int) -> None:
        for _ in range(_AT_ONCE):
            try:
                raw = self._queue.recv(4096)
            except OSError:  # nothing is left; or some were lost (ENOBUFS), and are sent again by who sent them
                return
            for number, packet in packets(raw):
                self._judge(number, packet)

    def _judge(self, number: int, packet: bytes) -> None:
        knocker = knocker_of(packet)
        if knocker is None or knocker in self._ready:  # sent again, since it was not answered in time
            self._say(number, _ACCEPT)
            return
        if knocker in self._connecting:
            self._say(number, _DROP)
            return
        called = knocker[2:]
        target = self._door.lead(knocker[0], called)
        if target is None:
            self._say(number, _ACCEPT, RESET_MARK)
            return
        self._connecting.add(knocker)
        self._door.connect(target, lambda server, code: self._outcome(number, knocker, server, code))

    def _outcome(self, number: int, knocker: Knocker, server: socket.socket | None, code: int) -> None:
        self._connecting.discard(knocker)
        if server is not None:
            self._ready[knocker] = server, time.monotonic() + UNCLAIMED
            self._say(number, _ACCEPT)
            return
        self._door.failed(knocker[0], knocker[2:], code)
        if code == errno.ETIMEDOUT:
            self._say(number, _DROP)
        else:
            self._say(number, _ACCEPT, RESET_MARK if code == errno.ECONNREFUSED else UNREACHABLE_MARK)

    def _say(self, number: int, verdict: int, mark: int = 0) -> None:
        body = _attribute(_VERDICT_HEADER, struct.pack(">II", verdict, number))
        if mark:
            body += _attribute(_MARK, struct.pack(">I", mark))
        with suppress(OSError):  # the packet is gone
            self._queue.send(_message(_VERDICT, _REQUEST, body))


def packets(raw: bytes) -> "Iterator[tuple[int, bytes]]":
    """Yield (number, IP packet) of each packet in what the kernel has sent; its complaints about verdicts are passed over."""
    while len(raw) >= 20:
        length, kind = struct.unpack_from("=IH", raw)
        if kind == _SUBSYSTEM | _PACKET:
            attributes = dict(_attributes(raw[20:length]))
            yield struct.unpack_from(">I", attributes[_HEADER])[0], attributes[_PAYLOAD]
        raw = raw[(length + 3) & ~3 :]


def knocker_of(packet: bytes) -> Knocker | None:
    """Return who calls whom with an IPv4 packet; None if it is not TCP's."""
    if len(packet) < 24 or packet[9] != socket.IPPROTO_TCP:
        return None
    header = (packet[0] & 0xF) * 4
    if len(packet) < header + 4:
        return None
    source, destination = struct.unpack_from(">HH", packet, header)
    return socket.inet_ntoa(packet[12:16]), source, socket.inet_ntoa(packet[16:20]), destination


def _attributes(raw: bytes) -> "Iterator[tuple[int, bytes]]":
    while len(raw) >= 4:
        length, kind = struct.unpack_from("=HH", raw)
        if length < 4:
            return
        yield kind & 0x3FFF, raw[4:length]
        raw = raw[(length + 3) & ~3 :]


def _message(kind: int, flags: int, body: bytes) -> bytes:
    head = struct.pack("=BBH", socket.AF_UNSPEC, 0, socket.htons(QUEUE))
    return struct.pack("=IHHII", 16 + len(head) + len(body), _SUBSYSTEM | kind, flags, 0, 0) + head + body


def _attribute(kind: int, payload: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(payload), kind) + payload + b"\0" * (-len(payload) % 4)
