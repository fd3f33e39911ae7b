"""All that is served, by bundle, and the index from a change to the streams that it concerns.

Rule: the cost of a change is that of the changed resources and of the streams that asked for them. Of the others only
groups are asked whether they cover the name: those of the same bundle and type, a set look-up each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tsunagu.xds.bundle import SEE_ALL, Bundle, BundleUpdate, Change, Composite, Mask
from tsunagu.xds.group import Group
from tsunagu.xds.resources import same
from tsunagu.xds.subscription import NameTable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tsunagu.xds.resources import Resource, ResourceType
    from tsunagu.xds.session import Session
    from tsunagu.xds.subscription import Subscription


class Catalog:
    """The served state. `revision` is the newest published; before `synced` no session answers anything."""

    def __init__(self) -> None:
        self.revision = 0
        self.synced = False
        self.names = NameTable()
        self.sessions: set[Session] = set()
        self._bundles: dict[str, Bundle] = {}
        self._composites: dict[tuple[tuple[str, ...], Mask], Composite] = {}

    def publish(self, updates: Iterable[BundleUpdate], revision: int, cause: str) -> set[Session]:
        """Take in what has changed and return the sessions that have something to send. Removals come first, so that a
        name in both lists of an update is there after it.
        """
        change = Change(revision, cause)
        touched: dict[Group, None] = {}
        for update in updates:
            bundle = self._bundle(update.bundle)
            for key in update.removals:
                touched.update(dict.fromkeys(self._put(bundle, key, None, change)))
            for resource in update.upserts:
                touched.update(dict.fromkeys(self._put(bundle, (resource.type_url, resource.name), resource, change)))
            self._tidy(bundle)
        self.revision = max(self.revision, revision)
        return {watch.session for group in touched for watch in group.members}

    def mark_synced(self) -> set[Session]:
        """The source has said all that it has: sessions may answer. Returns them."""
        self.synced = True
        return set(self.sessions)

    def resource(self, bundle: str, type_url: str, name: str) -> Resource | None:
        """What a bundle holds under a name."""
        found = self._bundles.get(bundle)
        return found.get(type_url, name) if found else None

    def compose(self, bundles: Sequence[str], mask: Mask = SEE_ALL) -> Composite:
        """The shared view of these bundles; give it back with `release`."""
        key = (tuple(bundles), mask)
        composite = self._composites.get(key)
        if composite is None:
            composite = self._composites[key] = Composite(tuple(self._bundle(name) for name in bundles), mask)
            for bundle in composite.bundles:
                bundle.composites.append(composite)
        composite.users += 1
        return composite

    def release(self, composite: Composite) -> None:
        """One user less; the last one takes the composite with it."""
        composite.users -= 1
        if composite.users:
            return
        del self._composites[composite.key]
        for bundle in composite.bundles:
            bundle.composites.remove(composite)
            self._tidy(bundle)

    def group(self, kind: ResourceType, composite: Composite, subscription: Subscription) -> Group:
        """The group of the streams that ask for the same."""
        groups = composite.groups.setdefault(kind.url, {})
        group = groups.get(subscription.key)
        if group is None:
            group = groups[subscription.key] = Group(kind, composite, subscription.key)
        return group

    def _bundle(self, name: str) -> Bundle:
        bundle = self._bundles.get(name)
        if bundle is None:
            bundle = self._bundles[name] = Bundle(name)
        return bundle

    def _tidy(self, bundle: Bundle) -> None:
        if not bundle.types and not bundle.composites:
            self._bundles.pop(bundle.name, None)

    def _put(self, bundle: Bundle, key: tuple[str, str], resource: Resource | None, change: Change) -> list[Group]:
        type_url, name = key
        held = bundle.get(type_url, name)
        if same(held, resource):
            return []
        before = [(composite, composite.get(type_url, name)) for composite in bundle.composites]
        bundle.put(type_url, name, resource)
        touched: list[Group] = []
        for composite, old in before:
            new = composite.get(type_url, name)
            if not same(old, new):
                touched += composite.changed(old, new, change)
        return touched
