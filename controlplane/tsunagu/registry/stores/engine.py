"""What memory and SQLite have in common: validating commits, showing them once they are durable, leases, watches.

Commits are validated on the event loop and written elsewhere, and a disk is slow: commits that arrive meanwhile are
validated against the *head* (durable state plus everything in flight), so that the journal can write them together. The
one rule: an answer that depends on an in-flight commit (a Conflict, "no change") waits until that commit is durable; if the
write fails, every in-flight commit, and every answer that depends on one, fails with StoreFailed.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from tsunagu.registry.store import (
    Change,
    Commit,
    Conflict,
    Delete,
    Entry,
    InvalidCommit,
    LeaseNotFound,
    Listing,
    Op,
    Put,
    StoreClosed,
    StoreError,
    StoreFailed,
    Watch,
)
from tsunagu.registry.stores.history import History
from tsunagu.registry.stores.index import Index
from tsunagu.registry.stores.leases import TICK, LeaseClock, boottime

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

#: Revisions that a store keeps for watches by default.
HISTORY = 10_000

#: Bytes of the same, however few revisions that are: they are in memory. A quarter is compacted at a time.
HISTORY_BYTES = 64 * 1024 * 1024

#: Revisions that are compacted at a time: few, because commits wait meanwhile; not one by one, because each has a cost.
COMPACTION = 100

_log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Record:
    """One step that a journal makes durable: a commit, the leases that change with it, or a compaction."""

    commit: Commit | None = None
    granted: tuple[str, float] | None = None  # lease id and ttl in seconds
    revoked: str = ""  # lease id
    compacted: int = 0  # revision up to which the history is forgotten
    durable: asyncio.Future[None] | None = field(default=None)


class Journal(Protocol):
    """Makes records durable, in order."""

    def append(self, record: Record) -> None:
        """Begins to write a record. Later, on the event loop, either `settle` gets it, in order, or `fail` is called."""
        ...

    def start(self, settle: Callable[[Sequence[Record]], None], fail: Callable[[str], None]) -> None:
        """`settle` is to be called with records that are durable, `fail` with the reason when all in flight are lost."""
        ...

    async def close(self) -> None:
        """Returns when everything appended was settled or failed."""
        ...


@dataclass(frozen=True, slots=True)
class Recovered:
    """What a journal found when it was opened."""

    entries: Iterable[Entry] = ()  # as of revision `compacted`
    compacted: int = 0
    commits: Sequence[Commit] = ()  # from compacted + 1, without a gap
    leases: Mapping[str, float] = field(default_factory=dict)  # id -> ttl in seconds


class Engine:
    """A `Store` over a journal. ``history``: revisions kept for watches; ``clock``: seconds, for leases."""

    def __init__(
        self, journal: Journal, recovered: Recovered, history: int = HISTORY, clock: Callable[[], float] = boottime
    ) -> None:
        self._index = Index(recovered.entries)
        for commit in recovered.commits:
            for change in commit.changes:
                self._index.apply(change)
        self._history = History(recovered.compacted, recovered.commits)
        self._keep = history
        self._clock = clock
        self._leases = LeaseClock(recovered.leases, clock())
        self._head: dict[str, Change] = {}  # the newest change in flight of each key; empty when nothing is in flight
        self._head_revision = self._history.newest
        self._ending: set[str] = set()  # leases whose revocation is in flight
        self._inflight: deque[Record] = deque()  # appended to the journal and not settled, oldest first
        self._closed = False
        self._journal = journal
        self.problem = ""  # why the last write has failed; empty when it did not
        journal.start(self._settle, self._fail)

    @property
    def revision(self) -> int:
        return self._history.newest

    @property
    def compacted(self) -> int:
        """The history holds what came after this revision."""
        return self._history.oldest

    async def get(self, key: str) -> Entry | None:
        return self._index.get(key)

    async def list(self, prefix: str = "") -> Listing:
        return Listing(tuple(self._index.scan(prefix)), self.revision)

    def watch(self, prefix: str = "", after: int = 0) -> Watch:
        return self._history.watch(prefix, after)

    async def commit(self, ops: Sequence[Op]) -> int:
        self._check_open()
        try:
            changes = self._validate(ops)
        except StoreError:
            await self._settled()
            raise
        if not changes:
            await self._settled()
            return self.revision
        return await self._write(Record(self._stage(changes)))

    async def compact(self, revision: int) -> None:
        self._check_open()
        await self._write(Record(compacted=self._history.compact(revision)))

    async def grant(self, lease_id: str, ttl: float) -> None:
        self._check_open()
        if not lease_id or ttl <= 0:
            raise InvalidCommit(f"a lease needs an id and a ttl of more than 0 s, not {lease_id!r} and {ttl}")
        await self._write(Record(granted=(lease_id, ttl)))

    async def keep_alive(self, lease_id: str) -> float:
        self._check_open()
        await self._find_lease(lease_id)
        return self._leases.renew(lease_id, self._clock())

    async def revoke(self, lease_id: str) -> int:
        self._check_open()
        await self._find_lease(lease_id)
        return await self._write(self._revocation(lease_id))

    async def expire(self) -> None:
        over = [lease for lease in self._leases.tick(self._clock()) if lease not in self._ending]
        if over:
            self._check_open()
            # All begin at once: while one waited for the disk, the holder of the next could still renew it.
            ended = [self._begin(self._revocation(lease)) for lease in over]
            await asyncio.wait(ended)
            failures = [failure for durable in ended if (failure := durable.exception())]
            if failures:
                raise failures[0]

    async def run(self) -> None:
        while not self._closed:
            await asyncio.sleep(TICK)
            try:
                await self.expire()
            except StoreFailed as error:  # the leases stay over, and the next tick tries again
                _log.warning("leases could not be expired: %s", error)

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        await self._journal.close()
        self._history.close()

    # Validating: what the operations would change, against the head.

    def _validate(self, ops: Sequence[Op]) -> tuple[Change, ...]:
        seen: set[str] = set()
        changes = []
        for op in ops:
            if not op.key or op.key in seen:
                raise InvalidCommit(f"{op.key!r} is twice in one commit" if op.key else "a key must not be empty")
            seen.add(op.key)
            change = self._change(op)
            if change is not None:
                changes.append(change)
        return tuple(changes)

    def _change(self, op: Op) -> Change | None:
        before = self._at_head(op.key)
        actual = before.revision if before else 0
        if op.expected is not None and op.expected != actual:
            raise Conflict(op.key, op.expected, actual)
        if isinstance(op, Delete):
            return Change(op.key, None) if before else None
        return self._put(op, before)

    def _put(self, op: Put, before: Entry | None) -> Change | None:
        if op.lease:
            self._check_lease(op.lease)
        if before and before.value == op.value and before.lease == op.lease:
            return None
        revision = self._head_revision + 1
        return Change(op.key, Entry(op.key, op.value, revision, before.created if before else revision, op.lease))

    def _at_head(self, key: str) -> Entry | None:
        change = self._head.get(key)
        return change.entry if change else self._index.get(key)

    def _leased(self, lease: str) -> tuple[str, ...]:
        """The keys that live by a lease at the head, sorted."""
        keys = self._index.leased(lease).union(self._head)
        entries = filter(None, map(self._at_head, sorted(keys)))
        return tuple(entry.key for entry in entries if entry.lease == lease)

    def _check_lease(self, lease: str) -> None:
        if lease not in self._leases or lease in self._ending:
            raise LeaseNotFound(lease)

    async def _find_lease(self, lease: str) -> None:
        """Raises LeaseNotFound once the end of the lease is durable."""
        try:
            self._check_lease(lease)
        except LeaseNotFound:
            await self._settled()
            raise

    def _check_open(self) -> None:
        if self._closed:
            raise StoreClosed("the store is closed")

    # Writing: stage, wait until durable, show.

    def _stage(self, changes: tuple[Change, ...]) -> Commit:
        self._head_revision += 1
        for change in changes:
            self._head[change.key] = change
        return Commit(self._head_revision, changes)

    def _revocation(self, lease: str) -> Record:
        """Marks the lease as ending: from now on nobody can renew it, or put anything that lives by it."""
        self._ending.add(lease)
        changes = tuple(Change(key, None) for key in self._leased(lease))
        return Record(self._stage(changes) if changes else None, revoked=lease)

    async def _write(self, record: Record) -> int:
        # Shielded: a caller that gives up must not cancel what others may wait for, too.
        await asyncio.shield(self._begin(record))
        return record.commit.revision if record.commit else self.revision

    def _begin(self, record: Record) -> asyncio.Future[None]:
        """Returns a future that is done when the record is durable, and fails when the write has failed."""
        record.durable = asyncio.get_running_loop().create_future()
        self._append(record)
        return record.durable

    def _append(self, record: Record) -> None:
        self._inflight.append(record)
        self._journal.append(record)

    async def _settled(self) -> None:
        """Returns when everything that is in flight now is durable. Raises StoreFailed when the write has failed."""
        waiting = [record.durable for record in self._inflight if record.durable is not None]
        if waiting:
            await asyncio.wait(waiting[-1:])
            failure = waiting[-1].exception()
            if failure is not None:
                raise StoreFailed(*failure.args) from None

    def _settle(self, records: Sequence[Record]) -> None:
        self.problem = ""
        for record in records:
            first = self._inflight.popleft()
            assert first is record
            self._show(record)
            if record.durable is not None and not record.durable.done():
                record.durable.set_result(None)
        if len(self._history) >= self._keep + min(COMPACTION, self._keep):
            self._forget(self.revision - self._keep)
        elif self._history.bytes > HISTORY_BYTES:
            self._forget(self._history.excess(HISTORY_BYTES * 3 // 4))

    def _forget(self, revision: int) -> None:
        self._append(Record(compacted=self._history.compact(revision)))

    def _show(self, record: Record) -> None:
        if record.revoked:
            self._leases.drop(record.revoked)
            self._ending.discard(record.revoked)
        if record.granted:
            self._leases.grant(*record.granted, self._clock())
        if record.commit:
            for change in record.commit.changes:
                self._index.apply(change)
                if self._head[change.key] is change:
                    del self._head[change.key]
            self._history.append(record.commit)

    def _fail(self, reason: str) -> None:
        """Drops everything in flight: it was validated against commits that now never happened."""
        self.problem = reason
        self._head.clear()
        self._ending.clear()
        self._head_revision = self._history.newest
        failed = list(self._inflight)
        self._inflight.clear()
        for record in failed:
            if record.durable is not None and not record.durable.done():
                record.durable.set_exception(StoreFailed(reason))
