"""What a container writes, as an engine hands it out: frames of a multiplexed stream, and lines with their times. Pure.

Rule: an engine cuts long lines into pieces of 16 KiB, and gives each piece a time of its own: the first is the line's. A piece
that is shorter ends its line, with a newline or (Docker's driver `local`) without one.
"""

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

_HEADER: Final = struct.Struct(">BxxxI")
_STREAMS: Final = {0: "stdin", 1: "stdout", 2: "stderr"}
_PIECE: Final = 16 * 1024
_LONGEST: Final = 64 * 1024
_STAMP: Final = 26  # characters of 2025-11-22T12:00:00.123456


class Frame(NamedTuple):
    """A piece of one stream: stdout or stderr."""

    stream: str
    payload: bytes


class Entry(NamedTuple):
    """A line of a log. `stamp`: UTC with microseconds, as 2025-11-22T12:00:00.123456Z."""

    stamp: str
    stream: str
    text: bytes


class Demultiplexer:
    """Cuts a stream into frames: a header of eight bytes (stream, three zeros, length), and so many bytes."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, piece: bytes) -> Iterator[Frame]:
        """Yield the frames that are whole now."""
        self._rest += piece
        while len(self._rest) >= _HEADER.size:
            kind, length = _HEADER.unpack_from(self._rest)
            end = _HEADER.size + length
            if len(self._rest) < end:
                return
            payload, self._rest = self._rest[_HEADER.size : end], self._rest[end:]
            yield Frame(_STREAMS.get(kind, "stdout"), payload)


class Terminal:
    """The same for the output of a terminal, which has no frames: a piece begins anew after each newline."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, piece: bytes) -> Iterator[Frame]:
        *lines, self._rest = (self._rest + piece).split(b"\n")
        for line in lines:
            yield Frame("stdout", line.removesuffix(b"\r") + b"\n")


class Lines:
    """Joins frames, each `TIME TEXT`, to lines. `_rests`: stream -> stamp and bytes of the line that has no newline yet."""

    def __init__(self) -> None:
        self._rests: dict[str, tuple[str, bytes]] = {}

    def feed(self, frame: Frame) -> Iterator[Entry]:
        stamp, _, text = frame.payload.partition(b" ")
        begun, before = self._rests.pop(frame.stream, (_microseconds(stamp.decode(errors="replace")), b""))
        line = before + text
        while len(line) > _LONGEST:
            yield Entry(begun, frame.stream, line[:_LONGEST])
            line = line[_LONGEST:]
        if text.endswith(b"\n") or len(text) < _PIECE:
            yield Entry(begun, frame.stream, line.removesuffix(b"\n"))
        else:
            self._rests[frame.stream] = (begun, line)

    def end(self) -> Iterator[Entry]:
        """Yield what is left: a line that ended with a whole piece."""
        for stream, (stamp, text) in self._rests.items():
            if text:
                yield Entry(stamp, stream, text)
        self._rests.clear()


class Cursor:
    """How far a log has been taken over: the stamp of the last line, and how many lines with this stamp.

    An engine answers from a time on, inclusive, so that what is read again begins with lines that are known.
    """

    def __init__(self, stamp: str = "", count: int = 0) -> None:
        self.stamp, self._count = stamp, count
        self._skip = 0

    def rewind(self) -> None:
        """Take note that the log is read again, from `stamp` on."""
        self._skip = self._count

    def is_new(self, entry: Entry) -> bool:
        """Return whether the entry was not there before, and count it."""
        if entry.stamp == self.stamp and self._skip:
            self._skip -= 1
            return False
        if entry.stamp != self.stamp:
            self.stamp, self._count, self._skip = entry.stamp, 0, 0
        self._count += 1
        return True


def _microseconds(stamp: str) -> str:
    return stamp[:_STAMP].rstrip("Z").ljust(_STAMP, "0") + "Z"
