"""Raw resources laid over what translation makes, for lessons and tests (a provoked NACK).

The one rule: an overlaid name hides what translation says of it, and taking the overlay away brings back what
translation says now. To know that, the overlay keeps a reference to every resource that was offered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tsunagu.xds.bundle import BundleUpdate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tsunagu.xds.resources import Resource

    Key = tuple[str, str, str]  # bundle, type URL, name


class Overlay:
    """The resources of all bundles as translation last made them, and those laid over them."""

    def __init__(self) -> None:
        self._made: dict[Key, Resource] = {}
        self._laid: dict[Key, Resource] = {}

    def follow(self, updates: Sequence[BundleUpdate]) -> tuple[BundleUpdate, ...]:
        """What to offer of translation's updates: all but the names that are overlaid."""
        for update in updates:
            self._remember(update)
        if not self._laid:
            return tuple(updates)
        visible = (self._visible(update) for update in updates)
        return tuple(update for update in visible if update.upserts or update.removals)

    def lay(self, bundle: str, resource: Resource) -> BundleUpdate:
        """Show this in place of whatever translation says."""
        self._laid[bundle, resource.type_url, resource.name] = resource
        return BundleUpdate(bundle, (resource,))

    def lift(self, bundle: str, type_url: str, name: str) -> BundleUpdate | None:
        """Show again what translation says; None when nothing was laid there."""
        key = (bundle, type_url, name)
        if self._laid.pop(key, None) is None:
            return None
        made = self._made.get(key)
        return BundleUpdate(bundle, (made,)) if made is not None else BundleUpdate(bundle, (), ((type_url, name),))

    def _remember(self, update: BundleUpdate) -> None:
        for resource in update.upserts:
            self._made[update.bundle, resource.type_url, resource.name] = resource
        for type_url, name in update.removals:
            self._made.pop((update.bundle, type_url, name), None)

    def _visible(self, update: BundleUpdate) -> BundleUpdate:
        upserts = (one for one in update.upserts if (update.bundle, one.type_url, one.name) not in self._laid)
        removals = (one for one in update.removals if (update.bundle, *one) not in self._laid)
        return BundleUpdate(update.bundle, tuple(upserts), tuple(removals))
