"""The bookkeeping that streams share: all that read the same view of a type and ask for the same names.

A dictionary of sent versions per stream would cost more than grpc itself: a thousand proxies that each ask for a
thousand assignments would keep a million entries. So a group keeps one append-only log of changes, and each of its
streams keeps a position in that log.

Rule: what has to be sent from a position is computed and encoded once, as a `Batch`, for all streams that stand there.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import chain
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

from tsunagu.xds.resources import ResourceType, sum_version

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tsunagu.xds.resources import Resource
    from tsunagu.xds.subscription import NameSet

LOG_LIMIT = 32  # entries, or one per subscriber; a stream further behind takes what it misses out of the log
NOTHING_HELD: Mapping[str, Resource | None] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Cause:
    """Why something is sent: the published revision that brought it, and the reason in words."""

    revision: int
    words: str


LISTED = 1000  # resources of a response that are remembered by name


@dataclass(slots=True)
class Batch:
    """What brings a client from one state to another, shared by all streams that take the same step.

    Nothing of it changes once it is made; its encodings are made on first use. A batch that consists of `parts` (other
    batches, with disjoint names) has theirs.
    """

    upserts: tuple[Resource, ...]
    removed: tuple[str, ...] = ()
    held: Mapping[str, Resource | None] | None = None  # what the client holds before it, by name; None: nothing
    revision: int = 0  # the newest revision that it brings
    floor: int = 0  # the oldest revision that it brings
    cause: str = ""
    missing: tuple[str, ...] = ()  # names asked for that do not exist; SotW has no way to say so
    parts: tuple[Batch, ...] = ()
    names: frozenset[str] = field(init=False)
    replaces: bool = field(init=False)  # it brings other content of something that the client holds, or removes it
    expiring: tuple[str, ...] = field(init=False)  # names in this batch that carry a TTL
    _delta: bytes | None = None
    _sotw: bytes | None = None
    _digest_sum: int | None = None
    _listing: tuple[tuple[str, str], ...] | None = None
    _introduced: frozenset[str] | None = None

    def __post_init__(self) -> None:
        if self.parts:
            self.names = frozenset().union(*[part.names for part in self.parts])
            self.expiring = tuple(chain.from_iterable(part.expiring for part in self.parts))
        else:
            self.names = frozenset([*[resource.name for resource in self.upserts], *self.removed])
            self.expiring = tuple([resource.name for resource in self.upserts if resource.ttl is not None])
        held = self.held or NOTHING_HELD
        self.replaces = any(old is not None for old in held.values())

    @classmethod
    def joined(cls, parts: list[Batch]) -> Batch:
        """Batches with disjoint names as one."""
        if len(parts) == 1:
            return parts[0]
        return cls(tuple(chain.from_iterable(part.upserts for part in parts)), parts=tuple(parts))

    @property
    def digest_sum(self) -> int:
        """The sum of the digests of its upserts: see `resources.sum_version`."""
        if self._digest_sum is None:
            summands = [part.digest_sum for part in self.parts] or [resource.digest for resource in self.upserts]
            self._digest_sum = sum(summands)
        return self._digest_sum

    @property
    def introduced(self) -> frozenset[str]:
        """The names that it brings of which the client holds nothing."""
        if self._introduced is None:
            held = self.held or NOTHING_HELD
            new = [resource.name for resource in self.upserts if held.get(resource.name) is None]
            self._introduced = self.names if len(new) == len(self.names) else frozenset(new)
        return self._introduced

    @property
    def entered(self) -> Iterable[Resource]:
        """The upserts, each resource once: a client may ask for the same one by several names, and refuses doubles."""
        if not any(resource.alias_of for resource in self.upserts):
            return self.upserts
        return {resource.alias_of or resource.name: resource for resource in self.upserts}.values()

    @property
    def listing(self) -> tuple[tuple[str, str], ...]:
        """Name and version of the upserts, of the first LISTED at most: for whoever remembers what was sent, which must
        not keep the bodies alive.
        """
        if self._listing is None:
            self._listing = tuple([(resource.name, resource.version) for resource in self.upserts[:LISTED]])
        return self._listing

    @property
    def delta_entries(self) -> tuple[bytes, ...]:
        """The upserts as entries of a DeltaDiscoveryResponse, in chunks that are to be concatenated; encoded once."""
        if self.parts:
            return tuple([chunk for part in self.parts for chunk in part.delta_entries])
        if self._delta is None:
            self._delta = b"".join([resource.delta_entry for resource in self.entered])
        return (self._delta,)

    @property
    def sotw_entries(self) -> tuple[bytes, ...]:
        """The upserts as entries of a DiscoveryResponse, in chunks that are to be concatenated; encoded once."""
        if self.parts:
            return tuple([chunk for part in self.parts for chunk in part.sotw_entries])
        if self._sotw is None:
            self._sotw = b"".join([resource.sotw_entry for resource in self.entered])
        return (self._sotw,)


class Source(Protocol):
    """What a group reads: the resources of one type, as the scopes of its streams see them (`composite.TypeView`)."""

    type: ResourceType
    epoch: int  # moves whenever an answer may have changed; what is memoised holds for one epoch

    @property
    def version(self) -> str:
        """The caller's version of these resources; empty if it gave none."""
        ...

    def get(self, name: str) -> Resource | None: ...
    def answer(self, name: str) -> Resource | None: ...
    def among(self, names: frozenset[str]) -> dict[str, Resource]: ...
    def answers(self, names: frozenset[str]) -> dict[str, Resource]: ...
    def everything(self) -> Batch: ...


