"""What is the embedded store's own: its lock, its pragmas, damaged files, a disk that fails, checkpoints."""

import asyncio
import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tsunagu.kit.lockfile import LockedError
from tsunagu.registry.store import LeaseNotFound, Put, StoreFailed
from tsunagu.registry.stores import sqlite, sqlite_file
from tsunagu.registry.stores.engine import Record
from tsunagu.registry.stores.sqlite import SqliteJournal, SqliteStore
from tsunagu.registry.stores.sqlite_file import SqliteFile, StoreDamaged, UnknownFile

DOCS = Path(__file__).parents[4] / "docs" / "registry.md"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "registry.db"


async def fill(path, revisions, **options):
    """A closed store with that many commits to ten keys."""
    store = await SqliteStore.open(path, **options)
    for number in range(revisions):
        await store.commit([Put(f"key/{number % 10}", str(number).encode())])
    await store.close()


def edit(path, statement):
    database = sqlite3.connect(path)
    with database:
        database.execute(statement)
    database.close()


@pytest.mark.parametrize(("durability", "synchronous"), [("full", 2), ("normal", 1)])
async def test_the_pragmas_are_what_the_documentation_says(path, durability, synchronous):
    store = await SqliteStore.open(path, durability)
    await store.close()

    assert store.pragmas["journal_mode"] == "wal"
    assert store.pragmas["synchronous"] == synchronous
    assert store.pragmas["wal_autocheckpoint"] == 0
    assert re.search(rf"`{durability}`.*synchronous = {durability.upper()}", DOCS.read_text())


async def test_the_default_is_full(path):
    store = await SqliteStore.open(path)
    await store.close()

    assert store.pragmas["synchronous"] == 2


async def test_a_durability_that_is_none_is_refused(path):
    with pytest.raises(ValueError, match="'full' or 'normal'"):
        await SqliteStore.open(path, "fast")

    store = await SqliteStore.open(path)  # and the lock was let go of
    await store.close()


async def test_a_second_opener_is_refused_and_told_who_has_it(path):
    store = await SqliteStore.open(path)

    with pytest.raises(LockedError, match="is held by process"):
        await SqliteStore.open(path)

    script = f"import asyncio, pathlib; from tsunagu.registry.stores.sqlite import SqliteStore as S; asyncio.run(S.open(pathlib.Path({str(path)!r})))"
    other = await asyncio.to_thread(subprocess.run, [sys.executable, "-c", script], capture_output=True, text=True)
    assert "LockedError" in other.stderr
    assert other.returncode == 1
    await store.close()
    await (await SqliteStore.open(path)).close()


async def test_everything_is_there_after_a_restart(path):
    store = await SqliteStore.open(path, history=20)
    await store.grant("lease", 10)
    for number in range(150):
        await store.commit([Put(f"key/{number % 10}", str(number).encode(), lease="lease" if number % 2 else "")])
    before = await store.list()
    compacted = store.compacted
    await store.close()

    store = await SqliteStore.open(path, history=20)
    assert await store.list() == before
    assert store.compacted == compacted > 100
    assert [(await anext(watch)).revision for watch in [store.watch(after=149)]] == [150]
    assert await store.keep_alive("lease") == 10
    await store.close()


async def test_after_a_start_every_lease_gets_a_full_term(path):
    now = [0.0]
    store = await SqliteStore.open(path, clock=lambda: now[0])
    await store.grant("lease", 10)
    await store.commit([Put("node", b"", lease="lease")])
    await store.close()

    now[0] = 1e6
    store = await SqliteStore.open(path, clock=lambda: now[0])
    for seconds in range(1, 10):
        now[0] = 1e6 + seconds
        await store.expire()
    assert await store.get("node")
    now[0] += 1
    await store.expire()
    assert await store.get("node") is None
    await store.close()


@pytest.mark.parametrize("lived", [[], [Put("node", b"", lease="lease")]])
async def test_a_lease_that_ended_is_over_after_a_restart_too(path, lived):
    """Its end and the commit that it makes are one record, and often the only one in its transaction."""
    store = await SqliteStore.open(path)
    await store.grant("lease", 10)
    await store.commit(lived)
    await store.revoke("lease")
    await store.close()

    store = await SqliteStore.open(path)
    with pytest.raises(LeaseNotFound):
        await store.keep_alive("lease")
    await store.close()


