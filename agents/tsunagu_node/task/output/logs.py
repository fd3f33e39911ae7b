"""Reads the log files of a task: the last lines, and then new ones.

Rule: lines of several containers come in order of their times as far as they are written; a rotated file is read to its
end before its successor. Files are read in a thread, for 20 MB of log must not keep the agent from its other work; of a
tail, and of what a rate allows, only as many lines are parsed as are wanted.
"""

import asyncio
import heapq
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Final

from tsunagu_node.task.process_names import container_of, process_of

_POLL: Final = 0.1
_BURST: Final = 5.0  # seconds of its rate that a container may write at once
_END: Final = b"\n"  # of a file that nobody writes to any more; its last line may have been torn
_LAST_SECOND: Final = 253402300799.0  # of the year 9999
PROXY: Final = "envoy"


@dataclass(frozen=True, slots=True)
class Line:
    """`time`: seconds since the epoch; `text` without its newline; `left_out`: lines of its container right before it."""

    time: float
    container: str
    stream: str
    text: bytes
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class Selection:
    """Which lines are read.

    `container`: "envoy" for the proxy, if there is one (a container of that name is among all); empty for all but the proxy,
    whose many lines would hide those of the apps. `tail`: of the lines that are
    there, the last so many; None for all. `since`: seconds since the epoch. `rate`: lines of a container a second, 0 for all.
    """

    container: str = ""
    tail: int | None = None
    since: float = 0.0
    rate: int = 0


async def read(
    directory: Path, selection: Selection, has_ended: Callable[[], bool] | None = None
) -> AsyncIterator[Line]:
    """Yield the lines of the log files in `directory`; with `has_ended` also new ones, until it returns True."""
    files = _Files(directory, selection)
    try:
        for line in await asyncio.to_thread(files.old):
            yield line
        over = has_ended is None
        while has_ended is not None and not over:
            over = has_ended()  # what was written before it ended is read after that is known
            if not over:
                await asyncio.sleep(_POLL)
            for line in await asyncio.to_thread(files.new):
                yield line
    finally:
        files.close()


class _Files:
    """The log files of a task, as far as they are selected. Files that have been removed are read to their end."""

    def __init__(self, directory: Path, selection: Selection) -> None:
        self._directory = directory
        self._selection = selection
        self._tails: dict[Path, _Tail] = {}

    def old(self) -> list[Line]:
        """Return the lines that are there."""
        tail = self._selection.tail
        old = list(heapq.merge(*(one.old(tail) for one in self._opened()), key=_time))
        return old if tail is None else old[len(old) - min(tail, len(old)) :]

    def new(self) -> list[Line]:
        """Return the lines that have been written since."""
        return sorted((line for one in self._opened() for line in one.new()), key=_time)

    def close(self) -> None:
        for one in list(self._tails.values()):  # a thread may still read one
            one.close()

    def _opened(self) -> "list[_Tail]":
        for path in _paths(self._directory, self._selection.container):
            if path not in self._tails:
                self._tails[path] = _Tail(path, self._selection)
        return [self._tails[path] for path in sorted(self._tails)]


class Allowance:
    """How many lines a container may still write: `rate` more each second, `most` at once."""

    def __init__(self, rate: float, most: float) -> None:
        self._rate, self._most = rate, most
        self._left, self._at = most, 0.0

    def take(self, wanted: int, now: float) -> int:
        """Return how many of the `wanted` lines are allowed. `now`: seconds of a clock that never goes back."""
        if self._at:
            self._left = min(self._most, self._left + (now - self._at) * self._rate)
        self._at = now
        taken = min(wanted, int(self._left))
        self._left -= taken
        return taken


def _time(line: Line) -> float:
    return line.time


def _paths(directory: Path, container: str) -> list[Path]:
    if not container:
        return [path for path in directory.glob("*.log") if path.stem != PROXY]
    named = directory / f"{process_of(container)}.log"
    proxy = directory / f"{PROXY}.log"
    chosen = proxy if container == PROXY and proxy.exists() else named
    return [chosen] if chosen.exists() else []


class _Tail:
    """One log file and its successors after rotation.

    `_rest`: the bytes after the last newline that was read. `_left_out`: lines that the allowance did not cover, and that are
    not counted in a line that was returned.
    """

    def __init__(self, path: Path, selection: Selection) -> None:
        self._path = path
        self._since = _stamp(selection.since) if selection.since > 0 else b""
        self._allowance = Allowance(selection.rate, _BURST * selection.rate) if selection.rate else None
        self._file: BinaryIO | None = None
        self._rest = b""
        self._left_out = 0

    def old(self, tail: int | None) -> Iterator[Line]:
        """Return the lines up to now, those of the rotated file included; with `tail` at least the last so many."""
        before = self._path.with_name(f"{self._path.name}.1")
        rotated = before.read_bytes() if before.exists() else b""
        raws = [*self._split(rotated + _END, tail), *self._raws(tail)]
        return self._parsed(raws)

    def new(self) -> Iterator[Line]:
        """Return the lines that were written since the last call."""
        return self._parsed(list(self._raws(None)))

    def _raws(self, tail: int | None) -> Iterator[bytes]:
        if self._file is None:
            self._file = self._opened()
        if self._file is None:
            return
        yield from self._split(self._file.read(), tail)
        if self._replaced(self._file):
            yield from self._split(self._file.read() + _END, tail)
            self._file.close()
            self._file = None
            yield from self._raws(tail)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _opened(self) -> BinaryIO | None:
        try:
            return self._path.open("rb")
        except FileNotFoundError:
            return None

    def _replaced(self, file: BinaryIO) -> bool:
        try:
            return self._path.stat().st_ino != os.fstat(file.fileno()).st_ino
        except FileNotFoundError:
            return False

    def _split(self, piece: bytes, tail: int | None) -> list[bytes]:
        whole, _, self._rest = (self._rest + piece).rpartition(b"\n")
        return whole.split(b"\n") if tail is None else _tail(whole, tail)

    def _parsed(self, raws: list[bytes]) -> Iterator[Line]:
        """Yield the lines that are new enough: all, or the newest for which there is an allowance."""
        raws = [raw for raw in raws if raw and raw >= self._since]
        if self._allowance is not None:
            allowed = self._allowance.take(len(raws), time.monotonic())
            self._left_out += len(raws) - allowed
            raws = raws[len(raws) - allowed :]
        for raw in raws:
            if line := _parsed(container_of(self._path.stem), raw):
                left_out, self._left_out = self._left_out, 0
                yield replace(line, left_out=left_out) if left_out else line


def _stamp(seconds: float) -> bytes:
    """Return the time as the lines begin with it, so that bytes compare as times do."""
    return datetime.fromtimestamp(min(seconds, _LAST_SECOND), UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ").encode()


def _tail(whole: bytes, count: int) -> list[bytes]:
    return whole.rsplit(b"\n", count)[-count:] if count else []


def _parsed(container: str, raw: bytes) -> Line | None:
    """Return the line; None when a full disk left only a part of it that cannot be read."""
    try:
        at, stream, text = raw.split(b" ", 2)
        return Line(datetime.fromisoformat(at.decode()).timestamp(), container, stream.decode(), text)
    except ValueError:
        return None
