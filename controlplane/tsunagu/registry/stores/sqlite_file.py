"""The file of the embedded store: its schema, its pragmas, and how it is read when it is opened.

`log` holds the recent commits, one row per revision; `base` holds every entry as it was at the revision up to which the log
was compacted. State = base, then the log replayed. A commit therefore writes one row at the end of one table. The one rule:
a file that does not prove to be a prefix of one history (rows missing, base not that of its compaction) is refused.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from typing import TYPE_CHECKING, Literal

from google.protobuf.message import DecodeError

from tsunagu.registry.store import Change, Commit, Entry, StoreFailed
from tsunagu.registry.stores.engine import Recovered
from tsunagu.v1 import storage_pb2

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from tsunagu.registry.stores.engine import Record

#: Whether a COMMIT waits until the disk has it ("full"), or only the operating system ("normal").
Durability = Literal["full", "normal"]

APPLICATION_ID = 0x7473756E  # "tsun"
#: That of the schema and of the kinds of objects in it: a version that does not know a kind could not read the file.
SCHEMA_VERSION = 2
#: Older versions that are read, and are of this version from then on. 1: nodes had no NodeLease.
READABLE = frozenset({1})
SCHEMA = """
CREATE TABLE log (revision INTEGER PRIMARY KEY, changes BLOB NOT NULL);
CREATE TABLE base (key TEXT NOT NULL UNIQUE, value BLOB NOT NULL, revision INTEGER NOT NULL, created INTEGER NOT NULL,
                   lease TEXT NOT NULL);
CREATE TABLE lease (id TEXT PRIMARY KEY, ttl REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE compaction (revision INTEGER NOT NULL, entries INTEGER NOT NULL, checksum INTEGER NOT NULL);
INSERT INTO compaction VALUES (0, 0, 0);
"""

#: Bytes of write-ahead log from which on it is checkpointed into the file: when nobody writes, and at the latest. Between
#: two checkpoints the file and its -wal may be copied while they are written; a copy made during one is refused or older.
CHECKPOINT_WHEN_IDLE_BYTES = 16 * 1024 * 1024
CHECKPOINT_BYTES = 32 * 1024 * 1024

#: How long to wait for another program (say, the sqlite3 shell) that writes to the file.
BUSY_MILLISECONDS = 5000


_log = logging.getLogger(__name__)


class UnknownFile(Exception):
    """The file is no registry, or one of another version."""


class StoreDamaged(Exception):
    """The file is not a prefix of one history; the message says why and what to do."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(
            f"{path} is damaged: {reason}; put back a copy of it with its -wal, or move it away to begin with an empty registry"
        )


