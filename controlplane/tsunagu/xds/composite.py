"""What a scope sees: its bundles in their order, read as one, type by type.

Real proxies have one scope per service revision: the namespace's bundle, which all share, and a small one of their
own. So nothing is shared by scope. Each type is read through a `TypeView`, and scopes share a view if the bundles *that
can hold this type*, and the part of the mask that concerns it, are the same: the endpoints of a namespace are one view
for all its service revisions.

Rule: a view exists while a stream subscribes to its type. A change visits the views of its own type alone, and of those
with an `only` mask just the ones whose mask has the name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from tsunagu.xds.bundle import ALL_NAMES, Bundle, Mask, NameMask, Shelf
from tsunagu.xds.group import Batch, Group
from tsunagu.xds.resources import CDS, EDS, empty_endpoints

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tsunagu.xds.group import Cause
    from tsunagu.xds.resources import Resource, ResourceType
    from tsunagu.xds.subscription import NameSet

#: type url, the bundles that have a shelf of it, the mask of its names; for EDS also that of clusters.
ViewKey: TypeAlias = "tuple[str, tuple[str, ...], NameMask, NameMask]"


class TypeView:
    """One type, as the shelves of some bundles hold it, through a mask; and the groups of streams that read it so."""

    __slots__ = ("_cluster_mask", "epoch", "groups", "key", "mask", "shelves", "type")

    def __init__(self, kind: ResourceType, key: ViewKey, shelves: tuple[Shelf[TypeView], ...]) -> None:
        self.type = kind
        self.key = key
        self.shelves = shelves  # in the order of the bundles: the first that has a name wins
        self.mask, self._cluster_mask = key[2:]
        self.epoch = 0
        self.groups: dict[NameSet | None, Group] = {}  # by the names asked for; None: a wildcard

    @property
    def version(self) -> str:
        """The caller's version of what the scopes see of this type; empty where one of the bundles has none."""
        versions = [shelf.version for shelf in self.shelves if not shelf.empty]
        return "" if "" in versions else "+".join(dict.fromkeys(versions))

    def get(self, name: str) -> Resource | None:
        """The resource that the scopes see under this name, or None."""
        unmasked = self.mask is ALL_NAMES
        for shelf in self.shelves:
            resource = shelf.resources.get(name)
            if resource is not None and (unmasked or self._shows(resource)):
                return resource
        return None

    def answer(self, name: str) -> Resource | None:
        """What a client that asks for the name is given. For the endpoints of a cluster that it may see, if there are
        none, that is an empty assignment and never a removal (docs/protocol.md 6).
        """
        resource = self.get(name)
        if resource is None and self.type.url == EDS and self._has_cluster(name):
            return empty_endpoints(name)
        return resource

    def among(self, names: frozenset[str]) -> dict[str, Resource]:
        """The resources that exist of these names, by name. A name that does not exist costs next to nothing: there may be
        tens of thousands of them, in a request of a client that means harm.
        """
        found: dict[str, Resource] = {}
        unmasked = self.mask is ALL_NAMES
        for shelf in self.shelves:
            for name in shelf.resources.keys() & names:
                if unmasked or self._shows(shelf.resources[name]):
                    found.setdefault(name, shelf.resources[name])
        return found

    def answers(self, names: frozenset[str]) -> dict[str, Resource]:
        """What a client that asks for these names is given, as `answer` for each; by name."""
        found = self.among(names)
        if self.type.url == EDS:
            assigned = {name for shelf in self.shelves for name in shelf.clusters.keys() & names} - found.keys()
            found.update((name, empty_endpoints(name)) for name in assigned if self._has_cluster(name))
        return found

    def everything(self) -> Batch:
        """All that the scopes see of this type. What is neither masked nor shadowed is not copied resource by resource."""
        visible = [self._visible(shelf, self.shelves[:at]) for at, shelf in enumerate(self.shelves)]
        return Batch.joined([batch for batch in visible if batch.upserts] or [Batch(())])

    def changed(self, name: str, old: Resource | None, new: Resource | None, cause: Cause) -> Iterator[Group]:
        """Log a change of what the scopes see under a name; yields the groups that ask for it."""
        self.epoch += 1
        resource = new or old
        aliased = resource is not None and resource.alias_of
        for group in self.groups.values():
            if group.covers(name) and not (aliased and group.names is None):  # a wildcard has it by its own name
                group.append(name, old, new, cause)
                yield group

    def _visible(self, shelf: Shelf[TypeView], before: tuple[Shelf[TypeView], ...]) -> Batch:
        if self.mask is ALL_NAMES and all(shelf.resources.keys().isdisjoint(one.resources.keys()) for one in before):
            return shelf.everything()
        return Batch(
            tuple(
                resource
                for name, resource in shelf.resources.items()
                if self._shows(resource) and not (resource.alias_of or self._shadowed(name, before))
            )
        )

    def _shows(self, resource: Resource) -> bool:
        return self.mask is ALL_NAMES or not self.mask.hides(resource.name, resource.born)

    def _shadowed(self, name: str, before: tuple[Shelf[TypeView], ...]) -> bool:
        """True when a bundle that comes first has the name, and shows it."""
        return any((found := one.resources.get(name)) is not None and self._shows(found) for one in before)

    def _has_cluster(self, assignment: str) -> bool:
        """True when the scopes see a cluster that asks for this assignment."""
        clusters = (found for shelf in self.shelves for found in shelf.clusters.get(assignment, {}).items())
        return any(not self._cluster_mask.hides(name, born) for name, born in clusters)


class Composite:
    """The bundles of a scope and its mask; shared by the streams of equal scopes."""

    __slots__ = ("bundles", "key", "mask", "users")

    def __init__(self, bundles: tuple[Bundle[TypeView], ...], mask: Mask) -> None:
        self.bundles = bundles
        self.mask = mask
        self.key = (tuple(bundle.name for bundle in bundles), mask)
        self.users = 0

    def view_key(self, type_url: str) -> ViewKey:
        """What decides which view of a type the scope has; it changes when a bundle gets its first resource of it."""
        names = tuple([bundle.name for bundle in self.bundles if type_url in bundle.shelves])
        clusters = self.mask.of(CDS) if type_url == EDS else ALL_NAMES
        return type_url, names, self.mask.of(type_url), clusters

    def view(self, kind: ResourceType) -> TypeView:
        """A new view of a type."""
        shelves = tuple([bundle.shelves[kind.url] for bundle in self.bundles if kind.url in bundle.shelves])
        return TypeView(kind, self.view_key(kind.url), shelves)

    def types(self) -> set[str]:
        """The urls of the types of which its bundles hold something."""
        return {url for bundle in self.bundles for url, shelf in bundle.shelves.items() if shelf.resources}
