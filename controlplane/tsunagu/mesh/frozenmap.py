"""A map that never changes and whose next version costs what changed, not what it holds.

A View per change of the registry is only affordable when it shares everything untouched with the one before. Keys
are spread over shards; a draft copies the shards that it writes to and no others. The one rule: a sealed map is never
written to again. The order of iteration is undefined: code that shows or encodes a map sorts it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, Generic, TypeVar

V = TypeVar("V")
P = TypeVar("P")  # a provider, in a set of them

# Keys per shard: a write copies one shard (about a microsecond) and the tuple of shards.
_SHARD: Final = 64


class FrozenMap(Mapping[str, V]):
    """An immutable mapping from str to V. `draft()` starts the next version."""

    __slots__ = ("_shards", "_size")

    def __init__(self, shards: tuple[dict[str, V], ...] = ({},), size: int = 0) -> None:
        self._shards = shards
        self._size = size

    @classmethod
    def of(cls, entries: Mapping[str, V]) -> FrozenMap[V]:
        draft: Draft[V] = Draft(FrozenMap())
        for key, value in entries.items():
            draft[key] = value
        return draft.seal()

    def __getitem__(self, key: str) -> V:
        return self._shards[hash(key) & (len(self._shards) - 1)][key]

    def __iter__(self) -> Iterator[str]:
        for shard in self._shards:
            yield from shard

    def __len__(self) -> int:
        return self._size

    def __repr__(self) -> str:
        return f"FrozenMap({dict(sorted(self.items()))!r})"

    def draft(self) -> Draft[V]:
        return Draft(self)


class Draft(Generic[V]):
    """The next version of a FrozenMap while it is written. Used once: drop it after `seal()`.

    Invariant: a shard may be written to only if its index is in `_own`; all others belong to the base too.
    """

    __slots__ = ("_base", "_mask", "_own", "_shards", "_size")

    def __init__(self, base: FrozenMap[V]) -> None:
        self._base = base
        self._shards = list(base._shards)  # noqa: SLF001 - the two classes are one data structure
        self._mask = len(self._shards) - 1
        self._own: set[int] = set()
        self._size = len(base)

    def __len__(self) -> int:
        return self._size

    def __contains__(self, key: str) -> bool:
        return key in self._shards[hash(key) & self._mask]

    def __getitem__(self, key: str) -> V:
        return self._shards[hash(key) & self._mask][key]

    def get(self, key: str) -> V | None:
        return self._shards[hash(key) & self._mask].get(key)

    def values(self) -> Iterator[V]:
        for shard in self._shards:
            yield from shard.values()

    def items(self) -> Iterator[tuple[str, V]]:
        return (item for shard in self._shards for item in shard.items())

    def __setitem__(self, key: str, value: V) -> None:
        shard = self._writable(key)
        self._size += key not in shard
        shard[key] = value
        if self._size > _SHARD * 2 * len(self._shards):
            self._grow()

    def discard(self, key: str) -> V | None:
        """Remove a key and return its value; None if it was not there."""
        if key not in self:
            return None
        self._size -= 1
        return self._writable(key).pop(key)

    def seal(self) -> FrozenMap[V]:
        if not self._own:
            return self._base
        return FrozenMap(tuple(self._shards), self._size)

    def _writable(self, key: str) -> dict[str, V]:
        index = hash(key) & self._mask
        if index not in self._own:
            self._shards[index] = dict(self._shards[index])
            self._own.add(index)
        return self._shards[index]

    def _grow(self) -> None:
        """Copy everything into four times as many shards. The cost is spread over the writes that made it necessary."""
        entries = [pair for shard in self._shards for pair in shard.items()]
        self._shards = [{} for _ in range(len(self._shards) * 4)]
        self._mask = len(self._shards) - 1
        self._own = set(range(len(self._shards)))
        for key, value in entries:
            self._shards[hash(key) & self._mask][key] = value


class NestedDraft(Generic[V]):
    """The next version of a FrozenMap of FrozenMaps. An inner map that is empty at the end is left out."""

    __slots__ = ("_base", "_open")

    def __init__(self, base: FrozenMap[FrozenMap[V]]) -> None:
        self._base = base
        self._open: dict[str, Draft[V]] = {}

    def inner(self, outer: str) -> Draft[V]:
        """Return the inner map to write to. To read only, use `peek`, which opens no draft."""
        draft = self._open.get(outer)
        if draft is None:
            draft = self._open[outer] = self._base.get(outer, FrozenMap[V]()).draft()
        return draft

    def peek(self, outer: str) -> Draft[V] | FrozenMap[V]:
        draft = self._open.get(outer)
        return draft if draft is not None else self._base.get(outer, FrozenMap[V]())

    def seal(self) -> FrozenMap[FrozenMap[V]]:
        draft = self._base.draft()
        for outer, inner in self._open.items():
            sealed = inner.seal()
            if sealed:
                if sealed is not self._base.get(outer):
                    draft[outer] = sealed
            else:
                draft.discard(outer)
        return draft.seal()


def put(table: Draft[V], name: str, row: V | None) -> None:
    if row is None:
        table.discard(name)
    else:
        table[name] = row


def mark(table: Draft[None], name: str, *, present: bool) -> None:
    """Have `name` in a table that is used as a set, or not."""
    if present:
        table[name] = None
    else:
        table.discard(name)


def include(table: Draft[frozenset[P]], name: str, provider: P) -> None:
    table[name] = (table.get(name) or frozenset()) | {provider}


def exclude(table: Draft[frozenset[P]], name: str, provider: P) -> None:
    rest = (table.get(name) or frozenset()) - {provider}
    put(table, name, rest or None)