async def test_what_it_keeps_is_its_owners_alone(path):
    store = await SqliteStore.open(path)
    await store.commit([Put("secretvalues/a", b"word")])

    modes = {file.name: file.stat().st_mode & 0o777 for file in path.parent.glob("registry.db*")}
    await store.close()

    assert set(modes.values()) == {0o600}
    assert {"registry.db", "registry.db-wal", "registry.db-shm"} <= set(modes)


async def test_a_closed_store_is_one_file(path):
    await fill(path, 10)

    assert sorted(file.name for file in path.parent.iterdir()) == ["registry.db", "registry.db.lock"]


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM log WHERE revision = (SELECT max(revision) - 3 FROM log)",
        "DELETE FROM log WHERE revision = (SELECT min(revision) FROM log)",
        "DELETE FROM base WHERE key = 'key/3'",
        "UPDATE base SET revision = revision - 1 WHERE key = 'key/3'",
        "UPDATE log SET changes = x'ff' WHERE revision = (SELECT max(revision) FROM log)",
        "DROP TABLE base",
    ],
)
async def test_a_file_that_is_no_prefix_of_one_history_is_refused(path, statement):
    await fill(path, 250, history=20)
    edit(path, statement)

    with pytest.raises(StoreDamaged, match="move it away"):
        await SqliteStore.open(path)


async def test_a_file_of_garbage_is_refused(path):
    path.write_bytes(b"not a database, but long enough to look like one" * 100)

    with pytest.raises(StoreDamaged, match="not a database"):
        await SqliteStore.open(path)


@pytest.mark.parametrize("statement", ["CREATE TABLE theirs (x)", "PRAGMA user_version = 99"])
async def test_a_file_that_is_not_ours_is_left_alone(path, statement):
    if "PRAGMA" in statement:
        await fill(path, 1)
    edit(path, statement)
    before = path.read_bytes()

    with pytest.raises(UnknownFile, match="move it away"):
        await SqliteStore.open(path)

    assert path.read_bytes() == before


async def test_a_file_that_cannot_be_opened_says_so(tmp_path):
    (tmp_path / "registry.db").mkdir()

    with pytest.raises(StoreFailed, match="cannot be opened"):
        await SqliteStore.open(tmp_path / "registry.db")


class BrokenDisk:
    """A file that refuses to write while it is told to."""

    def __init__(self, monkeypatch):
        self.broken, self.groups = False, []
        write = SqliteFile.write

        def refuse(file, records):
            self.groups.append(len(records))
            if self.broken:
                raise sqlite3.OperationalError("disk I/O error")
            write(file, records)

        monkeypatch.setattr(SqliteFile, "write", refuse)


async def test_a_failing_disk_takes_back_what_was_in_flight_and_no_more(path, monkeypatch):
    disk = BrokenDisk(monkeypatch)
    store = await SqliteStore.open(path)
    await store.commit([Put("a", b"before")])
    await store.grant("lease", 10)

    disk.broken = True
    outcomes = await asyncio.gather(
        *(store.commit([Put("a", str(n).encode()), Put(f"b/{n}", b"")]) for n in range(20)),
        store.revoke("lease"),
        return_exceptions=True,
    )
    assert all(isinstance(outcome, StoreFailed) for outcome in outcomes)
    assert store.revision == 1
    assert (await store.get("a")).value == b"before"

    disk.broken = False
    assert await store.commit([Put("a", b"after", 1)]) == 2
    assert await store.keep_alive("lease") == 10
    await store.close()
    store = await SqliteStore.open(path)
    assert [(entry.key, entry.value) for entry in (await store.list()).entries] == [("a", b"after")]
    await store.close()


async def test_a_failing_disk_is_told_to_those_whose_answer_rested_on_what_it_took_back(path, monkeypatch):
    """ "It is so already", "somebody was faster" and "that lease is over" are no answers when they never came to be."""
    disk = BrokenDisk(monkeypatch)
    store = await SqliteStore.open(path)
    await store.commit([Put("a", b"before")])
    await store.grant("lease", 10)

    disk.broken = True
    outcomes = await asyncio.gather(
        store.commit([Put("a", b"new")]),
        store.commit([Put("a", b"new")]),
        store.commit([Put("a", b"other", 1)]),
        store.revoke("lease"),
        store.keep_alive("lease"),
        store.commit([Put("b", b"", lease="lease")]),
        store.revoke("lease"),
        return_exceptions=True,
    )
    assert [type(outcome) for outcome in outcomes] == [StoreFailed] * 7

    disk.broken = False
    assert await store.commit([Put("a", b"new", 1)]) == 2
    await store.close()


