"""Bundles: resources that many proxies share, so that nothing is kept or encoded per proxy.

Rule: within a scope the first bundle that has a name wins, and everyone whose scope has the same bundles is offered
the same bytes. What a scope must not see is a mask of names, never another body.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Generic, Protocol, TypeVar

from tsunagu.xds.group import Batch
from tsunagu.xds.resources import CDS, EDS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tsunagu.xds.resources import Resource


NEWEST: Final = 2**63 - 1  # later than any revision


@dataclass(frozen=True, slots=True)
class BundleUpdate:
    """One step of a bundle: what is new or changed in it, and what is gone as (type_url, name). `versions` are those of the
    caller's for types as the step leaves them, (type_url, version); without one a type's version is that of its content.
    """

    bundle: str
    upserts: tuple[Resource, ...] = ()
    removals: tuple[tuple[str, str], ...] = ()
    versions: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class NameMask:
    """Names of one type that a scope does not see: the `hidden`, all outside `only` if that is given, and those that were
    born after the revision `until`.
    """

    hidden: frozenset[str] = frozenset()
    only: frozenset[str] | None = None
    until: int = NEWEST

    def hides(self, name: str, born: int) -> bool:
        """True when the scope is told that there is no resource of this name. `born`: of what has the name."""
        return born > self.until or name in self.hidden or (self.only is not None and name not in self.only)


ALL_NAMES = NameMask()


@dataclass(frozen=True, slots=True)
class Mask:
    """Resources that a scope does not see, each (type_url, name): the `hidden`, and all outside `only` if given. `until`:
    (type_url, revision) for types of which it sees only names that were born up to that revision. Such a mask stays the
    same whatever is born later, so nobody has to be given another scope.
    """

    hidden: frozenset[tuple[str, str]] = frozenset()
    only: frozenset[tuple[str, str]] | None = None
    until: frozenset[tuple[str, int]] = frozenset()

    def of(self, type_url: str) -> NameMask:
        """The part of the mask that concerns one type."""
        if not self.hidden and self.only is None and not self.until:
            return ALL_NAMES
        only = None if self.only is None else frozenset(name for url, name in self.only if url == type_url)
        until = min((revision for url, revision in self.until if url == type_url), default=NEWEST)
        mask = NameMask(frozenset(name for url, name in self.hidden if url == type_url), only, until)
        return ALL_NAMES if mask == ALL_NAMES else mask


SEE_ALL = Mask()


@dataclass(frozen=True, slots=True)
class Scope:
    """Who a proxy is and what it may see. `legacy_wildcard` is False for gRPC clients (docs/protocol.md 5).

    `shared_identity`: several streams may authenticate under this name (a gRPC process opens one per target). Each
    counts as its own proxy: NAME#1, NAME#2, ...

    `lookup`: for how many seconds a name that nobody has may be looked for; 0: it is not.

    `sole`: the name belongs to one proxy, which alone counts; of the newest `incarnation` the client that came first.
    """

    proxy: str
    bundles: tuple[str, ...]
    legacy_wildcard: bool = True
    mask: Mask = SEE_ALL
    shared_identity: bool = False
    sole: bool = False
    incarnation: int = 0
    lookup: float = 0.0


class Reader(Protocol):
    """Whoever reads a shelf through a mask (`composite.TypeView`)."""

    mask: NameMask


R = TypeVar("R", bound=Reader)


class Shelf(Generic[R]):
    """The resources of one type in a bundle, and an index of who reads them.

    A shelf of EDS exists as well where a bundle has clusters of type EDS, for these make clients ask for assignments.
    """

    __slots__ = ("_everything", "_restricted", "_unrestricted", "clusters", "resources", "version")

    def __init__(self) -> None:
        self.resources: dict[str, Resource] = {}  # by name, and by alias
        self.version = ""  # the caller's, of what the resources are now; empty: it gave none
        #: of EDS: assignment -> the bundle's clusters that ask for it, and when each was born
        self.clusters: dict[str, dict[str, int]] = {}
        self._everything: Batch | None = None  # Invariant: None, or exactly `resources`, without those under an alias
        self._unrestricted: dict[R, None] = {}  # readers that may see any name
        self._restricted: dict[str, dict[R, None]] = {}  # name -> the readers whose `only` has it

    @property
    def empty(self) -> bool:
        """True when there is nothing on the shelf, and nothing to be told of that."""
        return not (self.resources or self.clusters or self.version)

    def put(self, name: str, resource: Resource | None) -> None:
        """Set a resource; None removes it."""
        self._everything, self.version = None, ""
        if resource is not None:
            self.resources[name] = resource
        else:
            self.resources.pop(name, None)

    def everything(self) -> Batch:
        """All resources of the shelf; made once per change, whatever the number of readers."""
        if self._everything is None:
            self._everything = Batch(tuple([one for one in self.resources.values() if not one.alias_of]))
        return self._everything

    def add_reader(self, reader: R) -> None:
        """Index a reader by what it can see."""
        for index in self._indexes(reader.mask):
            index[reader] = None

    def drop_reader(self, reader: R) -> None:
        """Undo `add_reader`."""
        for index in self._indexes(reader.mask):
            index.pop(reader, None)
        for name in reader.mask.only or ():
            if not self._restricted[name]:
                del self._restricted[name]

    def readers(self, name: str) -> list[R]:
        """Everyone who can see this name, and maybe some from whom it is hidden."""
        return [*self._unrestricted, *self._restricted.get(name, ())]

    def all_readers(self) -> set[R]:
        """Everyone who reads the shelf."""
        return {*self._unrestricted, *(reader for readers in self._restricted.values() for reader in readers)}

    def _indexes(self, mask: NameMask) -> Iterable[dict[R, None]]:
        if mask.only is None:
            return (self._unrestricted,)
        return [self._restricted.setdefault(name, {}) for name in mask.only]


class Bundle(Generic[R]):
    """Resources by type and name. A type has a shelf from its first resource on, for as long as the bundle exists."""

    __slots__ = ("name", "shelves")

    def __init__(self, name: str) -> None:
        self.name = name
        self.shelves: dict[str, Shelf[R]] = {}  # by type url

    @property
    def empty(self) -> bool:
        """True when the bundle holds nothing."""
        return all(shelf.empty for shelf in self.shelves.values())

    def get(self, type_url: str, name: str) -> Resource | None:
        """The resource, or None."""
        shelf = self.shelves.get(type_url)
        return shelf.resources.get(name) if shelf else None

    def needs_shelves(self, resource: Resource) -> list[str]:
        """The types (urls) that lack a shelf which this resource needs."""
        wanted = [resource.type_url, EDS] if resource.type_url == CDS and resource.eds_name else [resource.type_url]
        return [url for url in wanted if url not in self.shelves]

    def put(self, type_url: str, name: str, resource: Resource | None) -> None:
        """Set a resource, whose shelves exist; None removes it."""
        shelf = self.shelves[type_url]
        if type_url == CDS:
            self._index(shelf.resources.get(name), resource)
        shelf.put(name, resource)

    def _index(self, old: Resource | None, new: Resource | None) -> None:
        """Keep `Shelf.clusters` true to a changed cluster."""
        if old is not None and old.eds_name:
            clusters = self.shelves[EDS].clusters
            del clusters[old.eds_name][old.name]
            if not clusters[old.eds_name]:
                del clusters[old.eds_name]
        if new is not None and new.eds_name:
            self.shelves[EDS].clusters.setdefault(new.eds_name, {})[new.name] = new.born
