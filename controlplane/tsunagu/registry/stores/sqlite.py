"""The embedded store: a log of commits in SQLite, one row per revision, made durable in groups.

Reads never touch the disk (the engine keeps the state and the recent history in memory); the file is only written, and
read when it is opened. One thread writes: whatever arrives while it waits for the disk goes into its next transaction,
so a hundred writers share one fsync. The one rule: a record is reported durable after the COMMIT that holds it has
returned.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from tsunagu.kit.lockfile import LockFile
from tsunagu.registry.stores.engine import HISTORY, Engine
from tsunagu.registry.stores.leases import boottime
from tsunagu.registry.stores.sqlite_file import Durability, SqliteFile

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from typing import Self

    from tsunagu.registry.stores.engine import Record

#: The most records in one transaction; more wait for the next.
GROUP = 512

#: Seconds without a record after which the writer uses the pause for a checkpoint.
IDLE_SECONDS = 1.0

_CLOSE = object()
_RESUME = object()


class SqliteJournal:
    """The writing thread. Calls `settle` and `fail` on the event loop that started it."""

    def __init__(self, file: SqliteFile) -> None:
        self._file = file
        self._queue: SimpleQueue[object] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="registry-writer", daemon=True)
        self._failed = False

    def start(self, settle: Callable[[Sequence[Record]], None], fail: Callable[[str], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._settle, self._fail = settle, fail
        self._thread.start()

    def append(self, record: Record) -> None:
        self._queue.put(record)

    async def close(self) -> None:
        self._queue.put(_CLOSE)
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        with self._file:
            going = True
            while going:
                records, going = self._take()
                if records and not self._failed:
                    self._write(records)

    def _take(self) -> tuple[list[Record], bool]:
        """The records to write next (all that have arrived), and whether more may come."""
        item = self._next()
        records: list[Record] = []
        while True:
            if item is _CLOSE:
                return records, False
            if item is _RESUME:
                records.clear()  # appended before the engine heard of the failure: it has taken them back
                self._failed = False
            else:
                records.append(item)  # type: ignore[arg-type]  # everything but the two signals is a record
            if len(records) >= GROUP:
                return records, True
            try:
                item = self._queue.get_nowait()
            except Empty:
                return records, True

    def _next(self) -> object:
        """The next item of the queue. A pause is used for a checkpoint, for which a commit would have to wait."""
        while self._file.wants_checkpoint:
            with suppress(Empty):
                return self._queue.get(timeout=IDLE_SECONDS)
            self._file.checkpoint()
        return self._queue.get()

    def _write(self, records: list[Record]) -> None:
        try:
            self._file.write(records)
        except Exception as error:  # noqa: BLE001  # top of the writing thread: whatever it is, the engine must hear of it
            self._failed = True
            self._call_on_loop(self._take_back, f"the registry could not be written to {self._file.path}: {error}")
        else:
            self._call_on_loop(self._settle, records)
            if self._file.needs_checkpoint:
                self._file.checkpoint()

    def _take_back(self, reason: str) -> None:
        self._fail(reason)
        self._queue.put(_RESUME)

    def _call_on_loop(self, callback: Callable[..., None], argument: object) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits for an answer any more
            self._loop.call_soon_threadsafe(callback, argument)


class SqliteStore(Engine):
    """A `Store` in one SQLite file. Made by `open`; owned by one process at a time."""

    _lock: LockFile
    pragmas: dict[str, object]  # the settings that durability rests on, as SQLite reports them

    @classmethod
    async def open(
        cls,
        path: Path,
        durability: Durability = "full",
        history: int = HISTORY,
        clock: Callable[[], float] = boottime,
    ) -> Self:
        """Opens or makes the file. ``durability``: what a power cut may lose; see docs/registry.md.

        Raises LockedError when another process has it open, StoreDamaged when it cannot be trusted, UnknownFile when it
        is not (this version's) registry.
        """
        lock = LockFile(path.with_name(path.name + ".lock"))
        lock.acquire()
        try:
            file = SqliteFile(path, durability)
            recovered = await asyncio.to_thread(file.open)
            pragmas = file.pragmas()
        except BaseException:
            lock.release()
            raise
        store = cls(SqliteJournal(file), recovered, history, clock)
        store._lock, store.pragmas = lock, pragmas
        return store

    async def close(self) -> None:
        """Waits for the commits in flight, checkpoints the write-ahead log and releases the file."""
        await super().close()
        self._lock.release()
