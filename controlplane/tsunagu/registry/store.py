"""What every store promises: a log of commits numbered by revision, over keys and bytes.

A commit is applied whole or not at all, and only if what it expects holds. The one rule: no answer shows, or depends on,
what is not durable yet, so a reader never sees a revision that a crash could take back (as far as the store's durability
setting goes).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence


@dataclass(frozen=True, slots=True)
class Entry:
    """A key's value. ``revision`` is that of its last change, ``created`` that at which it came to be."""

    key: str
    value: bytes
    revision: int
    created: int
    lease: str = ""  # id of the lease that it lives by, or empty


@dataclass(frozen=True, slots=True)
class Put:
    """Sets a key. ``expected``: None: whatever is there; 0: must not exist; N: its last change was at revision N."""

    key: str
    value: bytes
    expected: int | None = None
    lease: str = ""


@dataclass(frozen=True, slots=True)
class Delete:
    """Takes a key away; of one that is not there it is no change. ``expected`` as in Put."""

    key: str
    expected: int | None = None


Op = Put | Delete


@dataclass(frozen=True, slots=True)
class Change:
    """What a commit made of one key: its entry, or None when it was deleted."""

    key: str
    entry: Entry | None


@dataclass(frozen=True, slots=True)
class Commit:
    """All that became true at one revision; at most one change of a key, in the order of the operations."""

    revision: int
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class Listing:
    """Entries sorted by key, as they all were at ``revision``."""

    entries: tuple[Entry, ...]
    revision: int


class StoreError(Exception):
    """The store could not do what it was asked; the message says why."""


class Conflict(StoreError):  # the word of the contract
    """A key is not as expected: another writer was there first. Revision 0 means that there is no such key."""

    def __init__(self, key: str, expected: int, actual: int) -> None:
        self.key, self.expected, self.actual = key, expected, actual
        wanted = f"its last change to be at revision {expected}" if expected else "it not to exist"
        found = f"it was changed at revision {actual}" if actual else "it does not exist"
        super().__init__(f"{key}: expected {wanted}, but {found}; read it again and decide anew")


class Compacted(StoreError):
    """The history after ``revision`` is not (or no longer) kept, so a watch cannot go on: list, and watch from there."""

    def __init__(self, revision: int, oldest: int, newest: int) -> None:
        self.revision, self.oldest, self.newest = revision, oldest, newest
        super().__init__(
            f"changes after revision {revision} cannot be given: the history holds those after {oldest}, up to {newest}; "
            "list again and watch from the revision of that list"
        )


class LeaseNotFound(StoreError):
    """There is no such lease: it never was, was revoked, or has expired with everything that lived by it."""

    def __init__(self, lease: str) -> None:
        self.lease = lease
        super().__init__(
            f"there is no lease {lease!r}: it has expired or never was; grant it, and put again what lives by it"
        )


class InvalidCommit(StoreError):
    """The operations make no sense, whatever the store holds."""


class StoreFailed(StoreError):
    """The store could not make the commit durable; nothing of it happened, as far as this store goes."""


class StoreClosed(StoreError):
    """The store was closed before it answered; whether the commit is durable is not known."""


class Watch(Protocol):
    """An async iterator over commits. It is never exhausted; only the closing of the store ends it.

    ``position``: everything up to this revision has been yielded, or does not concern this watch.
    """

    @property
    def position(self) -> int: ...
    def __aiter__(self) -> AsyncIterator[Commit]: ...
    async def __anext__(self) -> Commit: ...
    def close(self) -> None:
        """Ends it: what waits for its next commit gets StoreClosed. Not needed for one that is simply dropped."""
        ...


class Store(Protocol):
    """The contract; ``tests/contract`` holds the suite that every implementation passes."""

    @property
    def revision(self) -> int:
        """That of the newest commit; 0 when there never was one."""
        ...

    @property
    def problem(self) -> str:
        """Why the last write has failed; empty when it did not. Until writing works, what is read may be outdated."""
        ...

    async def get(self, key: str) -> Entry | None:
        """The key's entry, or None."""
        ...

    async def list(self, prefix: str = "") -> Listing:
        """Every entry whose key begins with ``prefix``."""
        ...

    async def commit(self, ops: Sequence[Op]) -> int:
        """Applies all operations at one new revision, or none; returns when they are durable.

        An operation that changes nothing (the same value and lease, a missing key deleted) is no part of the commit;
        when none is left, there is no new revision and the present one is returned. Expectations are checked against
        the state before the commit. Raises Conflict, LeaseNotFound, InvalidCommit (a key twice), StoreFailed.
        """
        ...

    def watch(self, prefix: str = "", after: int = 0) -> Watch:
        """Every commit after a revision that touches the prefix, in order, with only the changes that do.

        It begins where it was called. Raises Compacted, here or later, when what comes next is not in the history:
        it was compacted, the reader fell too far behind, or ``after`` is ahead of this store.
        """
        ...

    async def compact(self, revision: int) -> None:
        """Forgets the history up to and including ``revision``; the entries stay."""
        ...

    async def grant(self, lease_id: str, ttl: float) -> None:
        """Makes a lease of ``ttl`` seconds, durable; granting an existing one sets its ttl and renews it."""
        ...

    async def keep_alive(self, lease_id: str) -> float:
        """Gives the lease a full term again and returns its ttl in seconds. No revision. Raises LeaseNotFound."""
        ...

    async def revoke(self, lease_id: str) -> int:
        """Ends the lease and deletes what lives by it, in one commit; returns the revision. Raises LeaseNotFound."""
        ...

    async def expire(self) -> None:
        """One tick of the lease clock: revokes the leases whose term is over."""
        ...

    async def run(self) -> None:
        """Ticks until it is cancelled. Without it leases never expire."""
        ...

    async def close(self) -> None:
        """Waits for the commits in flight and lets go of everything; open watches end with StoreClosed."""
        ...
