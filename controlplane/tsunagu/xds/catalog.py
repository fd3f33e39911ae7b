"""All that is served, by bundle, and the index from a change to the streams that it concerns.

Cost of a publish: proportional to the changed resources and their subscribers. Beside these it asks each group of a
view that can see the changed name whether it covers that name, which is one set look-up.

Rule: the catalog names the owners of subscribers that have something to be sent, and never sends.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from tsunagu.xds.bundle import SEE_ALL, Bundle, BundleUpdate, Mask, Shelf
from tsunagu.xds.composite import Composite, TypeView, ViewKey
from tsunagu.xds.group import Cause, Group
from tsunagu.xds.resources import CDS, EDS, same
from tsunagu.xds.subscription import NameTable
from tsunagu.xds.type_table import TypeTable
from tsunagu.xds.waits import Waits

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tsunagu.xds.group import Subscriber
    from tsunagu.xds.resources import Resource, ResourceType
    from tsunagu.xds.subscription import NameSet

Touched: TypeAlias = "dict[Group, None]"  # an ordered set


@dataclass(frozen=True, slots=True)
class CatalogSize:
    """`bytes`: of the bodies. `groups`: of streams that ask for the same; `log_entries`: changes that they remember."""

    resources: int
    bytes: int
    groups: int
    log_entries: int


class Catalog:
    """The served state. `revision` is the newest published; before `synced` no session answers anything.

    `types` are those that the server knows; `waits` for how long ordering rules defer something.
    """

    def __init__(self, types: TypeTable | None = None, waits: Waits | None = None) -> None:
        self.types = types or TypeTable()
        self.waits = waits or Waits()
        self.revision = 0
        self.synced = False
        self.names = NameTable()
        self.owners: set[object] = set()  # everyone to be told when the catalog is synced
        self._bundles: dict[str, Bundle[TypeView]] = {}
        self._composites: dict[tuple[tuple[str, ...], Mask], Composite] = {}
        self._scopes: dict[Bundle[TypeView], dict[Composite, None]] = defaultdict(
            dict
        )  # bundle -> the scopes that have it
        self._views: dict[ViewKey, TypeView] = {}  # Invariant: those that have a group

    # What is served.

    def publish(self, updates: Iterable[BundleUpdate], revision: int, cause: str) -> set[object]:
        """Apply changes and return the owners of the subscribers that have something to be sent. Removals come first:
        a name in both lists of an update exists after it.
        """
        why = Cause(revision, cause)
        touched: Touched = {}
        for update in updates:
            bundle = self._bundle(update.bundle)
            for type_url, name in update.removals:
                touched.update(self._set(bundle, (type_url, name), None, why))
            for resource in update.upserts:
                touched.update(self._set(bundle, (resource.type_url, resource.name), resource, why))
            for type_url, version in update.versions:
                self._shelf(bundle, type_url).version = version
            self._tidy(bundle)
        self.revision = max(self.revision, revision)
        return {subscriber.owner for group in touched for subscriber in group.subscribers}

    def mark_synced(self) -> set[object]:
        """The source has delivered its whole state: sessions may answer. Returns all owners."""
        self.synced = True
        return set(self.owners)

    def resource(self, bundle: str, type_url: str, name: str) -> Resource | None:
        """What a bundle holds under a name."""
        found = self._bundles.get(bundle)
        return found.get(type_url, name) if found else None

    def served(self, type_url: str, name: str, version: str) -> Resource | None:
        """A resource of this content, if any bundle has it. Looks at every bundle."""
        found = (bundle.get(type_url, name) for bundle in self._bundles.values())
        return next((one for one in found if one is not None and one.version == version), None)

    # Scopes.

    def size(self) -> CatalogSize:
        """How much is served, and how much is kept of who asks for it. Looks at every resource."""
        found = [
            resource
            for bundle in self._bundles.values()
            for shelf in bundle.shelves.values()
            for resource in shelf.resources.values()
        ]
        groups = [group for view in self._views.values() for group in view.groups.values()]
        return CatalogSize(
            resources=len(found),
            bytes=sum([len(resource.body) for resource in found]),
            groups=len(groups),
            log_entries=sum([group.end - group.start for group in groups]),
        )

    def compose(self, bundles: Sequence[str], mask: Mask = SEE_ALL) -> Composite:
        """The scope of these bundles; give it back with `release`."""
        key = (tuple(bundles), mask)
        composite = self._composites.get(key)
        if composite is None:
            composite = self._composites[key] = Composite(tuple(self._bundle(name) for name in bundles), mask)
            for bundle in composite.bundles:
                self._scopes[bundle][composite] = None
        composite.users += 1
        return composite

    def release(self, composite: Composite) -> None:
        """End one use of a scope; with the last one it is forgotten."""
        composite.users -= 1
        if composite.users:
            return
        del self._composites[composite.key]
        for bundle in composite.bundles:
            self._scopes[bundle].pop(composite, None)
            self._tidy(bundle)

    # Subscribers.

    def group(self, kind: ResourceType, composite: Composite, names: NameSet | None) -> Group:
        """The group of the streams that read this type so and ask for these names (None: all). A new one is forgotten
        with its last subscriber.
        """
        key = composite.view_key(kind.url)
        view = self._views.get(key)
        if view is None:
            view = self._views[key] = composite.view(kind)
            for shelf in view.shelves:
                shelf.add_reader(view)
        group = view.groups.get(names)
        if group is None:
            group = view.groups[names] = Group(view, names)
        return group

    def join(self, subscriber: Subscriber) -> None:
        """Let a subscriber hear of the changes of its group."""
        subscriber.group.subscribers.add(subscriber)

    def leave(self, subscriber: Subscriber, group: Group) -> None:
        """Let a subscriber hear of a group's changes no more. The last one to leave takes group and view along."""
        group.subscribers.discard(subscriber)
        view = group.source
        if group.subscribers or not isinstance(view, TypeView) or view.groups.get(group.names) is not group:
            return
        del view.groups[group.names]
        if not view.groups and self._views.get(view.key) is view:
            del self._views[view.key]
            for shelf in view.shelves:
                shelf.drop_reader(view)

    # The rest is private.

    def _bundle(self, name: str) -> Bundle[TypeView]:
        bundle = self._bundles.get(name)
        if bundle is None:
            bundle = self._bundles[name] = Bundle(name)
        return bundle

    def _tidy(self, bundle: Bundle[TypeView]) -> None:
        """Forget a bundle that nobody fills and nobody reads."""
        if bundle.empty and not self._scopes.get(bundle):
            self._bundles.pop(bundle.name, None)
            self._scopes.pop(bundle, None)

    def _set(self, bundle: Bundle[TypeView], key: tuple[str, str], resource: Resource | None, cause: Cause) -> Touched:
        """`_put`, under the resource's aliases too. A name that is an alias as well leads to the resource of that name; of
        several resources with one alias, to the one that came last.
        """
        type_url, name = key
        held = bundle.get(type_url, name)
        if resource is None and held is not None and held.alias_of:
            return {}  # another resource's alias: nothing was put here
        touched = self._put(bundle, key, resource, cause)
        before = held.aliases if held is not None else ()
        now = resource.aliases if resource is not None else ()
        for alias in dict.fromkeys((*before, *now)) if before or now else ():
            found = resource.under(alias) if resource is not None and alias in now else None
            there = bundle.get(type_url, alias)
            taken = there is not None and there.alias_of != name and (found is None or not there.alias_of)
            if not taken:
                touched.update(self._put(bundle, (type_url, alias), found, cause))
        return touched

    def _put(self, bundle: Bundle[TypeView], key: tuple[str, str], resource: Resource | None, cause: Cause) -> Touched:
        """Set a resource of a bundle (None removes it); returns the groups that see a difference."""
        type_url, name = key
        touched: Touched = {}
        held = bundle.get(type_url, name)
        if same(held, resource) and (held is None or resource is None or held.born == resource.born):
            return touched
        for url in bundle.needs_shelves(resource) if resource is not None else ():
            self._shelf(bundle, url)
        views = bundle.shelves[type_url].readers(name)
        before = [view.get(name) for view in views]
        bundle.put(type_url, name, resource)
        for view, old in zip(views, before, strict=True):
            new = view.get(name)
            if not same(old, new):
                touched.update(dict.fromkeys(view.changed(name, old, new, cause)))
        if type_url == CDS:
            self._clusters_changed(bundle)
        return touched

    def _clusters_changed(self, bundle: Bundle[TypeView]) -> None:
        """Which assignments are made up as an answer may be different now."""
        endpoints = bundle.shelves.get(EDS)
        for view in endpoints.all_readers() if endpoints is not None else ():
            view.epoch += 1

    def _shelf(self, bundle: Bundle[TypeView], type_url: str) -> Shelf[TypeView]:
        """The shelf of a type, which a bundle gets when it first needs it."""
        if type_url not in bundle.shelves:
            self._add_shelf(bundle, self.types.of(type_url))
        return bundle.shelves[type_url]

    def _add_shelf(self, bundle: Bundle[TypeView], kind: ResourceType) -> None:
        """From now on the bundle can hold a type. The scopes that have the bundle read a wider view of it; there is no
        difference yet, so their streams move to its groups with nothing to be sent.
        """
        scopes = self._scopes.get(bundle, {})
        moving: dict[TypeView, set[Composite]] = defaultdict(set)
        for composite in scopes:
            view = self._views.get(composite.view_key(kind.url))
            if view is not None:
                moving[view].add(composite)
        bundle.shelves[kind.url] = Shelf()
        for view, composites in moving.items():
            for group in list(view.groups.values()):
                self._split(group, composites)

    def _split(self, group: Group, composites: set[Composite]) -> None:
        for subscriber in [one for one in group.subscribers if one.composite in composites]:
            assert isinstance(subscriber.composite, Composite), "composites are the scopes of subscribers"
            subscriber.regroup(self.group(group.type, subscriber.composite, group.names))
            self.join(subscriber)
            self.leave(subscriber, group)