class Subscriber(Protocol):
    """What a group, and the catalog, need of a stream's state for one type (`watch.Watch`)."""

    group: Group
    position: int  # Invariant: group.start <= position <= group.end

    @property
    def owner(self) -> object:
        """Whom `Catalog.publish` returns when there is something to send."""

    @property
    def composite(self) -> object:
        """The scope that the stream sees."""

    def absorb(self) -> None:
        """Note what the log holds after the position, and move to its end."""

    def regroup(self, group: Group) -> None:
        """Continue in a group with the same content."""


class Group:
    """Streams that read the same source and ask for the same names. `names` is None for a wildcard.

    A position p stands for everything that was published before log entry p; the log holds the entries from `start` on.
    """

    __slots__ = ("_full", "_full_epoch", "_log", "_step", "_step_at", "count", "end", "expiring", "names", "source",
                 "start", "subscribers", "sum", "type")  # fmt: skip

    def __init__(self, source: Source, names: NameSet | None) -> None:
        self.type = source.type
        self.source = source
        self.names = names
        self.subscribers: set[Subscriber] = set()
        self.start = 0  # the position of the first entry that is still in the log
        self.end = 0  # the position of a stream that has been sent everything. Invariant: start + len(log) == end
        self._log: list[tuple[str, Resource | None, Cause]] = []  # (name, what it was before, why it changed)
        self._full: Batch | None = None
        self._full_epoch = -1
        self._step: Batch | None = None
        self._step_at = (-1, -1)
        existing = self.existing()
        self.count = len(existing.upserts)  # Invariant: count, sum and expiring describe `existing()`
        self.sum = existing.digest_sum
        self.expiring = {one.name: one.ttl for one in existing.upserts if one.ttl} if existing.expiring else {}

    @property
    def version(self) -> str:
        """The SotW version of what the group sees: the caller's, or that of its content."""
        return self.source.version or sum_version(self.sum)

    def covers(self, name: str) -> bool:
        """True when the streams of the group ask for this name."""
        return self.names is None or name in self.names.names

    def current(self, name: str) -> Resource | None:
        """What a client is to hold under the name; None when there is no such resource, or it was not asked for."""
        return self.source.answer(name) if self.covers(name) else None

    def existing(self) -> Batch:
        """The resources that exist under the group's names, without assignments that are made up as an answer."""
        if self.names is None:
            return self.source.everything()
        return Batch(tuple(self.source.among(self.names.names).values()))

    def answers(self, names: frozenset[str]) -> dict[str, Resource]:
        """What a client is to hold under those of the group's names; as `current` for each."""
        return self.source.answers(names if self.names is None else names & self.names.names)

    def append(self, name: str, old: Resource | None, new: Resource | None, cause: Cause) -> None:
        """Log that a name has changed from `old`; the SotW version moves with it."""
        log = self._log
        if len(log) > max(LOG_LIMIT, len(self.subscribers)) and log[-1][2] is not cause:
            self._trim()
        self.sum += (new.digest if new else 0) - (old.digest if old else 0)
        self.count += (new is not None) - (old is not None)
        if new is not None and new.ttl is not None:
            self.expiring[name] = new.ttl
        elif self.expiring:
            self.expiring.pop(name, None)
        log.append((name, old, cause))
        self.end += 1

    def tail(self, position: int) -> list[tuple[str, Resource | None, Cause]]:
        """The log from a position on: (name, what it was before, why it changed)."""
        return self._log[position - self.start :]

    def oldest_change(self, position: int) -> int:
        """The revision of the first change after a position that is not the end."""
        return self._log[position - self.start][2].revision

    def since(self, position: int) -> Batch:
        """What a client at `position` has to be sent; computed once for all that stand there."""
        at = (position, self.source.epoch)
        if self._step is None or self._step_at != at:
            self._step, self._step_at = self._batch(self.tail(position)), at
        return self._step

    def full(self) -> Batch:
        """Everything that the group sees, and which of its names do not exist."""
        if self._full is not None and self._full_epoch == self.source.epoch:
            return self._full
        everything = self._answers() if self.names is not None else self.source.everything()
        if len(self.subscribers) > 1:  # for a single stream it would be kept for nothing
            self._full, self._full_epoch = everything, self.source.epoch
        return everything

    def _batch(self, tail: list[tuple[str, Resource | None, Cause]]) -> Batch:
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
        oldest, newest = tail[0][2], tail[-1][2]
        return Batch(tuple(upserts), tuple(removed), held, newest.revision, oldest.revision, newest.words)

    def _answers(self) -> Batch:
        assert self.names is not None, "a wildcard asks for nothing by name"
        answers = self.source.answers(self.names.names)
        missing = tuple(sorted(self.names.names.difference(answers))) if self.type.removable else ()
        return Batch(tuple([answers[name] for name in sorted(answers)]), missing=missing)

    def _trim(self) -> None:
        """Drop the entries that every stream has passed. This looks at each stream once per as many changes as there
        are streams. A stream that is far behind does not hold up the others: it takes along what it misses.
        """
        far = self.end - max(LOG_LIMIT, len(self.subscribers)) // 2
        for subscriber in self.subscribers:
            if subscriber.position < far:
                subscriber.absorb()
        passed = min((one.position for one in self.subscribers), default=self.end) - self.start
        del self._log[:passed]
        self.start += passed
