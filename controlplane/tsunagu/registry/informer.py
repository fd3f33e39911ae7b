"""Objects in memory, kept in step with where they come from: what controllers, translation, agents and commands read.

An informer lists once and follows the watch from that revision. When it fell behind (Compacted) it lists again and gives
its followers the difference, so that they never notice. When its source is away it keeps the last state and tries again,
later and later. The one rule: objects are shared with every reader and nobody changes one; the mappings that are handed
out are live, so a reader that awaits between two reads takes a copy of what it needs.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol
from weakref import ReferenceType, ref

from tsunagu.kit.backoff import Backoff
from tsunagu.model import ids
from tsunagu.registry.indexes import IndexedObjects
from tsunagu.registry.store import Compacted

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping

    from tsunagu.registry.indexes import Index
    from tsunagu.registry.objects import Events, Object

#: Between attempts to reach a source that is away, and to list again when the history never reaches back far enough.
RETRY: Final = Backoff(base=0.05, cap=1.0, spread=0.5)


class SourceAway(Exception):
    """The source cannot answer now and may later: an informer tries again. Anything else that it raises is final."""


class SourceRefuses(SourceAway):
    """The source answers, and yet not this: that may pass, too, but somebody should know of it."""


class Source(Protocol):
    """Where objects come from: a registry in this process, or one behind the API (`client.source`)."""

    async def list(self, kind: str = "", prefix: str = "") -> tuple[list[Object], int]:
        """Objects, and the revision after which a watch continues the list."""
        ...

    def watch(self, kind: str = "", prefix: str = "", after: int = 0) -> AsyncIterator[Events]:
        """Every change after a revision. Raises Compacted when they are not kept any more."""
        ...


class ObjectChange(NamedTuple):
    """What became of one object; None stands for "there is none"."""

    kind: str
    name: str
    old: Object | None
    new: Object | None


@dataclass(frozen=True, slots=True)
class Changes:
    """From what a follower was given last to the state at ``revision``; each object is there once, in no order."""

    revision: int
    changes: tuple[ObjectChange, ...]


class MutatedError(AssertionError):
    """Somebody changed an object that an informer had handed out."""

    def __init__(self, kind: str, name: str) -> None:
        super().__init__(f"{kind} {name!r} was changed by one of its readers; take a copy (CopyFrom) to change it")


class Informer:
    """The objects of ``source``, of one ``kind`` or (empty) of all.

    ``retry``: how long to wait for a source that is away. ``report`` is told why a source refuses, and nothing ("") when it
    sends again. ``detect_mutations`` (tests) compares objects with what they were when they came.
    """

    def __init__(
        self,
        source: Source,
        *,
        kind: str = "",
        retry: Backoff = RETRY,
        report: Callable[[str], None] | None = None,
        detect_mutations: bool = False,
    ) -> None:
        self._source = source
        self._report = report
        self._reported = ""
        self._retry = retry
        self._kind = kind
        self._kinds: dict[str, dict[str, Object]] = {each: {} for each in ([kind] if kind else ids.KINDS)}
        self._indexes: dict[str, IndexedObjects] = {}
        self._indexes_of: dict[str, list[IndexedObjects]] = {each: [] for each in self._kinds}
        self._revision = 0
        self._waiters: set[tuple[int, asyncio.Future[None]]] = set()
        self._synced = asyncio.Event()
        self._followers: list[ReferenceType[Follower]] = []  # in the order in which they are notified
        self._published: dict[tuple[str, str], bytes] | None = {} if detect_mutations else None

    @property
    def revision(self) -> int:
        """That of the registry that the informer shows; 0 before it is synced."""
        return self._revision

    @property
    def synced(self) -> bool:
        """Whether the first list is in."""
        return self._synced.is_set()

    def objects(self, kind: str) -> Mapping[str, Object]:
        """The objects of a kind by name, live."""
        return MappingProxyType(self._kinds[ids.kind(kind).name])

    def get(self, kind: str, name: str) -> Object | None:
        """The object, or None."""
        return self._kinds[ids.kind(kind).name].get(name)

    @property
    def state(self) -> Mapping[str, Mapping[str, Object]]:
        """Every kind's objects by name, live, as `tsunagu.model` takes them."""
        return MappingProxyType(self._kinds)

    def add_index(self, index: Index) -> None:
        """Keeps an index from now on, over what is there too; adding it again changes nothing.

        Raises ValueError when another one has its name.
        """
        if index.name in self._indexes:
            if self._indexes[index.name].index is not index:
                raise ValueError(f"there is another index {index.name!r}; indexes of one informer have different names")
            return
        self._indexes[index.name] = indexed = IndexedObjects(index)
        self._indexes_of[ids.kind(index.kind).name].append(indexed)
        for name, obj in self._kinds[index.kind].items():
            indexed.replace(name, None, obj)

    def by_index(self, index: str, key: str) -> Mapping[str, Object]:
        """The objects that an index has under a key, by name, live, in no order."""
        return self._indexes[index].get(key)

    async def run(self) -> None:
        """Lists, then follows, until it is cancelled or the source fails with anything but SourceAway."""
        failures = 0  # attempts in a row that brought nothing
        while True:
            away = False
            try:
                await self._relist()
                async for events in self._source.watch(self._kind, "", self._revision):
                    failures = 0
                    self._tell("")
                    self._apply(events)
            except Compacted:
                pass  # the first time it is no failure: the list is only due again
            except SourceAway as error:
                away = True
                if isinstance(error, SourceRefuses):
                    self._tell(str(error))
            failures += 1
            await asyncio.sleep(self._retry.delay(failures if away else failures - 1, random.random()))  # noqa: S311

    def _tell(self, refusal: str) -> None:
        if self._report is not None and refusal != self._reported:
            self._reported = refusal
            self._report(refusal)

    async def wait_synced(self) -> None:
        """Returns when the first list is in."""
        await self._synced.wait()

    async def wait_revision(self, revision: int) -> None:
        """Returns when the informer shows that revision or a later one."""
        if self._revision >= revision and self.synced:
            return
        waiter = (revision, asyncio.get_running_loop().create_future())
        self._waiters.add(waiter)
        try:
            await waiter[1]
        finally:
            self._waiters.discard(waiter)

    def follow(self, *, first: bool = False) -> Follower:
        """An async iterator of `Changes`: first the whole state, then what changed since the item before.

        ``first``: it is notified before the followers that there are, for a reader that cannot wait for the others.
        """
        follower = Follower(self)
        self._followers.insert(0 if first else len(self._followers), ref(follower, self._followers.remove))
        if self.synced:
            follower.notify(self._everything())
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
        objects, revision = await self._source.list(self._kind)
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
        objects = self._kinds[kind]
        old = objects.pop(name, None) if obj is None else objects.get(name)
        if obj is not None:
            objects[name] = obj
        for index in self._indexes_of[kind]:
            index.replace(name, old, obj)
        self._remember(kind, name, obj)
        return ObjectChange(kind, name, old, obj)

    def _publish(self, revision: int, changes: list[ObjectChange], *, listed: bool = False) -> None:
        self._revision = revision
        self._synced.set()
        if changes or listed:  # a bookmark is nobody's news; a list is, even if what was missed came and went
            for reference in tuple(self._followers):
                follower = reference()
                if follower is not None:
                    follower.notify(changes)
        for awaited, waiter in self._waiters:
            if awaited <= revision and not waiter.done():
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
    """One reader of an informer. What it misses while it is slow is merged: it is given each object once, as it is then."""

    def __init__(self, informer: Informer) -> None:
        self._informer = informer
        self._pending: dict[tuple[str, str], ObjectChange] = {}  # at most one per object: a slow reader costs no more
        self._ready = asyncio.Event()

    @property
    def waiting(self) -> bool:
        """Whether there is a next item already."""
        return self._ready.is_set()

    def notify(self, changes: Iterable[ObjectChange]) -> None:
        """Adds changes to the next item; without any it says that the revision has moved."""
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
        return Changes(self._informer.revision, tuple(taken.values()))

    def _merge(self, change: ObjectChange) -> None:
        key = (change.kind, change.name)
        before = self._pending.get(key)
        old = before.old if before else change.old
        if old is None and change.new is None:
            self._pending.pop(key, None)  # came and went unseen
        else:
            self._pending[key] = ObjectChange(change.kind, change.name, old, change.new)
