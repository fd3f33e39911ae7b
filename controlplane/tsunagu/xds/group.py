"""The bookkeeping that streams share: all that see the same bundles and ask for the same names of one type.

Rule: a group remembers changes in an append-only log, and a stream only its position in it. What has to be sent from
a position is put together once for all the streams that stand there. A dictionary of sent versions per stream would
cost more than grpc itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tsunagu.xds.resources import ResourceType, sum_version

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tsunagu.xds.bundle import Change, Composite
    from tsunagu.xds.resources import Resource
    from tsunagu.xds.subscription import NameSet
    from tsunagu.xds.watch import Watch

LOG_LIMIT = 32  # entries, or one per member; what a stream further behind misses becomes its own exceptions


@dataclass(slots=True)
class Batch:
    """What brings a client from one state to the present one: shared by all that take the same step."""

    upserts: tuple[Resource, ...]
    removed: tuple[str, ...]
    held: Mapping[str, Resource | None]  # name -> what the client has of it before; None: nothing
    revision: int = 0  # the newest that it brings
    floor: int = 0  # the oldest
    cause: str = ""
    version: str = ""  # SotW, where it is not the group's
    missing: tuple[str, ...] = ()  # names asked for that do not exist: SotW keeps silent of them
    names: frozenset[str] = field(init=False)
    introduces: bool = field(init=False)  # brings names that the client has not
    mortal: tuple[str, ...] = field(init=False)  # brings these, which lapse
    _delta: bytes | None = None
    _sotw: bytes | None = None

    def __post_init__(self) -> None:
        self.names = frozenset([*(resource.name for resource in self.upserts), *self.removed])
        self.introduces = any(self.held.get(resource.name) is None for resource in self.upserts)
        self.mortal = tuple([resource.name for resource in self.upserts if resource.ttl is not None])

    @property
    def delta_entries(self) -> bytes:
        """The entries of a DeltaDiscoveryResponse, concatenated once."""
        if self._delta is None:
            self._delta = b"".join([resource.delta_entry for resource in self.upserts])
        return self._delta

    @property
    def sotw_entries(self) -> bytes:
        """The entries of a DiscoveryResponse, concatenated once."""
        if self._sotw is None:
            self._sotw = b"".join([resource.sotw_entry for resource in self.upserts])
        return self._sotw


class Group:
    """Streams with the same scope, type and names. `names` is None for a wildcard."""

    __slots__ = ("_full", "_full_epoch", "_log", "_since", "_since_at", "_start", "composite", "count", "end", "members",
                 "mortal", "names", "sum", "type")  # fmt: skip

    def __init__(self, kind: ResourceType, composite: Composite, names: NameSet | None) -> None:
        self.type = kind
        self.composite = composite
        self.names = names
        self.members: set[Watch] = set()
        self.mortal: dict[str, float] = {}  # name -> time to live, of those that have one
        self.sum = self.count = 0
        for resource in self.resources():
            self.sum += resource.digest
            self.count += 1
            if resource.ttl is not None:
                self.mortal[resource.name] = resource.ttl
        self._log: list[tuple[str, Resource | None, Change]] = []
        self._start = 0
        self.end = 0  # the position of a stream that has been sent everything: that behind the log's last entry
        self._full: Batch | None = None
        self._full_epoch = -1
        self._since: Batch | None = None
        self._since_at = (-1, -1)

    @property
    def version(self) -> str:
        """The SotW version of what the group sees."""
        return sum_version(self.sum)

    def covers(self, name: str) -> bool:
        """True when the streams of the group want to hear of this name."""
        return self.names is None or name in self.names.names

    def current(self, name: str) -> Resource | None:
        """What a client is to have under the name: None when there is no such resource, or it was not asked for."""
        return self.composite.answer(self.type.url, name) if self.covers(name) else None

    def resources(self) -> Iterator[Resource]:
        """What exists of the names, without the assignments that are only made up as answers."""
        if self.names is None:
            yield from self.composite.resources(self.type.url)
            return
        for name in self.names.names:
            resource = self.composite.get(self.type.url, name)
            if resource is not None:
                yield resource

    def append(self, name: str, old: Resource | None, new: Resource | None, change: Change) -> None:
        """Log that a name has changed from `old`; the SotW version moves with it."""
        log = self._log
        if len(log) > max(LOG_LIMIT, len(self.members)) and log[-1][2] is not change:
            self._trim()
        self.sum += (new.digest if new else 0) - (old.digest if old else 0)
        self.count += (new is not None) - (old is not None)
        if new is not None and new.ttl is not None:
            self.mortal[name] = new.ttl
        elif self.mortal:
            self.mortal.pop(name, None)
        log.append((name, old, change))
        self.end += 1

    def tail(self, position: int) -> list[tuple[str, Resource | None, Change]]:
        """The log from a position on: (name, what it was, why it changed)."""
        return self._log[position - self._start :]

    def oldest_change(self, position: int) -> int:
        """The revision of the first change behind a position that is not the end."""
        return self._log[position - self._start][2].revision

    def since(self, position: int) -> Batch:
        """What a client that stands at `position` has to be sent; made once for all who stand there."""
        at = (position, self.composite.epoch)
        if self._since is None or self._since_at != at:
            self._since, self._since_at = self._step(position), at
        return self._since

    def full(self) -> Batch:
        """All that the group sees, and what is missing of what it asks for."""
        if self._full is not None and self._full_epoch == self.composite.epoch:
            return self._full
        everything = self._all()
        if len(self.members) > 1:  # for one stream alone it would be kept for nothing
            self._full, self._full_epoch = everything, self.composite.epoch
        return everything

    def join(self, watch: Watch) -> None:
        self.members.add(watch)

    def leave(self, watch: Watch) -> None:
        """The last one out takes the group with it."""
        self.members.discard(watch)
        if not self.members:
            groups = self.composite.groups.get(self.type.url, {})
            if groups.get(self.names) is self:
                del groups[self.names]

    def _step(self, position: int) -> Batch:
        tail = self.tail(position)
        held: dict[str, Resource | None] = {}
        for name, old, _ in tail:
            held.setdefault(name, old)
        upserts: list[Resource] = []
        removed: list[str] = []
        for name, old in held.items():
            new = self.current(name)
            if new is None:
                if old is not None and self.type.removable:
                    removed.append(name)
            elif old is None or old.version != new.version:
                upserts.append(new)
        newest = tail[-1][2]
        return Batch(tuple(upserts), tuple(removed), held, newest.revision, tail[0][2].revision, newest.cause)

    def _all(self) -> Batch:
        if self.names is None:
            return Batch(tuple(self.composite.resources(self.type.url)), (), {})
        answers = {name: self.current(name) for name in sorted(self.names.names)}
        missing = tuple(name for name, resource in answers.items() if resource is None and self.type.removable)
        return Batch(tuple(resource for resource in answers.values() if resource is not None), (), {}, missing=missing)

    def _trim(self) -> None:
        """Forget what every stream has passed. Looking at each costs one look per change, for that many are due. Those
        that stand far behind hold up nobody: they take what they miss along.
        """
        far = self.end - max(LOG_LIMIT, len(self.members)) // 2
        for watch in self.members:
            if watch.position < far:
                watch.absorb()
        cut = min((watch.position for watch in self.members), default=self.end) - self._start
        del self._log[:cut]
        self._start += cut
