"""The whole registry in memory, kept up to date: what controllers, translation and validation read.

It lists once and follows the watch from that revision; when it fell behind (Compacted), it lists again and tells its
followers the difference, so that they never notice. The one rule: objects and mappings handed out are shared and nobody
changes them; a reader may keep them for as long as it likes.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple
from weakref import ReferenceType, ref

from tsunagu.model import ids
from tsunagu.registry.store import Compacted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tsunagu.registry.objects import Events, Object, Objects


class ObjectChange(NamedTuple):
    """What became of one object; None stands for "there is none"."""

    kind: str
    name: str
    old: Object | None
    new: Object | None


@dataclass(frozen=True, slots=True)
class Changes:
    """From what a follower was told last to the state at ``revision``; each object is there once, in no order."""

    revision: int
    changes: tuple[ObjectChange, ...]


class MutatedError(AssertionError):
    """Somebody changed an object that the mirror had handed out."""

    def __init__(self, kind: str, name: str) -> None:
        super().__init__(f"{kind} {name!r} was changed by one of its readers; take a copy (CopyFrom) to change it")


class Mirror:
    """Follows ``source``. ``detect_mutations`` (tests) compares objects with what they were when they came."""

    def __init__(self, source: Objects, *, detect_mutations: bool = False) -> None:
        self._source = source
        self._kinds: dict[str, dict[str, Object]] = {kind: {} for kind in ids.KINDS}
        self._shared: set[str] = set()  # kinds whose mapping was handed out and must not change any more
        self._revision = 0
        self._waiters: list[tuple[int, asyncio.Future[None]]] = []
        self._synced = asyncio.Event()
        self._followers: list[ReferenceType[Follower]] = []  # in the order in which they are told
        self._published: dict[tuple[str, str], bytes] | None = {} if detect_mutations else None

    @property
    def revision(self) -> int:
        """That of the registry that the mirror shows; 0 before it is synced."""
        return self._revision

    @property
    def synced(self) -> bool:
        return self._synced.is_set()

    def objects(self, kind: str) -> Mapping[str, Object]:
        """The objects of a kind by name, as of `revision`; the mapping never changes afterwards."""
        found = self._kinds[ids.kind(kind).name]
        self._shared.add(kind)
        return MappingProxyType(found)

    def get(self, kind: str, name: str) -> Object | None:
        return self._kinds[ids.kind(kind).name].get(name)

    @property
    def state(self) -> Mapping[str, Mapping[str, Object]]:
        """Every kind's objects by name, as `tsunagu.model` wants them."""
        return {kind: self.objects(kind) for kind in self._kinds}

    async def run(self) -> None:
        """Lists, then follows, until it is cancelled or the source fails."""
        while True:
            await self._relist()
            try:
                async for revision, events in self._source.watch("", "", self._revision):
                    self._apply((revision, events))
            except Compacted:
                continue

    async def wait_synced(self) -> None:
        """Returns when the first list is in."""
        await self._synced.wait()

    async def wait_revision(self, revision: int) -> None:
        """Returns when the mirror shows that revision or a later one."""
        if self._revision >= revision and self.synced:
            return
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append((revision, waiter))
        try:
            await waiter
        finally:
            self._waiters = [each for each in self._waiters if each[1] is not waiter]

    def follow(self, *, first: bool = False) -> Follower:
        """An async iterator of `Changes`: first the whole state, then what changed since the item before. `first`: it
        hears of a change before the followers that there are, for others can wait and its reader's cannot.
        """
        follower = Follower(self)
        self._followers.insert(0 if first else len(self._followers), ref(follower, self._followers.remove))
        if self.synced:
            follower.offer(self._everything())
        return follower

    def check_mutations(self) -> None:
        """Raises MutatedError when an object is not what it was; only with ``detect_mutations``."""
        for kind, name in self._published or ():
            self._check(kind, name)

    def _everything(self) -> list[ObjectChange]:
        return [
            ObjectChange(kind, name, None, obj)
            for kind, objects in self._kinds.items()
            for name, obj in objects.items()
        ]

    async def _relist(self) -> None:
        objects, revision = await self._source.list()
        listed = {(ids.kind_of(obj), obj.meta.name): obj for obj in objects}
        gone = [(kind, name) for kind, known in self._kinds.items() for name in known if (kind, name) not in listed]
        changes = [self._set(kind, name, None) for kind, name in gone]
        for (kind, name), obj in listed.items():
            old = self._kinds[kind].get(name)
            if old is None or old.meta.revision != obj.meta.revision:
                changes.append(self._set(kind, name, obj))
        self._publish(revision, changes, listed=True)

    def _apply(self, events: Events) -> None:
        revision, changed = events
        changes = []
        for obj, deleted in changed:
            kind, name = ids.kind_of(obj), obj.meta.name
            if not deleted or name in self._kinds[kind]:
                changes.append(self._set(kind, name, None if deleted else obj))
        self._publish(revision, changes)

    def _set(self, kind: str, name: str, obj: Object | None) -> ObjectChange:
        self._check(kind, name)
        if kind in self._shared:
            self._kinds[kind] = dict(self._kinds[kind])
            self._shared.discard(kind)
        objects = self._kinds[kind]
        old = objects.pop(name, None) if obj is None else objects.get(name)
        if obj is not None:
            objects[name] = obj
        self._remember(kind, name, obj)
        return ObjectChange(kind, name, old, obj)

    def _publish(self, revision: int, changes: list[ObjectChange], *, listed: bool = False) -> None:
        self._revision = revision
        self._synced.set()
        if changes or listed:  # a bookmark is nobody's news; a list is, even if what was missed came and went
            for reference in tuple(self._followers):
                follower = reference()
                if follower is not None:
                    follower.offer(changes)
        for wanted, waiter in self._waiters:
            if wanted <= revision and not waiter.done():
                waiter.set_result(None)

    def _remember(self, kind: str, name: str, obj: Object | None) -> None:
        if self._published is None:
            return
        self._published.pop((kind, name), None)
        if obj is not None:
            self._published[kind, name] = obj.SerializeToString(deterministic=True)

    def _check(self, kind: str, name: str) -> None:
        published = self._published.get((kind, name)) if self._published is not None else None
        if published is not None and self._kinds[kind][name].SerializeToString(deterministic=True) != published:
            raise MutatedError(kind, name)


class Follower:
    """One reader of a mirror. While it is slow, what it misses is merged: each object is told once, as it is then."""

    def __init__(self, mirror: Mirror) -> None:
        self._mirror = mirror
        self._pending: dict[tuple[str, str], ObjectChange] = {}
        self._ready = asyncio.Event()

    @property
    def waiting(self) -> bool:
        """There is a next item already."""
        return self._ready.is_set()

    def offer(self, changes: Iterable[ObjectChange]) -> None:
        for change in changes:
            self._merge(change)
        self._ready.set()

    def __aiter__(self) -> Follower:
        return self

    async def __anext__(self) -> Changes:
        """Also when all that was missed came and went: its reader may wait for the revision."""
        await self._ready.wait()
        self._ready.clear()
        taken, self._pending = self._pending, {}
        return Changes(self._mirror.revision, tuple(taken.values()))

    def _merge(self, change: ObjectChange) -> None:
        key = (change.kind, change.name)
        before = self._pending.get(key)
        old = before.old if before else change.old
        if old is None and change.new is None:
            self._pending.pop(key, None)  # came and went unseen
        else:
            self._pending[key] = ObjectChange(change.kind, change.name, old, change.new)
