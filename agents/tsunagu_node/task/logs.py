"""Reads the log files of a task: the last lines, and then new ones.

Rule: lines of several containers come in order of their times as far as they are written; a rotated file is read to its
end before its successor. Files are read in a thread, for 20 MB of log must not keep the agent from its other work; of a
tail only as many lines are parsed as are asked for.
"""

import asyncio
import heapq
import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Final, TypeAlias

_POLL: Final = 0.1
_END: Final = b"\n"  # of a file that nobody writes to any more; its last line may have been torn
PROXY: Final = "envoy"
_OTHERS: Final = frozenset({PROXY, "init"})  # logs that are no container's of the task definition


@dataclass(frozen=True, slots=True)
class Line:
    """`time`: seconds since the epoch; `text` without its newline."""

    time: float
    container: str
    stream: str
    text: bytes


async def read(directory: Path, container: str, *, tail: int | None, follow: bool) -> AsyncIterator[Line]:
    """Yield the lines of `container` from the log files in `directory`; with `follow` for ever.

    An empty `container` means all but the proxy, whose many lines would hide those of the apps.
    """
    tails: dict[Path, _Tail] = {}
    try:
        for line in await asyncio.to_thread(_last, tails, (directory, container), tail):
            yield line
        while follow:
            await asyncio.sleep(_POLL)
            for line in await asyncio.to_thread(_new, tails, (directory, container)):
                yield line
    finally:
        for one in list(tails.values()):  # a thread may still read one
            one.close()


_Which: TypeAlias = tuple[Path, str]  # directory, container


def _last(tails: "dict[Path, _Tail]", which: _Which, tail: int | None) -> list[Line]:
    old = list(heapq.merge(*(one.old(tail) for one in _opened(tails, which)), key=_time))
    return old if tail is None else old[len(old) - min(tail, len(old)) :]


def _new(tails: "dict[Path, _Tail]", which: _Which) -> list[Line]:
    return sorted((line for one in _opened(tails, which) for line in one.new()), key=_time)


def _opened(tails: "dict[Path, _Tail]", which: _Which) -> "list[_Tail]":
    return [tails.setdefault(path, _Tail(path)) for path in _files(*which)]


def _time(line: Line) -> float:
    return line.time


def _files(directory: Path, container: str) -> list[Path]:
    found = sorted(directory.glob(f"{container or '*'}.log"))
    return [path for path in found if container or path.stem not in _OTHERS]


class _Tail:
    """One log file and its successors after rotation. `_rest`: the bytes after the last newline that was read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None
        self._rest = b""

    def old(self, tail: int | None) -> list[Line]:
        """Return the lines up to now, those of the rotated file included; with `tail` at least the last so many."""
        before = self._path.with_name(f"{self._path.name}.1")
        rotated = before.read_bytes() if before.exists() else b""
        return [*self._lines(rotated + _END, tail), *self.new(tail)]

    def new(self, tail: int | None = None) -> Iterator[Line]:
        """Yield the lines that were written since the last call."""
        if self._file is None:
            self._file = self._opened()
        if self._file is None:
            return
        yield from self._lines(self._file.read(), tail)
        if self._replaced(self._file):
            yield from self._lines(self._file.read() + _END, tail)
            self._file.close()
            self._file = None
            yield from self.new(tail)

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

    def _lines(self, piece: bytes, tail: int | None) -> Iterator[Line]:
        whole, _, self._rest = (self._rest + piece).rpartition(b"\n")
        raws = whole.split(b"\n") if tail is None else _tail(whole, tail)
        return (line for raw in raws if (line := _parsed(self._path.stem, raw)))


def _tail(whole: bytes, count: int) -> list[bytes]:
    return whole.rsplit(b"\n", count)[-count:] if count else []


def _parsed(container: str, raw: bytes) -> Line | None:
    """Return the line; None when a full disk left only a part of it that cannot be read."""
    try:
        time, stream, text = raw.split(b" ", 2)
        return Line(datetime.fromisoformat(time.decode()).timestamp(), container, stream.decode(), text)
    except ValueError:
        return None
