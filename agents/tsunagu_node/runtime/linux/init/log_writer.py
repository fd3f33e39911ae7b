"""What a container writes, kept as lines in a file of bounded size.

Rule: a line is `TIME STREAM TEXT`, TIME in UTC with microseconds. A file that grows over its limit becomes NAME.log.1,
in whose place there was an older one. A full disk costs lines, and may tear one; the next begins a line all the same.
Standard library only; written by a task's init, read by the node agent.
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
        self._torn = False  # the file does not end with a whole line
        self._fd = _open(path)
        self._size = os.fstat(self._fd).st_size

    def write(self, stream: str, piece: bytes) -> None:
        """Bytes as they come; whole lines are written. A line that is too long is broken."""
        *lines, rest = (self._rests.get(stream, b"") + piece).split(b"\n")
        while len(rest) > _LONGEST:
            lines.append(rest[:_LONGEST])
            rest = rest[_LONGEST:]
        self._rests[stream] = rest
        self._lines(stream, lines)

    def end(self, stream: str) -> None:
        """The stream is at its end: what is left of it is a line."""
        if rest := self._rests.pop(stream, b""):
            self._lines(stream, [rest])

    def close(self) -> None:
        os.close(self._fd)

    def _lines(self, stream: str, lines: list[bytes]) -> None:
        if not lines:
            return
        if self._size > self._limit:
            with contextlib.suppress(OSError):  # without room for another one this one grows on
                self._rotate()
        head = f"{stamp(time.time())} {stream} ".encode()
        text = b"\n" * self._torn + b"".join(head + line + b"\n" for line in lines)
        written = os.write(self._fd, text)
        self._size += written
        self._torn = not text[:written].endswith(b"\n")

    def _rotate(self) -> None:
        # The new one first: until it is there, the old one is written to.
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
    """`seconds` since the epoch as 2025-11-22T12:00:00.123456Z."""
    whole, part = divmod(round(seconds * 1_000_000), 1_000_000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)) + f".{part:06d}Z"
