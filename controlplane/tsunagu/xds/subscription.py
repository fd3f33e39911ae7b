"""What a stream asks for of one type: names, a wildcard, or both. Only this module knows how a subscription changes.

Rule: sets of names are immutable and interned. A thousand streams that ask for the same thousand names keep them once, and
a stream that changes its subscription in the same way as the one before finds the resulting set ready.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary, ref

if TYPE_CHECKING:
    from collections.abc import Iterable

STAR = "*"
EMPTY: frozenset[str] = frozenset()


class NameSet:
    """An interned set of names, to be compared by identity.

    `step` remembers the last step out of it, by a weak reference to the result: a strong one would keep every set of a
    client that asks for one name after the other.
    """

    __slots__ = ("__weakref__", "_last", "names")

    def __init__(self, names: frozenset[str]) -> None:
        self.names = names
        self._last: tuple[frozenset[str], frozenset[str], ref[NameSet]] | None = None

    def step(self, table: NameTable, add: frozenset[str], drop: frozenset[str]) -> NameSet:
        """Return (names - drop) | add. All streams that take the same step share its result."""
        last = self._last
        known = last[2]() if last is not None and last[0] == add and last[1] == drop else None
        if known is not None:
            return known
        result = table.of((self.names - drop) | add)
        if result is not self:
            self._last = (add, drop, ref(result))
        return result


class NameTable:
    """All sets of names in use, each once."""

    def __init__(self) -> None:
        self._sets: WeakValueDictionary[frozenset[str], NameSet] = WeakValueDictionary()
        self.empty = NameSet(EMPTY)
        self._sets[EMPTY] = self.empty

    def of(self, names: Iterable[str]) -> NameSet:
        """Return the set of these names; a name given twice counts once."""
        key = frozenset(names)
        found = self._sets.get(key)
        if found is None:
            found = self._sets[key] = NameSet(key)
        return found


class Wildcard(Enum):
    """Whether and how a client asks for everything: by an empty first request, or by the name `*` (docs/protocol.md 5)."""

    NONE = 0
    LEGACY = 1
    EXPLICIT = 2


@dataclass(frozen=True, slots=True)
class Subscription:
    """What a stream asks for of one type."""

    wildcard: Wildcard
    names: NameSet

    @property
    def key(self) -> NameSet | None:
        """The names of the group; None for a wildcard, which covers every name."""
        return None if self.wildcard is not Wildcard.NONE else self.names

    @property
    def asked(self) -> frozenset[str]:
        """The names, with `*` for a wildcard of either kind."""
        return self.names.names if self.wildcard is Wildcard.NONE else self.names.names | {STAR}

    @property
    def nothing(self) -> bool:
        """True when no name is asked for."""
        return self.wildcard is Wildcard.NONE and not self.names.names

    def covers(self, name: str) -> bool:
        """True when the client asks for this name."""
        return self.wildcard is not Wildcard.NONE or name in self.names.names


def first(names: list[str], table: NameTable, *, legacy: bool) -> Subscription:
    """Return the subscription of the first request of a type. Empty, it is a wildcard if `legacy` holds."""
    if not names:
        return Subscription(Wildcard.LEGACY if legacy else Wildcard.NONE, table.empty)
    wildcard, plain = _without_star(names)
    return Subscription(wildcard, table.of(plain))


def replace(now: Subscription, names: list[str], table: NameTable) -> Subscription:
    """SotW: `names` is the whole subscription. An empty list keeps a legacy wildcard for as long as no name was ever
    sent, and means "nothing" from then on; `*` stays a wildcard only while it is in the list.
    """
    if not names and now.wildcard is Wildcard.LEGACY:
        return now
    wildcard, wanted = _without_star(names)
    if wildcard is now.wildcard and wanted == now.names.names:
        return now
    plain = now.names.step(table, wanted - now.names.names, now.names.names - wanted)
    return Subscription(wildcard, plain)


def adjust(now: Subscription, add: list[str], drop: list[str], table: NameTable) -> Subscription:
    """Delta: names come and go by themselves. A legacy wildcard stays whatever names are added; only an unsubscribe of
    `*` ends it. A name in both lists is subscribed.
    """
    wildcard = now.wildcard
    if STAR in drop:
        wildcard = Wildcard.NONE
    if STAR in add:
        wildcard = Wildcard.EXPLICIT
    star = {STAR}
    added = frozenset(add) - star
    return Subscription(wildcard, now.names.step(table, added, frozenset(drop) - added - star))


def _without_star(names: list[str]) -> tuple[Wildcard, frozenset[str]]:
    """Return whether `*` is among the names, and the others. Each ACK of SotW bears a thousand names: no loop in Python."""
    wanted = frozenset(names)
    return (Wildcard.EXPLICIT, wanted - {STAR}) if STAR in wanted else (Wildcard.NONE, wanted)
