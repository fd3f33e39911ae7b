"""Reading what containers wrote: the last lines, and then those that come.

Rule: lines of several containers come in order of their times as far as they are written; a rotated file is read to its
end before its successor.
"""

import asyncio
import heapq
import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Final

_LOOK: Final = 0.1
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
    """Lines of `container` from the log files in `directory`; with `follow` for ever.

    When empty: of all but the proxy, whose many lines would hide those of the apps.
    """
    tails: dict[Path, _Tail] = {}
    try:
        for line in _last(_opened(tails, directory, container), tail):
            yield line
        while follow:
            await asyncio.sleep(_LOOK)
            new = [line for one in _opened(tails, directory, container) for line in one.new()]
            for line in sorted(new, key=lambda line: line.time):
                yield line
    finally:
        for one in tails.values():
            one.close()


def _opened(tails: "dict[Path, _Tail]", directory: Path, container: str) -> "list[_Tail]":
    return [tails.setdefault(path, _Tail(path)) for path in _files(directory, container)]


def _last(tails: "list[_Tail]", tail: int | None) -> list[Line]:
    old = list(heapq.merge(*(list(one.old()) for one in tails), key=lambda line: line.time))
    return old if tail is None else old[len(old) - min(tail, len(old)) :]


def _files(directory: Path, container: str) -> list[Path]:
    found = sorted(directory.glob(f"{container or '*'}.log"))
    return [path for path in found if container or path.stem not in _OTHERS]


class _Tail:
    """One log file, and what takes its place."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None
        self._rest = b""

    def old(self) -> Iterator[Line]:
        """What there is, the file before it included."""
        before = self._path.with_name(f"{self._path.name}.1")
        if before.exists():
            with before.open("rb") as file:
                yield from self._lines(file.read())
        yield from self.new()

    def new(self) -> Iterator[Line]:
        """What came since."""
        if self._file is None:
            self._file = self._opened()
        if self._file is None:
            return
        yield from self._lines(self._file.read())
        if self._replaced(self._file):
            yield from self._lines(self._file.read())
            self._file.close()
            self._file = None
            yield from self.new()

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

    def _lines(self, piece: bytes) -> Iterator[Line]:
        *lines, self._rest = (self._rest + piece).split(b"\n")
        for raw in lines:
            time, stream, text = raw.split(b" ", 2)
            yield Line(_seconds(time.decode()), self._path.stem, stream.decode(), text)


def _seconds(stamp: str) -> float:
    return datetime.fromisoformat(stamp).timestamp()
