"""The store with types: objects of `tsunagu.v1` instead of keys and bytes.

The one rule: a reader gets its own copy and a writer's object is copied at once, so nobody ever changes what another
holds. `revision` and `created_revision` are the store's; they are filled on read and never kept in a value.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from tsunagu.model import ids
from tsunagu.registry.store import Conflict, Delete, Entry, InvalidCommit, Put, Store
from tsunagu.v1 import objects_pb2

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from tsunagu.registry.store import Commit, Op, Watch

Object = objects_pb2.Object


class NotFound(Exception):  # the word of the contract
    """There is no such object."""

    def __init__(self, kind: str, name: str) -> None:
        self.kind, self.name = kind, name
        super().__init__(f"there is no {kind} {name!r}")


@dataclass(frozen=True, slots=True)
class PutObject:
    """Part of a batch. ``expected``: None: whatever is there; 0: must not exist; N: last change at revision N."""

    obj: Object
    expected: int | None = None


@dataclass(frozen=True, slots=True)
class DeleteObject:
    """Part of a batch."""

    kind: str
    name: str
    expected: int | None = None


#: One revision's events: (revision, [(object, deleted)]); no events is a bookmark.
Events = tuple[int, list[tuple[Object, bool]]]


class Objects(Protocol):
    """What `Registry` (in process) and `client.registry.RegistryClient` (over the API) have in common."""

    async def get(self, kind: str, name: str) -> Object | None: ...
    async def list(self, kind: str = "", prefix: str = "") -> tuple[list[Object], int]: ...
    async def put(self, obj: Object, expected: int | None = None) -> int: ...
    async def delete(self, kind: str, name: str, expected: int | None = None) -> int: ...
    async def batch(self, changes: Sequence[PutObject | DeleteObject]) -> int: ...
    def watch(self, kind: str = "", prefix: str = "", after: int = 0) -> AsyncIterator[Events]: ...


def encode(obj: Object) -> bytes:
    """The bytes that a store keeps of an object: without its revisions, which the store knows."""
    kept = Object()
    kept.CopyFrom(obj)
    kept.meta.ClearField("revision")
    kept.meta.ClearField("created_revision")
    return kept.SerializeToString(deterministic=True)


def decode(entry: Entry) -> Object:
    """The object that an entry holds, with its revisions."""
    obj = Object.FromString(entry.value)
    obj.meta.revision = entry.revision
    obj.meta.created_revision = entry.created
    return obj


def tombstone(key: str, revision: int) -> Object:
    """What a watch yields for a deleted object: its name, the revision of its deletion, an empty body of its kind."""
    kind, name = ids.parse_key(key)
    obj = ids.make(kind, name, ids.kind(kind).message())
    obj.meta.revision = revision
    return obj


def events_of(commit: Commit) -> Events:
    """A commit as events on objects."""
    revision = commit.revision
    return revision, [
        (decode(change.entry), False) if change.entry else (tombstone(change.key, revision), True)
        for change in commit.changes
    ]


def operation(change: PutObject | DeleteObject) -> Op:
    """The store's operation of a change. Raises InvalidCommit when the object has no name or no body."""
    if isinstance(change, DeleteObject):
        return Delete(ids.key(change.kind, change.name), change.expected)
    obj = change.obj
    kind = ids.kind_of(obj)
    if not kind or not obj.meta.name:
        raise InvalidCommit("an object needs meta.name and a body (service, task, ...)")
    return Put(ids.key(kind, obj.meta.name), encode(obj), change.expected, obj.meta.lease)


async def update(
    objects: Objects, kind: str, name: str, mutate: Callable[[Object], bool | None], attempts: int = 10
) -> Object:
    """Reads, lets ``mutate`` change the copy, puts it if nobody was faster, or else does it all again.

    When ``mutate`` returns False or changes nothing, nothing is written. Returns the object as it is now. Raises NotFound,
    and Conflict when others were faster ``attempts`` times.
    """
    for attempt in range(1, attempts + 1):
        obj = await objects.get(kind, name)
        if obj is None:
            raise NotFound(kind, name)
        before = encode(obj)
        if mutate(obj) is False or encode(obj) == before:
            return obj
        try:
            revision = await objects.put(obj, obj.meta.revision)
        except Conflict:
            if attempt == attempts:
                raise
        else:
            obj.meta.revision = revision
            return obj
    raise ValueError(f"attempts must be at least 1, not {attempts}")


class Registry:
    """`Objects` over a store in this process."""

    def __init__(self, store: Store) -> None:
        self.store = store

    @property
    def revision(self) -> int:
        return self.store.revision

    async def get(self, kind: str, name: str) -> Object | None:
        entry = await self.store.get(ids.key(kind, name))
        return decode(entry) if entry else None

    async def list(self, kind: str = "", prefix: str = "") -> tuple[list[Object], int]:
        """Objects sorted by key (kind, then name), and the revision that the list shows. No kind: all of them."""
        listing = await self.store.list(key_prefix(kind, prefix))
        return [decode(entry) for entry in listing.entries], listing.revision

    async def put(self, obj: Object, expected: int | None = None) -> int:
        """Returns the new revision, or the present one when nothing changed. Raises Conflict."""
        return await self.store.commit([operation(PutObject(obj, expected))])

    async def delete(self, kind: str, name: str, expected: int | None = None) -> int:
        """Deletes an object and returns the revision; to delete one that is not there changes nothing, and is no error."""
        return await self.store.commit([Delete(ids.key(kind, name), expected)])

    async def batch(self, changes: Sequence[PutObject | DeleteObject]) -> int:
        """Applies all of the changes at one revision, or none."""
        return await self.store.commit([operation(change) for change in changes])

    def watch(self, kind: str = "", prefix: str = "", after: int = 0) -> ObjectWatch:
        """Every change after a revision, one item per revision. Raises Compacted, here or later."""
        return ObjectWatch(self.store.watch(key_prefix(kind, prefix), after))

    async def update(self, kind: str, name: str, mutate: Callable[[Object], bool | None], attempts: int = 10) -> Object:
        """`update` of this module."""
        return await update(self, kind, name, mutate, attempts)

    async def grant(self, lease_id: str, ttl: float) -> None:
        """Makes or renews a lease of ``ttl`` seconds; an object lives by it through its ``meta.lease``."""
        await self.store.grant(lease_id, ttl)

    async def keep_alive(self, lease_id: str) -> float:
        """Returns the lease's ttl in seconds. Raises LeaseNotFound."""
        return await self.store.keep_alive(lease_id)

    async def revoke(self, lease_id: str) -> int:
        """Deletes what lives by the lease. Raises LeaseNotFound."""
        return await self.store.revoke(lease_id)


class ObjectWatch:
    """A watch of the store as events on objects."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch

    @property
    def position(self) -> int:
        """Everything up to this revision has been yielded, or does not concern this watch."""
        return self._watch.position

    def __aiter__(self) -> ObjectWatch:
        return self

    def close(self) -> None:
        """Ends the watch: whoever waits for its next item gets StoreClosed."""
        self._watch.close()

    async def __anext__(self) -> Events:
        return events_of(await self._watch.__anext__())


def key_prefix(kind: str, name_prefix: str) -> str:
    """The prefix of the keys of a list or a watch. Raises InvalidCommit for a name prefix without a kind."""
    if name_prefix and not kind:
        raise InvalidCommit("a name prefix needs a kind")
    return ids.prefix(kind) + name_prefix
