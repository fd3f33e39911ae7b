"""What a server holds, by group, and a change of it before it is made: the place to say no.

Rule: a check looks at the whole as it would be, and a change is made entirely or not at all. The cost of a check is
that of what changes: references are read once, when a resource comes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from tsunagu.xds import grpc_rules
from tsunagu.xds.references import Reference, references
from tsunagu.xds.resources import CDS, ECDS, EDS, RDS, SDS, type_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from tsunagu.xds.resources import Resource

    #: What a change says: group, type URL, name -> the resource, or None to take it away.
    Steps: TypeAlias = Mapping[tuple[str, str, str], Resource | None]
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

    def __init__(self, *, referring: bool) -> None:
        self._groups: dict[str, dict[Reference, Resource]] = {}
        self._holders: dict[Reference, set[str]] = {}  # in which groups there is one
        self._referrers: dict[Reference, set[tuple[str, Reference]]] = {}  # by whom (group, itself) it is referred to
        self._referring = referring

    def get(self, group: str, key: Reference) -> Resource | None:
        """The resource of a group, or None."""
        return self._groups.get(group, {}).get(key)

    def group(self, group: str) -> list[Resource]:
        """Everything in a group, by type and name."""
        held = self._groups.get(group, {})
        return [held[key] for key in sorted(held, key=lambda key: (type_of(key.type_url).order, key.name))]

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
        for target in references(resource) if self._referring else ():
            self._referrers.setdefault(target, set()).add((group, key))

    def _drop(self, group: str, key: Reference) -> None:
        held = self._groups.get(group, {}).pop(key, None)
        if held is None:
            return
        if not self._groups[group]:
            del self._groups[group]
        _discard(self._holders, key, group)
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


def no_dangling(*types: str) -> Check:
    """A check that everything of these types which is referred to is there: by what comes, and by what stays."""

    def check(proposal: Proposal) -> Iterator[str]:
        for group, resource in proposal.upserts:
            me = Reference(resource.type_url, resource.name)
            for wanted in references(resource):
                if wanted.type_url in types and not proposal.exists(wanted):
                    yield _dangling(group, me, wanted)
        for _, gone in proposal.removals:
            if gone.type_url in types and not proposal.exists(gone):
                for group, who in sorted(proposal.referrers(gone), key=str):
                    yield _dangling(group, who, gone)

    return check


#: Endpoints, routes, secrets and filters that a client would wait for.
dangling: Check = no_dangling(EDS, RDS, SDS, ECDS)
#: The same, and envoy clusters: for those who route to none that is in the bootstrap of their Envoys.
dangling_clusters: Check = no_dangling(EDS, RDS, SDS, ECDS, CDS)


def refused_by_grpc(proposal: Proposal) -> Iterator[str]:
    """A check that a gRPC client would accept it (and not silently ignore a part); for groups that such clients see."""
    for group, resource in proposal.upserts:
        for problem in grpc_rules.problems(resource):
            yield f"{Reference(resource.type_url, resource.name)} of {group!r}: {problem}"


def _dangling(group: str, who: Reference, wanted: Reference) -> str:
    return f"{who} of {group!r} refers to {wanted}, which is not there"


def _discard(table: dict[Reference, set[T]], key: Reference, value: T) -> None:
    values = table[key]
    values.discard(value)
    if not values:
        del table[key]