async def test_a_disk_that_fails_now_and_then_never_makes_a_gap(path, monkeypatch):
    disk = BrokenDisk(monkeypatch)
    store = await SqliteStore.open(path)
    acknowledged = {}

    async def write(writer):
        for number in range(60):
            disk.broken = not disk.broken if number % 7 == 0 else disk.broken
            try:
                acknowledged[writer, number] = await store.commit([Put(f"{writer}/{number}", b"")])
            except StoreFailed:
                disk.broken = False

    await asyncio.gather(*map(write, range(6)))
    disk.broken = False
    await store.close()

    store = await SqliteStore.open(path)  # which checks that no revision is missing
    found = {entry.key: entry.revision for entry in (await store.list()).entries}
    assert found == {f"{writer}/{number}": revision for (writer, number), revision in acknowledged.items()}
    await store.close()


async def test_commits_that_arrive_together_share_a_transaction(path, monkeypatch):
    disk = BrokenDisk(monkeypatch)
    store = await SqliteStore.open(path)

    await asyncio.gather(*(store.commit([Put(str(n), b"")]) for n in range(500)))

    assert sum(disk.groups) == 500
    assert len(disk.groups) < 50
    await store.close()


async def test_the_write_ahead_log_is_checkpointed_when_it_is_long(path, monkeypatch):
    monkeypatch.setattr(sqlite_file, "CHECKPOINT_BYTES", 200_000)
    store = await SqliteStore.open(path)
    for number in range(300):
        await store.commit([Put("a", str(number).encode() * 1000)])

    assert path.stat().st_size > 200_000
    await store.close()
    store = await SqliteStore.open(path)
    assert store.revision == 300
    await store.close()


async def test_the_write_ahead_log_is_bounded_while_nobody_pauses(path, monkeypatch):
    assert sqlite_file.CHECKPOINT_BYTES <= 32 << 20
    monkeypatch.setattr(sqlite_file, "CHECKPOINT_BYTES", 1 << 20)
    store, sizes = await SqliteStore.open(path, durability="normal", history=20), []

    async def write(name):
        for number in range(100):
            await store.commit([Put(name, str(number).encode() + b"x" * 50_000)])
            sizes.append(path.with_name("registry.db-wal").stat().st_size)

    await asyncio.gather(*map(write, "abcd"))  # 20 MB
    assert max(sizes) < 3 << 20
    await store.close()


async def test_the_write_ahead_log_is_checkpointed_in_a_pause(path, monkeypatch):
    monkeypatch.setattr(sqlite_file, "CHECKPOINT_WHEN_IDLE_BYTES", 100_000)
    monkeypatch.setattr(sqlite, "IDLE_SECONDS", 0.01)
    store = await SqliteStore.open(path)
    for number in range(100):
        await store.commit([Put("a", str(number).encode() * 1000)])
    async with asyncio.timeout(60):
        while path.with_name("registry.db-wal").stat().st_size:  # noqa: ASYNC110  # a file tells nobody that it shrank
            await asyncio.sleep(0.005)

    assert await store.commit([Put("a", b"and on")]) == 101
    await store.close()


def test_what_was_appended_before_the_failure_was_known_is_never_written(path):
    """The engine has taken it back; what comes after the sign was judged anew."""
    journal = SqliteJournal(SqliteFile(path, "full"))
    journal._failed = True
    taken_back, anew = Record(), Record()
    journal.append(taken_back)
    journal._queue.put(sqlite._RESUME)
    journal.append(anew)

    assert journal._take() == ([anew], True)
    assert not journal._failed


async def test_a_registry_of_an_older_version_is_read_and_of_this_one_from_then_on(path):
    await fill(path, 3)
    edit(path, "PRAGMA user_version = 1")
    store = await SqliteStore.open(path)
    await store.close()
    assert store.revision == 3
    assert store.pragmas["user_version"] == sqlite_file.SCHEMA_VERSION
    edit(path, f"PRAGMA user_version = {sqlite_file.SCHEMA_VERSION + 1}")
    with pytest.raises(UnknownFile, match=r"was made by a newer tsunagu \(its schema is 3, this one reads 1, 2\)"):
        await SqliteStore.open(path)


async def test_a_failed_write_is_known_until_one_succeeds(path):
    store = await SqliteStore.open(path)
    file = store._journal._file
    write = file.write

    def full(records):
        raise sqlite3.OperationalError("database or disk is full")

    file.write = full
    with pytest.raises(StoreFailed):
        await store.commit([Put("a", b"1")])
    assert "database or disk is full" in store.problem
    file.write = write
    await store.commit([Put("a", b"1")])
    assert store.problem == ""
    await store.close()
