"""What a server holds, by group, and a change of it before it is made: the place to say no.

Rule: a check looks at the whole as it would be, and a change is made entirely or not at all. The cost of a check is
that of what changes: references are read once, when a resource comes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from tsunagu.xds.bodies.references import Reference, references

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from tsunagu.serve.library.changes import Key
    from tsunagu.xds.resources import Resource
    from tsunagu.xds.type_table import TypeTable

    #: What a change says: the resource, or None to take it away.
    Steps: TypeAlias = Mapping[Key, Resource | None]
    #: Says what is wrong with a proposal, each fault in a sentence; none: it may be made.
    Check: TypeAlias = Callable[["Proposal"], Iterable[str]]

T = TypeVar("T")


class Inconsistent(ValueError):
    """A check has said no; nothing was changed. `problems` are its sentences."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class Holdings:
    """Resources by group. `referring`: whether to keep an index of who refers to whom, which checks need."""

    def __init__(self, types: TypeTable, *, referring: bool) -> None:
        self._types = types
        self._groups: dict[str, dict[Reference, Resource]] = {}
        self._holders: dict[Reference, set[str]] = {}  # in which groups there is one
        self._referrers: dict[Reference, set[tuple[str, Reference]]] = {}  # by whom (group, itself) it is referred to
        self._referring = referring
        self._aliases: dict[tuple[str, Reference], str] = {}  # (group, alias) -> the name of the resource

    def get(self, group: str, key: Reference) -> Resource | None:
        """The resource of a group, or None."""
        return self._groups.get(group, {}).get(key)

    @property
    def aliased(self) -> bool:
        """True when any resource has an alias."""
        return bool(self._aliases)

    def owner(self, group: str, key: Reference) -> str | None:
        """The name of the resource that is found by a name or an alias; None: there is none."""
        held = self.get(group, key)
        return held.name if held is not None else self._aliases.get((group, key))

    def groups(self) -> list[str]:
        """The groups in which there is something, sorted."""
        return sorted(self._groups)

    def group(self, group: str) -> list[Resource]:
        """Everything in a group, by type and name."""
        held = self._groups.get(group, {})
        place = self._types.of
        return [held[key] for key in sorted(held, key=lambda key: (place(key.type_url).order, key.type_url, key.name))]

    def holders(self, key: Reference) -> frozenset[str]:
        """The groups in which there is a resource of that type and name."""
        return frozenset(self._holders.get(key, ()))

    def referrers(self, key: Reference) -> frozenset[tuple[str, Reference]]:
        """(group, resource) of all that refer to it."""
        return frozenset(self._referrers.get(key, ()))

    def make(self, steps: Steps) -> None:
        """Take the change in."""
        for (group, type_url, name), resource in steps.items():
            key = Reference(type_url, name)
            self._drop(group, key)
            if resource is not None:
                self._add(group, key, resource)

    def _add(self, group: str, key: Reference, resource: Resource) -> None:
        self._groups.setdefault(group, {})[key] = resource
        self._holders.setdefault(key, set()).add(group)
        for alias in resource.aliases:
            self._aliases[group, Reference(key.type_url, alias)] = resource.name
        for target in references(resource) if self._referring else ():
            self._referrers.setdefault(target, set()).add((group, key))

    def _drop(self, group: str, key: Reference) -> None:
        held = self._groups.get(group, {}).pop(key, None)
        if held is None:
            return
        if not self._groups[group]:
            del self._groups[group]
        _discard(self._holders, key, group)
        for alias in held.aliases:
            if self._aliases.get((group, Reference(key.type_url, alias))) == held.name:  # or another has it by now
                del self._aliases[group, Reference(key.type_url, alias)]
        for target in references(held) if self._referring else ():
            _discard(self._referrers, target, (group, key))


@dataclass(frozen=True)
class Proposal:
    """What there would be after a change."""

    before: Holdings
    steps: Steps

    @property
    def upserts(self) -> list[tuple[str, Resource]]:
        """(group, resource) of what is new or changed."""
        return [(key[0], resource) for key, resource in self.steps.items() if resource is not None]

    @property
    def removals(self) -> list[tuple[str, Reference]]:
        """(group, what) of what is taken away."""
        return [(group, Reference(url, name)) for (group, url, name), resource in self.steps.items() if not resource]

    def exists(self, key: Reference) -> bool:
        """Whether any group would have such a resource: which groups a client sees together is not known here."""
        return key in self._added or any((group, key) not in self._removed for group in self.before.holders(key))

    def referrers(self, key: Reference) -> Iterator[tuple[str, Reference]]:
        """Who of those that are not changed refers to it."""
        return (who for who in self.before.referrers(key) if (who[0], who[1].type_url, who[1].name) not in self.steps)

    @cached_property
    def _added(self) -> frozenset[Reference]:
        return frozenset(Reference(resource.type_url, resource.name) for _, resource in self.upserts)

    @cached_property
    def _removed(self) -> frozenset[tuple[str, Reference]]:
        return frozenset(self.removals)


def _discard(table: dict[Reference, set[T]], key: Reference, value: T) -> None:
    values = table[key]
    values.discard(value)
    if not values:
        del table[key]
