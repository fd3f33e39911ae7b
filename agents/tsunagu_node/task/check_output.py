"""What a run of a health check left: its exit code, and the end of what it wrote.

Rule: a check never waits for a reader. What it writes is read as it comes, and all but the end is dropped.
"""

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final

from tsunagu_node.task.output.last_line import plain

_KEPT: Final = 4096  # bytes
_LINES: Final = 3
_DIGITS: Final = str.maketrans("", "", "0123456789")


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The outcome of one run. `code`: 128 + signal when killed by one. `output`: one line of plain text."""

    code: int = 0
    output: str = ""
    timed_out: bool = False

    @property
    def passed(self) -> bool:
        return self.code == 0 and not self.timed_out

    def like(self, other: "CheckResult | None") -> bool:
        """Whether it says the same as another one, but for numbers: times and ports that differ from run to run."""
        return other is not None and (self.code, self.timed_out, self.output.translate(_DIGITS)) == (
            other.code,
            other.timed_out,
            other.output.translate(_DIGITS),
        )

    def __str__(self) -> str:
        how = "does not end in time" if self.timed_out else f"ends with {self.code}"
        return f"{how}: {self.output}" if self.output else how


class Output:
    """The end of what is written into `streams` (stdin, stdout, stderr)."""

    def __init__(self, reader: int, streams: tuple[int, int, int]) -> None:
        self.streams = streams
        self._reader = reader
        self._kept = b""

    def take(self) -> None:
        """Read what is there."""
        with suppress(BlockingIOError):
            while part := os.read(self._reader, 65536):
                self._kept = (self._kept + part)[-_KEPT:]

    def text(self) -> str:
        self.take()
        lines = [line for line in self._kept.splitlines() if line.strip()]
        return plain(b"\n".join(lines[-_LINES:]))


@contextmanager
def captured() -> Iterator[Output]:
    """Streams for a check, read by the running loop. Raises OSError when there are no descriptors left."""
    reader, writer = os.pipe2(os.O_CLOEXEC)
    os.set_blocking(reader, False)
    loop = asyncio.get_running_loop()
    nothing = -1
    try:
        nothing = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        output = Output(reader, (nothing, writer, writer))
        loop.add_reader(reader, output.take)
        yield output
    finally:
        loop.remove_reader(reader)
        for fd in (reader, writer, *((nothing,) if nothing >= 0 else ())):
            os.close(fd)
