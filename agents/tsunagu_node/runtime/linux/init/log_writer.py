"""Writes the output of a process as lines to a file of bounded size.

Rule: a line is `TIME STREAM TEXT`, TIME in UTC with microseconds. A file that grows over its limit becomes NAME.log.1 and
replaces an older one. A full disk costs lines and may cut one; whatever follows begins a new line. Standard library only:
a task's init writes, the node agent reads (`task.output.logs`).
"""

import contextlib
import os
import time
from typing import Final

LIMIT: Final = 10 * 1024 * 1024
_LONGEST: Final = 64 * 1024


class Writer:
    """The log file at `path`, for any number of streams."""

    def __init__(self, path: str, limit: int = LIMIT) -> None:
        self._path = path
        self._limit = limit
        self._rests: dict[str, bytes] = {}
        self._torn = False  # whether the file ends with a part of a line
        self._fd = _open(path)
        self._size = os.fstat(self._fd).st_size

    def write(self, stream: str, piece: bytes) -> None:
        """Take bytes as they come and write the whole lines. A line over 64 KiB is broken into several."""
        *lines, rest = (self._rests.get(stream, b"") + piece).split(b"\n")
        while len(rest) > _LONGEST:
            lines.append(rest[:_LONGEST])
            rest = rest[_LONGEST:]
        self._rests[stream] = rest
        self._lines(stream, lines)

    def put(self, at: str, stream: str, line: bytes) -> None:
        """Write a whole line that has a time of its own (see `stamp`)."""
        self._append(f"{at} {stream} ".encode() + line + b"\n")

    def end(self, stream: str) -> None:
        """End the stream: what is left of it is its last line."""
        if rest := self._rests.pop(stream, b""):
            self._lines(stream, [rest])

    def close(self) -> None:
        os.close(self._fd)

    def _lines(self, stream: str, lines: list[bytes]) -> None:
        if lines:
            head = f"{stamp(time.time())} {stream} ".encode()
            self._append(b"".join(head + line + b"\n" for line in lines))

    def _append(self, whole: bytes) -> None:
        if self._size > self._limit:
            with contextlib.suppress(OSError):  # without room for a new file this one grows on
                self._rotate()
        text = b"\n" * self._torn + whole
        written = os.write(self._fd, text)
        self._size += written
        self._torn = not text[:written].endswith(b"\n")

    def _rotate(self) -> None:
        # The new file is made first; if that fails the old one is still in place.
        fd = _open(f"{self._path}.new")
        try:
            os.rename(self._path, f"{self._path}.1")  # noqa: PTH104 - pathlib is slow to import
            os.rename(f"{self._path}.new", self._path)  # noqa: PTH104
        except OSError:
            os.close(fd)
            raise
        os.close(self._fd)
        self._fd, self._size, self._torn = fd, 0, False


def _open(path: str) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)


def stamp(seconds: float) -> str:
    """Return `seconds` since the epoch as 2025-11-22T12:00:00.123456Z."""
    whole, part = divmod(round(seconds * 1_000_000), 1_000_000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)) + f".{part:06d}Z"