class SqliteFile:
    """The open file. Its methods may be called in different threads, one at a time."""

    def __init__(self, path: Path, durability: Durability) -> None:
        if durability not in ("full", "normal"):
            raise ValueError(f"durability is 'full' or 'normal', not {durability!r}")
        self.path = path
        self._durability = durability
        self._wal = path.with_name(path.name + "-wal")
        self._postponed = 0
        self._database: sqlite3.Connection = None  # type: ignore[assignment]  # until `open`

    def open(self) -> Recovered:
        """Makes the file when there is none, checks it and reads all of it."""
        new = not self.path.exists()
        try:
            self._connect()
            recovered = self._read()
        except BaseException:
            if self._database is not None:
                self._database.close()
            raise
        if new:
            _sync_folder(self.path.parent)
        return recovered

    def pragmas(self) -> dict[str, object]:
        """The settings that durability rests on, as SQLite reports them."""
        names = ("journal_mode", "synchronous", "wal_autocheckpoint", "user_version", "application_id")
        return {name: self._one(f"PRAGMA {name}") for name in names}

    def write(self, records: Sequence[Record]) -> None:
        """Makes all records durable in one transaction; when it raises, none is."""
        first = records[0]
        if len(records) == 1 and first.commit and not first.revoked:
            self._database.execute(*_row_statement(first.commit))  # a transaction of its own: one call, one wait
            return
        self._database.execute("BEGIN IMMEDIATE")
        try:
            for record in records:
                self._write_one(record)
            self._database.execute("COMMIT")
        except BaseException:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            raise

    @property
    def wants_checkpoint(self) -> bool:
        """Whether the write-ahead log should be checkpointed as soon as nobody writes."""
        return _size(self._wal) - self._postponed >= CHECKPOINT_WHEN_IDLE_BYTES

    @property
    def needs_checkpoint(self) -> bool:
        """Whether the write-ahead log must not grow any more."""
        return _size(self._wal) - self._postponed >= CHECKPOINT_BYTES

    def checkpoint(self) -> None:
        """Moves the write-ahead log into the file. When a reader in another process prevents that, it is due again once the
        log has grown as much again.
        """
        self._database.execute("PRAGMA busy_timeout = 0")
        try:
            self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error as error:  # everything is still in the log; if the disk is bad, commits will fail
            _log.warning("%s could not be checkpointed: %s", self._wal, error)
        self._database.execute(f"PRAGMA busy_timeout = {BUSY_MILLISECONDS}")
        self._postponed = _size(self._wal)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database.close()  # the last connection checkpoints the write-ahead log and removes it

    def _connect(self) -> None:
        timeout = BUSY_MILLISECONDS / 1000
        try:
            _own(self.path)
            self._database = sqlite3.connect(self.path, timeout, isolation_level=None, check_same_thread=False)
            self._prepare()
        except (OSError, sqlite3.OperationalError) as error:
            raise StoreFailed(f"{self.path} cannot be opened: {error}") from error
        except sqlite3.DatabaseError as error:
            raise StoreDamaged(self.path, str(error)) from error

    def _prepare(self) -> None:
        version, application = self._one("PRAGMA user_version"), self._one("PRAGMA application_id")
        tables = self._one("SELECT count(*) FROM sqlite_schema")
        known = application == APPLICATION_ID and (version == SCHEMA_VERSION or version in READABLE)
        if tables and not known:
            raise UnknownFile(_unreadable(self.path, application, version))
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute(f"PRAGMA synchronous = {self._durability}")
        self._database.execute("PRAGMA wal_autocheckpoint = 0")
        if tables and version != SCHEMA_VERSION:
            self._database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            _log.info("%s was of schema %s, and is of %s now", self.path, version, SCHEMA_VERSION)
        if not tables:
            self._database.executescript(
                f"BEGIN IMMEDIATE; {SCHEMA} PRAGMA application_id = {APPLICATION_ID}; "
                f"PRAGMA user_version = {SCHEMA_VERSION}; COMMIT"
            )

    def _read(self) -> Recovered:
        try:
            return self._checked()
        except (sqlite3.Error, DecodeError) as error:
            raise StoreDamaged(self.path, str(error)) from error

    def _checked(self) -> Recovered:
        problem = self._one("PRAGMA quick_check(1)")
        if problem != "ok":
            raise StoreDamaged(self.path, str(problem))
        compacted, count, checksum = self._database.execute("SELECT * FROM compaction").fetchone()
        entries = [
            Entry(*row) for row in self._database.execute("SELECT key, value, revision, created, lease FROM base")
        ]
        if (len(entries), sum(entry.revision for entry in entries)) != (count, checksum):
            raise StoreDamaged(self.path, f"its entries are not those of revision {compacted}")
        rows = self._database.execute("SELECT revision, changes FROM log ORDER BY revision")
        commits = [_commit(revision, changes) for revision, changes in rows]
        expected = range(compacted + 1, compacted + 1 + len(commits))
        if [commit.revision for commit in commits] != list(expected):
            raise StoreDamaged(self.path, f"revisions are missing from its log after {compacted}")
        leases = dict(self._database.execute("SELECT id, ttl FROM lease").fetchall())
        return Recovered(entries, compacted, commits, leases)

    def _write_one(self, record: Record) -> None:
        if record.commit:
            self._database.execute(*_row_statement(record.commit))
        if record.granted:
            self._database.execute("INSERT OR REPLACE INTO lease VALUES (?, ?)", record.granted)
        if record.revoked:
            self._database.execute("DELETE FROM lease WHERE id = ?", (record.revoked,))
        if record.compacted:
            self._compact(record.compacted)

    def _compact(self, revision: int) -> None:
        """Moves the log up to a revision into the base."""
        rows = self._database.execute(
            "SELECT revision, changes FROM log WHERE revision <= ? ORDER BY revision", (revision,)
        )
        last = {change.key: change for row in rows for change in _commit(*row).changes}
        gone = [
            row[0] for key in last for row in self._database.execute("SELECT revision FROM base WHERE key = ?", (key,))
        ]
        kept = [change.entry for change in last.values() if change.entry]
        self._database.executemany("DELETE FROM base WHERE key = ?", ((key,) for key in last))
        self._database.executemany(
            "INSERT INTO base VALUES (?, ?, ?, ?, ?)",
            ((entry.key, entry.value, entry.revision, entry.created, entry.lease) for entry in kept),
        )
        self._database.execute("DELETE FROM log WHERE revision <= ?", (revision,))
        self._database.execute(
            "UPDATE compaction SET revision = max(revision, ?), entries = entries + ?, checksum = checksum + ?",
            (revision, len(kept) - len(gone), sum(entry.revision for entry in kept) - sum(gone)),
        )

    def _one(self, query: str) -> object:
        row = self._database.execute(query).fetchone()
        return row[0]


def _unreadable(path: Path, application: object, version: object) -> str:
    if application != APPLICATION_ID:
        return f"{path} is no registry of tsunagu's (application id {application:#x}); choose another --home, or move it away"
    newer = isinstance(version, int) and version > SCHEMA_VERSION
    return (
        f"{path} was made by {'a newer' if newer else 'another'} tsunagu (its schema is {version}, this one reads "
        f"{', '.join(map(str, sorted({*READABLE, SCHEMA_VERSION})))}); use that tsunagu, or move it away to begin with an "
        "empty registry, and apply your manifests again"
    )


def _row_statement(commit: Commit) -> tuple[str, tuple[int, bytes]]:
    return "INSERT INTO log VALUES (?, ?)", (commit.revision, _encode(commit.changes))


def _encode(changes: Iterable[Change]) -> bytes:
    record = storage_pb2.LogRecord()
    for change in changes:
        row = record.changes.add(key=change.key, deleted=change.entry is None)
        if change.entry:
            row.value, row.created, row.lease = change.entry.value, change.entry.created, change.entry.lease
    return record.SerializeToString()


def _commit(revision: int, changes: bytes) -> Commit:
    rows = storage_pb2.LogRecord.FromString(changes).changes
    return Commit(
        revision,
        tuple(
            Change(row.key, None if row.deleted else Entry(row.key, row.value, revision, row.created, row.lease))
            for row in rows
        ),
    )


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _own(path: Path) -> None:
    """Makes the file, for its owner alone: it holds secrets. SQLite gives -wal and -shm the mode of the file."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    os.close(descriptor)


def _sync_folder(folder: Path) -> None:
    """Makes the new file's name durable, too (fsync(2))."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
