"""Carries bytes between two sockets, both ways, without bringing them into this process: the kernel moves them through a pipe.

Rule: a side is read only when all that was read before has been taken by the other: the pipe's size is all that is ever held back for a
slow reader. The end of one direction is passed on and does not end the other; a reset is passed on as a reset. A pipe is held only
while there is something in it, so an idle connection costs two descriptors.
"""

import os
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Final

from tsunagu_node.outside.relay.loop import READ, WRITE, Loop

_PIECE: Final = 1 << 16  # a pipe's size
_FLAGS: Final = os.SPLICE_F_MOVE | os.SPLICE_F_NONBLOCK
_RESET: Final = struct.pack("ii", 1, 0)
_SPARE: Final = 64


class Pipes:
    """Pipes that nobody needs at the moment; all of them are empty."""

    def __init__(self) -> None:
        self._spare: list[tuple[int, int]] = []

    def take(self) -> tuple[int, int]:
        """Return (read end, write end). Raises OSError when no descriptor is left."""
        return self._spare.pop() if self._spare else os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def give_back(self, pipe: tuple[int, int]) -> None:
        if len(self._spare) < _SPARE:
            self._spare.append(pipe)
        else:
            close(pipe)


class Direction:
    """What is carried from `source` to `target`. `moved`: bytes that the target has taken. `ended`: the source has, and the
    target knows. Invariant: `_pipe` is None exactly when nothing is under way.
    """

    def __init__(self, source: socket.socket, target: socket.socket, pipes: Pipes) -> None:
        self.source = source
        self.target = target
        self.moved = 0
        self.ended = False
        self._pipes = pipes
        self._pipe: tuple[int, int] | None = None
        self._under_way = 0
        self._closing = False  # the source has ended

    @property
    def wants_read(self) -> bool:
        return not self._under_way and not self._closing

    @property
    def wants_write(self) -> bool:
        return self._under_way > 0

    def read(self) -> None:
        """Take what the source has, and pass it on. Raises OSError when the connection is broken."""
        if not self.wants_read:
            return
        pipe = self._pipes.take()
        try:
            count = os.splice(self.source.fileno(), pipe[1], _PIECE, flags=_FLAGS)
        except OSError as error:
            self._pipes.give_back(pipe)
            if isinstance(error, BlockingIOError):
                return
            raise
        if count == 0:
            self._pipes.give_back(pipe)
            self._closing = True
            self._end()
            return
        self._pipe, self._under_way = pipe, count
        self.write()

    def write(self) -> None:
        """Pass on what is under way, as far as the target takes it. Raises OSError when the connection is broken."""
        while self._pipe is not None:
            try:
                count = os.splice(self._pipe[0], self.target.fileno(), self._under_way, flags=_FLAGS)
            except BlockingIOError:
                return
            self._under_way -= count
            self.moved += count
            if not self._under_way:
                self._pipes.give_back(self._pipe)
                self._pipe = None

    def _end(self) -> None:
        with suppress(OSError):  # the target has ended altogether
            self.target.shutdown(socket.SHUT_WR)
        self.ended = True

    def release(self) -> None:
        """Let go of the pipe: what is in it is nobody's."""
        if self._pipe is not None:
            close(self._pipe)
            self._pipe = None


class Pair:
    """Two connected sockets, which it owns. `over` is called once, when both directions have ended or the connection is broken."""

    def __init__(
        self, loop: Loop, pipes: Pipes, sockets: tuple[socket.socket, socket.socket], over: Callable[[], None]
    ) -> None:
        self._loop = loop
        self._over = over
        client, server = sockets
        out = self.outward = Direction(client, server, pipes)
        back = self.inward = Direction(server, client, pipes)
        self._sides = tuple((one, other, partial(self._ready, one, other)) for one, other in ((out, back), (back, out)))
        self._closed = False

    def begin(self) -> None:
        """Carry from now on."""
        self._watch()

    @property
    def half_closed(self) -> bool:
        return self.outward.ended or self.inward.ended

    def close(self, *, broken: bool = False) -> None:
        """End it; with `broken` both sides see a reset."""
        if self._closed:
            return
        self._closed = True
        for direction in (self.outward, self.inward):
            direction.release()
            self._loop.forget(direction.source.fileno())
            if broken:
                reset(direction.source)
            direction.source.close()
        self._over()

    def _ready(self, reads: Direction, writes: Direction, events: int) -> None:
        """A socket is ready, which is the source of `reads` and the target of `writes`."""
        try:
            if events & WRITE or writes.wants_write:
                writes.write()
            if events & ~WRITE:  # readable, an error, or its end
                reads.read()
        except OSError:
            self.close(broken=True)
            return
        if self.outward.ended and self.inward.ended:
            self.close()
        else:
            self._watch()

    def _watch(self) -> None:
        for reads, writes, ready in self._sides:
            events = (READ if reads.wants_read else 0) | (WRITE if writes.wants_write else 0)
            self._loop.watch(reads.source.fileno(), events, ready)


def reset(connection: socket.socket) -> None:
    """Have the connection end with a reset when it is closed."""
    with suppress(OSError):  # it has ended by itself
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)


def close(pipe: tuple[int, int]) -> None:
    for fd in pipe:
        os.close(fd)
