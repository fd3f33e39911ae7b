"""What a proxy sees is composed of shared bundles: never a snapshot per proxy.

Rule: a (type, name) has one content server-wide, whatever bundles hold it. What a scope does not see is a mask of
names, not another body. So one change is encoded once, and everyone whose scope has the bundle is offered the same
bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tsunagu.xds.resources import CDS, EDS, Resource, empty_endpoints

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tsunagu.xds.group import Group
    from tsunagu.xds.subscription import NameSet


@dataclass(frozen=True, slots=True)
class BundleUpdate:
    """One step of a bundle: what is new or changed in it, and what is gone as (type_url, name)."""

    bundle: str
    upserts: tuple[Resource, ...] = ()
    removals: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Mask:
    """Names that a scope does not see, each (type_url, name): the `hidden`, and all outside `only` if that is given."""

    hidden: frozenset[tuple[str, str]] = frozenset()
    only: frozenset[tuple[str, str]] | None = None

    def hides(self, type_url: str, name: str) -> bool:
        """True when the scope is to be told that there is no such resource."""
        key = (type_url, name)
        return key in self.hidden or (self.only is not None and key not in self.only)


SEE_ALL = Mask()


@dataclass(frozen=True, slots=True)
class Scope:
    """Who a proxy is and what it may see. `legacy_wildcard` is False for gRPC clients (docs/protocol.md 5).

    A `crowd` shares one name and one bootstrap, as the processes and targets of a gRPC program do: each of its streams is
    a proxy of its own, NAME#1, NAME#2 and so on.
    """

    proxy: str
    bundles: tuple[str, ...]
    legacy_wildcard: bool = True
    mask: Mask = SEE_ALL
    crowd: bool = False


@dataclass(frozen=True, slots=True)
class Change:
    """Why something is sent: the registry's revision that brought it, and its cause in words."""

    revision: int
    cause: str


class Bundle:
    """Resources by type and name, shared by every scope that has the bundle."""

    __slots__ = ("composites", "name", "types")

    def __init__(self, name: str) -> None:
        self.name = name
        self.types: dict[str, dict[str, Resource]] = {}
        self.composites: list[Composite] = []

    def get(self, type_url: str, name: str) -> Resource | None:
        """The resource, or None."""
        resources = self.types.get(type_url)
        return resources.get(name) if resources else None

    def put(self, type_url: str, name: str, resource: Resource | None) -> None:
        """Set a resource; None takes it away."""
        resources = self.types.setdefault(type_url, {})
        if resource is not None:
            resources[name] = resource
        elif resources.pop(name, None) is not None and not resources:
            del self.types[type_url]


class Composite:
    """The bundles of a scope, read as one, through its mask. Streams of the same scope share it, and its groups."""

    __slots__ = ("_assigned", "bundles", "epoch", "groups", "key", "mask", "users")

    def __init__(self, bundles: tuple[Bundle, ...], mask: Mask) -> None:
        self.bundles = bundles
        self.mask = mask
        self.key = (tuple(bundle.name for bundle in bundles), mask)
        self.users = 0
        self.epoch = 0  # moves with every visible change: what is memoised of a composite holds for one epoch
        self.groups: dict[str, dict[NameSet | None, Group]] = {}  # type url -> names (None: wildcard) -> group
        self._assigned: dict[str, int] = {}  # EDS name -> how many clusters of the scope ask for it
        for cluster in self.resources(CDS):
            self._assign(cluster, 1)

    def get(self, type_url: str, name: str) -> Resource | None:
        """The resource that the scope sees under this name, or None."""
        if self.mask is not SEE_ALL and self.mask.hides(type_url, name):
            return None
        for bundle in self.bundles:
            resource = bundle.get(type_url, name)
            if resource is not None:
                return resource
        return None

    def answer(self, type_url: str, name: str) -> Resource | None:
        """What a client that asks for the name is given: for the endpoints of a cluster that it may see, if there
        are none, an empty assignment and never a removal (docs/protocol.md 6).
        """
        resource = self.get(type_url, name)
        if resource is None and type_url == EDS and name in self._assigned:
            return empty_endpoints(name)
        return resource

    def resources(self, type_url: str) -> Iterator[Resource]:
        """Everything of a type that the scope sees, each name once."""
        seen: set[str] = set()
        several = len(self.bundles) > 1
        for bundle in self.bundles:
            for name, resource in bundle.types.get(type_url, {}).items():
                if name in seen or (self.mask is not SEE_ALL and self.mask.hides(type_url, name)):
                    continue
                if several:
                    seen.add(name)
                yield resource

    def changed(self, old: Resource | None, new: Resource | None, change: Change) -> Iterator[Group]:
        """Tell the groups that what the scope sees of one name has changed; yields those that it touches."""
        self.epoch += 1
        resource = new or old
        assert resource is not None, "a change has two sides, one at least is something"
        if resource.type_url == CDS:
            self._assign(old, -1)
            self._assign(new, 1)
        for group in self.groups.get(resource.type_url, {}).values():
            if group.covers(resource.name):
                group.append(resource.name, old, new, change)
                yield group

    def _assign(self, cluster: Resource | None, step: int) -> None:
        name = cluster.eds_name if cluster is not None else ""
        if not name:
            return
        count = self._assigned.get(name, 0) + step
        if count:
            self._assigned[name] = count
        else:
            self._assigned.pop(name, None)
