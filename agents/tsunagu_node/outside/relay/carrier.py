"""Takes the connections of tasks that lead out of the mesh, decides where each may go, connects there from this machine, and carries.

Rule: nothing grows or lasts without limit: PER_TASK connections of a task and MOST of all, beyond which they are refused; CONNECT
seconds to connect; IDLE seconds of silence, HALF_CLOSED of them when one side has ended. While it connects nothing is read of the
task. What is refused, or cannot be connected, is a reset for the task. Standard library only.
"""

import errno
import os
import resource
import socket
import struct
import time
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from tsunagu_node.outside.relay.counting import Counts
from tsunagu_node.outside.relay.destinations import Machine, Place, Reason, Rights, lead
from tsunagu_node.outside.relay.loop import READ, WRITE, Loop
from tsunagu_node.outside.relay.splicing import Pair, Pipes, reset

if TYPE_CHECKING:
    from collections.abc import Callable

PER_TASK: Final = 2048
CONNECT: Final = 10.0
IDLE: Final = 3600.0
HALF_CLOSED: Final = 300.0
_FDS: Final = 6
"""Descriptors of a connection that is busy both ways."""
_AT_ONCE: Final = 64
_PAUSE: Final = 0.05
_ORIGINAL_DESTINATION: Final = 80  # SO_ORIGINAL_DST, linux/netfilter_ipv4.h
_SOCKADDR: Final = struct.Struct("!2xH4s8x")


class Listener:
    """A listening socket that it owns. `task`: whose connections come there; empty: their addresses tell."""

    def __init__(self, listening: socket.socket, task: str) -> None:
        listening.setblocking(False)
        self.socket = listening
        self.task = task


class Carrier:
    """`tasks`: address -> task, of listeners where several tasks' connections come. `places`: see `destinations.lead`. `rights`: of a
    task that is not there it may reach everything: where it comes from, the kernel has judged by then.
    """

    def __init__(self, loop: Loop, machine: Machine) -> None:
        self.tasks: dict[str, str] = {}
        self.places: dict[Place, str] = {}
        self.rights: dict[str, Rights] = {}
        self.counts: defaultdict[str, Counts] = defaultdict(Counts)
        self._loop = loop
        self._machine = machine
        self._pipes = Pipes()
        self._listeners: dict[str, Listener] = {}
        self._connecting: dict[socket.socket, tuple[float, Callable[[Reason], None]]] = {}
        self._pairs: dict[Pair, _Life] = {}
        self._resumed = 0.0  # nothing is accepted before, since no descriptor was left
        self._most = resource.getrlimit(resource.RLIMIT_NOFILE)[0] // _FDS
        loop.each_tick(self._look)

    # -- listeners

    def listen(self, name: str, listener: Listener) -> None:
        """Accept there from now on, in the place of the listener that was called so."""
        self.forget(name)
        self._listeners[name] = listener
        self._loop.watch(listener.socket.fileno(), READ, partial(self._accept, listener))

    def listening(self, name: str) -> list[int]:
        """Return the descriptor of the listener of this name, if there is one."""
        return [self._listeners[name].socket.fileno()] if name in self._listeners else []

    def forget(self, name: str) -> None:
        """Accept no more at the listener of this name; what it accepted stays."""
        if listener := self._listeners.pop(name, None):
            self._loop.forget(listener.socket.fileno())
            listener.socket.close()

    def keep(self, tasks: set[str]) -> None:
        """Forget what was counted of tasks that are none of these."""
        for gone in self.counts.keys() - tasks:
            if not self.counts[gone].active:
                del self.counts[gone]
        for gone in self.rights.keys() - tasks:
            del self.rights[gone]

    # -- connections

    def _accept(self, listener: Listener, _events: int) -> None:
        if time.monotonic() < self._resumed:
            return
        for _ in range(_AT_ONCE):
            try:
                client, (ip, _port) = listener.socket.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE):
                    self._resumed = time.monotonic() + _PAUSE
                    time.sleep(_PAUSE / 10)  # the listener stays readable: this is the pace of looking again
                return
            client.setblocking(False)
            self._take(client, listener.task or self.tasks.get(ip, ip))

    def _take(self, client: socket.socket, task: str) -> None:
        counts = self.counts[task]
        try:
            called = destination(client)
        except OSError:  # it has called the listener itself
            _refused(client)
            return
        target, reason = lead(called, self.rights.get(task, _ANY), self.places, self._machine, time.monotonic())
        if counts.active >= PER_TASK or len(self._pairs) + len(self._connecting) >= self._most:
            target, reason = None, Reason.TOO_MANY
        if target is None:
            counts.refuse(called, reason or Reason.UNREACHABLE)
            _refused(client)
            return
        counts.active += 1
        self._connect(client, called, target, counts)

    def _connect(self, client: socket.socket, called: Place, target: Place, counts: Counts) -> None:
        def failed(reason: Reason) -> None:
            counts.active -= 1
            counts.refuse(called, reason)
            _refused(client)

        try:
            server = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        except OSError:
            failed(Reason.TOO_MANY)
            return
        code = server.connect_ex(target)
        if code not in (0, errno.EINPROGRESS):
            server.close()
            failed(Reason.UNREACHABLE)
            return
        self._connecting[server] = time.monotonic() + CONNECT, failed
        self._loop.watch(server.fileno(), WRITE, lambda _: self._connected(client, server, counts))

    def _connected(self, client: socket.socket, server: socket.socket, counts: Counts) -> None:
        self._loop.forget(server.fileno())
        _, failed = self._connecting.pop(server)
        if server.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            server.close()
            failed(Reason.UNREACHABLE)
            return
        for one in (client, server):
            with suppress(OSError):  # the task has gone meanwhile, which reading will tell
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                one.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        counts.opened += 1
        pair = Pair(self._loop, self._pipes, (client, server), lambda: self._over(pair, counts))
        self._pairs[pair] = _Life(counts, time.monotonic())
        pair.begin()

    def _over(self, pair: Pair, counts: Counts) -> None:
        self._pairs.pop(pair).look(pair, time.monotonic())
        counts.active -= 1

    # -- time

    def _look(self, now: float) -> None:
        """End what has taken too long."""
        for server, (until, failed) in [*self._connecting.items()]:
            if now > until:
                del self._connecting[server]
                self._loop.forget(server.fileno())
                server.close()
                failed(Reason.UNREACHABLE)
        for pair, life in [*self._pairs.items()]:
            if life.look(pair, now) > (HALF_CLOSED if pair.half_closed else IDLE):
                pair.close(broken=True)


@dataclass(slots=True)
class _Life:
    """A connection's bytes that `counts` has already, and since when they are all."""

    counts: Counts
    since: float
    sent: int = 0
    received: int = 0

    def look(self, pair: Pair, now: float) -> float:
        """Count what has moved since the last time; return for how many seconds nothing has."""
        sent, received = pair.outward.moved - self.sent, pair.inward.moved - self.received
        if sent or received:
            self.counts.sent += sent
            self.counts.received += received
            self.sent, self.received, self.since = pair.outward.moved, pair.inward.moved, now
        return now - self.since


_ANY: Final = Rights()


def destination(client: socket.socket) -> Place:
    """Return the address and the port that the other side of a connection called, before nat led it here. Raises OSError."""
    port, ip = _SOCKADDR.unpack(client.getsockopt(socket.SOL_IP, _ORIGINAL_DESTINATION, _SOCKADDR.size))
    called = socket.inet_ntoa(ip), int(port)
    if called == client.getsockname():
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
    return called


def _refused(client: socket.socket) -> None:
    reset(client)
    client.close()
