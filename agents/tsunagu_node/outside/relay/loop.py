"""Waits for file descriptors, and calls who watches them.

Rule: level-triggered and one thread: nothing that is called may block. Standard library only, and quick to import.
"""

import select
import time
from collections.abc import Callable
from typing import Final

READ: Final = select.EPOLLIN
WRITE: Final = select.EPOLLOUT
TICK: Final = 1.0
"""Seconds between two calls of who waits for time."""
_AT_ONCE: Final = 256
Callback = Callable[[int], None]


class Loop:
    """Callbacks take the events as epoll gives them. Invariant: a descriptor is in `_watched` exactly while epoll has it."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._watched: dict[int, tuple[int, Callback]] = {}
        self._ticks: list[Callable[[float], None]] = []
        self._ended = False

    def watch(self, fd: int, events: int, callback: Callback) -> None:
        """Call `callback` when one of `events` holds; with none it is not watched, since epoll would tell of hang-ups even so."""
        if not events:
            self.forget(fd)
            return
        before = self._watched.get(fd)
        if before is not None and before[0] == events and before[1] is callback:
            return
        self._watched[fd] = events, callback
        if before is None:
            self._epoll.register(fd, events)
        elif before[0] != events:
            self._epoll.modify(fd, events)

    def forget(self, fd: int) -> None:
        """Watch it no more; to be called before it is closed."""
        if self._watched.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def each_tick(self, callback: Callable[[float], None]) -> None:
        """Call `callback` with the monotonic time, each TICK seconds."""
        self._ticks.append(callback)

    def end(self) -> None:
        """Have `run` return."""
        self._ended = True

    def run(self) -> None:
        """Run until `end`."""
        due = time.monotonic() + TICK
        while not self._ended:
            for fd, events in self._epoll.poll(max(0.0, due - time.monotonic()), _AT_ONCE):
                if found := self._watched.get(fd):  # else a callback of this round has closed it
                    found[1](events)
            if (now := time.monotonic()) >= due:
                due = now + TICK
                for callback in self._ticks:
                    callback(now)
