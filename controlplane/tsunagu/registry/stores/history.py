"""The commits that a store still keeps, and the watches that read them.

A watch is a position in the one shared history, not a queue of its own: a slow reader costs no memory, and the bound of
the history is the bound of every watch. The one rule: a reader whose next commit was compacted gets Compacted, and
nothing else ever makes a gap.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from weakref import WeakSet

from tsunagu.registry.store import Commit, Compacted, StoreClosed

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Commits that a watch skips in a row before it lets other tasks run.
SKIPS_PER_TURN = 1000


class History:
    """Commits ``oldest + 1`` to ``newest``, without a gap. ``bytes``: of their keys and values."""

    def __init__(self, oldest: int = 0, commits: Iterable[Commit] = ()) -> None:
        self.oldest = oldest
        self._commits = list(commits)
        self.bytes = sum(map(_bytes, self._commits))
        self._watches: WeakSet[HistoryWatch] = WeakSet()

    def __len__(self) -> int:
        return len(self._commits)

    @property
    def newest(self) -> int:
        return self.oldest + len(self._commits)

    def append(self, commit: Commit) -> None:
        """Adds the next commit and wakes the watches that it concerns."""
        assert commit.revision == self.newest + 1, f"commit {commit.revision} after {self.newest}"
        self._commits.append(commit)
        self.bytes += _bytes(commit)
        for watch in self._watches:
            watch.notify(commit)

    def after(self, revision: int) -> Commit:
        """The commit that follows ``revision``, which must not be the newest. Raises Compacted."""
        self.check(revision)
        return self._commits[revision - self.oldest]

    def check(self, revision: int) -> None:
        """Raises Compacted unless the history holds everything that happened after ``revision``."""
        if not self.oldest <= revision <= self.newest:
            raise Compacted(revision, self.oldest, self.newest)

    def compact(self, revision: int) -> int:
        """Drops commits up to ``revision``; returns the revision up to which they are dropped now."""
        forgotten = max(0, min(revision, self.newest) - self.oldest)
        self.bytes -= sum(map(_bytes, self._commits[:forgotten]))
        del self._commits[:forgotten]
        self.oldest += forgotten
        return self.oldest

    def excess(self, most: int) -> int:
        """The revision up to which commits have to go, so that what is left has no more than ``most`` bytes."""
        left, revision = self.bytes, self.oldest
        for commit in self._commits:
            if left <= most:
                break
            left, revision = left - _bytes(commit), commit.revision
        return revision

    def watch(self, prefix: str, after: int) -> HistoryWatch:
        self.check(after)
        watch = HistoryWatch(self, prefix, after)
        self._watches.add(watch)
        return watch

    def close(self) -> None:
        for watch in self._watches:
            watch.close()


def _bytes(commit: Commit) -> int:
    return sum(len(change.key) + (len(change.entry.value) if change.entry else 0) for change in commit.changes)


class HistoryWatch:
    """One reader's position. It has one consumer; cancelling ``__anext__`` loses nothing."""

    def __init__(self, history: History, prefix: str, after: int) -> None:
        self._history = history
        self._prefix = prefix
        self._position = after
        self._waiter: asyncio.Future[None] | None = None
        self._closed = False

    @property
    def position(self) -> int:
        return self._position

    def __aiter__(self) -> HistoryWatch:
        return self

    async def __anext__(self) -> Commit:
        skipped = 0
        while True:
            if self._closed:
                raise StoreClosed("the watch was closed")
            if self._position == self._history.newest:
                await self._wait()
                continue
            commit = self._history.after(self._position)
            mine = self._of(commit)
            self._position = commit.revision
            if mine is not None:
                return mine
            skipped += 1
            if skipped % SKIPS_PER_TURN == 0:
                await asyncio.sleep(0)

    def notify(self, commit: Commit) -> None:
        """Wakes the reader for a new commit, or skips the commit without a wake-up when it does not touch the prefix."""
        if self._position == commit.revision - 1 and not self._concerns(commit):
            self._position = commit.revision
        else:
            self.wake()

    def close(self) -> None:
        self._closed = True
        self.wake()

    def wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _wait(self) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _concerns(self, commit: Commit) -> bool:
        return any(change.key.startswith(self._prefix) for change in commit.changes)

    def _of(self, commit: Commit) -> Commit | None:
        """The part of a commit that touches the prefix, or None."""
        if not self._prefix:
            return commit
        mine = tuple(change for change in commit.changes if change.key.startswith(self._prefix))
        return Commit(commit.revision, mine) if mine else None
