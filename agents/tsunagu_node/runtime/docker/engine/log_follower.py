"""Takes a container's log over from the engine, line by line with its times, into a file in our format.

Rule: no line is lost and none comes twice, whichever of engine and node agent was restarted: what was taken over last is
known by its time, and from there the log is read again. Docker may lose the last line of a log that is followed, so that
when a container has ended the rest is read once more.
"""

import asyncio
import calendar
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from tsunagu.kit.backoff import Backoff
from tsunagu_node.runtime.docker.engine.engine import Engine, EngineError, EngineGone
from tsunagu_node.runtime.docker.engine.frames import Cursor, Demultiplexer, Entry, Lines, Terminal
from tsunagu_node.runtime.linux.init.log_writer import Writer

_RETRY: Final = Backoff(base=0.05, cap=2.0)
_TAIL: Final = 64 * 1024
_NO_CONTAINER: Final = 404


class LogFollower:
    """Follows the log of the container `container` into the file `path`; `tty`: it has a terminal, so one stream."""

    def __init__(self, engine: Engine, container: str, path: Path, *, tty: bool) -> None:
        self._engine = engine
        self._container = container
        self._path = path
        self._tty = tty

    async def run(self) -> None:
        """Run until the container has ended and all of its log is there, or it is removed."""
        writer, cursor = Writer(str(self._path)), last(self._path)
        try:
            await self._follow(writer, cursor)
        finally:
            writer.close()

    async def _follow(self, writer: Writer, cursor: Cursor) -> None:
        failures = 0
        while True:
            try:
                await self._read(writer, cursor, follow=True)
                runs = await self._runs()
                if not runs:
                    await self._read(writer, cursor, follow=False)
                    return
            except EngineError as error:
                if error.status == _NO_CONTAINER:
                    return
                failures += 1
            except EngineGone:
                failures += 1
            else:
                failures = 1
            await asyncio.sleep(_RETRY.delay(failures))

    async def _runs(self) -> bool:
        found = await self._engine.call("GET", f"/containers/{self._container}/json")
        return bool(found["State"]["Running"])

    async def _read(self, writer: Writer, cursor: Cursor, *, follow: bool) -> None:
        pieces, lines = (Terminal() if self._tty else Demultiplexer()), Lines()
        query = {"stdout": True, "stderr": True, "timestamps": True, "follow": follow}
        if cursor.stamp:
            query["since"] = since(cursor.stamp)  # type: ignore[assignment]
        cursor.rewind()
        async with self._engine.stream("GET", f"/containers/{self._container}/logs", query) as answer:
            async for piece in answer.pieces():
                for frame in pieces.feed(piece):
                    _write(writer, cursor, lines.feed(frame))
        if not follow:  # one without a newline at its end
            _write(writer, cursor, lines.end())


def _write(writer: Writer, cursor: Cursor, entries: Iterable[Entry]) -> None:
    for entry in entries:
        if cursor.is_new(entry):
            with suppress(OSError):  # a full disk costs lines, and no more
                writer.put(*entry)


def last(path: Path) -> Cursor:
    """Return how far the log has been taken over, by the end of its file."""
    with suppress(OSError), path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _TAIL))
        stamps = [line.partition(b" ")[0].decode(errors="replace") for line in file.read().splitlines() if line]
        if stamps:
            return Cursor(stamps[-1], stamps.count(stamps[-1]))
    return Cursor()


def since(stamp: str) -> str:
    """Return the time 2025-11-22T12:00:00.123456Z as the engine takes it: seconds and nanoseconds."""
    whole = calendar.timegm(time.strptime(stamp[:19], "%Y-%m-%dT%H:%M:%S"))
    return f"{whole}.{stamp[20:26].ljust(9, '0')}"
