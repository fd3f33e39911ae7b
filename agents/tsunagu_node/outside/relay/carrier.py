"""Takes the connections of tasks that lead out of the mesh, decides where each may go, connects there from this machine, and carries.

Rule: nothing grows or lasts without limit: PER_TASK connections of a task and MOST of all, beyond which they are refused; `connector.CONNECT`
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
from typing import Final

from tsunagu_node.outside.relay.connector import Connector, reason
from tsunagu_node.outside.relay.counting import Counts
from tsunagu_node.outside.relay.destinations import Machine, Place, Reason, Rights, lead
from tsunagu_node.outside.relay.knock import Door, Knock
from tsunagu_node.outside.relay.loop import READ, Loop
from tsunagu_node.outside.relay.splicing import Pair, Pipes, reset

PER_TASK: Final = 2048
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
        self._connecting = Connector(loop)
        self._knock: Knock | None = None
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

    def close(self) -> None:
        """End all connections, and accept none any more."""
        for name in [*self._listeners]:
            self.forget(name)
        self._connecting.close()
        if self._knock is not None:
            self._knock.close()
            self._knock = None
        for pair in [*self._pairs]:
            pair.close(broken=True)

    # -- connections

    def knock(self, queue: socket.socket) -> None:
        """Connect from now on before whoever calls is answered, where this queue tells of them."""
        if self._knock is not None:
            self._knock.close()
        self._knock = Knock(self._loop, queue, Door(self._lead, self._connecting.begin, self._failed))

    def knocked(self) -> list[int]:
        """Return the descriptor of that queue, if there is one."""
        return [self._knock.fileno()] if self._knock is not None else []

    def _accept(self, listener: Listener, _events: int) -> None:
        if time.monotonic() < self._resumed:
            return
        for _ in range(_AT_ONCE):
            try:
                client, called_from = listener.socket.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE):
                    self._resumed = time.monotonic() + _PAUSE
                    time.sleep(_PAUSE / 10)  # the listener stays readable: this is the pace of looking again
                return
            client.setblocking(False)
            self._take(client, called_from, listener.task or self._task_at(called_from[0]))

    def _task_at(self, ip: str) -> str:
        return self.tasks.get(ip, ip)

    def _take(self, client: socket.socket, called_from: Place, task: str) -> None:
        try:
            called = destination(client)
        except OSError:  # it has called the listener itself
            _refused(client)
            return
        counts = self.counts[task]
        if self._knock is not None and (server := self._knock.claim((*called_from, *called))):
            counts.active += 1
            self._carry(client, server, counts)
            return
        target = self._judge(task, called)
        if target is None:
            _refused(client)
            return
        counts.active += 1
        self._connecting.begin(target, lambda *made: self._connected(client, called, made, counts))

    def _judge(self, task: str, called: Place) -> Place | None:
        """Return where a connection of the task leads; None if it is refused, which is counted."""
        counts = self.counts[task]
        target, why = lead(called, self.rights.get(task, _ANY), self.places, self._machine, time.monotonic())
        waiting = len(self._connecting) + (self._knock.waiting if self._knock is not None else 0)
        if counts.active >= PER_TASK or len(self._pairs) + waiting >= self._most:
            target, why = None, Reason.TOO_MANY
        if target is None:
            counts.refuse(called, why or Reason.UNREACHABLE)
        return target

    def _lead(self, ip: str, called: Place) -> Place | None:
        """As `_judge`, of a task that is known by its address."""
        return self._judge(self._task_at(ip), called)

    def _failed(self, ip: str, called: Place, code: int) -> None:
        self.counts[self._task_at(ip)].refuse(called, reason(code))

    def _connected(
        self, client: socket.socket, called: Place, made: tuple[socket.socket | None, int], counts: Counts
    ) -> None:
        server, code = made
        if server is None:
            counts.active -= 1
            counts.refuse(called, reason(code))
            _refused(client)
        else:
            self._carry(client, server, counts)

    def _carry(self, client: socket.socket, server: socket.socket, counts: Counts) -> None:
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
        self._connecting.look(now)
        if self._knock is not None:
            self._knock.look(now)
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
