"""What proxies are offered at this moment: written by the publisher, read by everybody else in `serve`.

The one rule: `PublishedState` is written in one place, after each step and between two awaits, so a reader never sees a
View whose bundles the xDS server does not have yet, and needs no lock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tsunagu.mesh.bundles import override_bundle
from tsunagu.mesh.view import View
from tsunagu.model import ids
from tsunagu.xds.bundle import SEE_ALL, BundleUpdate, Mask
from tsunagu.xds.resources import LDS, RDS, Resource

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tsunagu.registry.informer import Informer

    #: updates, the revision that they bring, the cause in words. Called on the event loop; must not block.
    Publish = Callable[[Sequence[BundleUpdate], int, str], None]


class PublishedState:
    """The mesh as it was last published. Invariant: `view` is empty until the first `advance`, and never goes back."""

    def __init__(self) -> None:
        self.view = View.empty()
        self.begun = False  # whether `advance` was ever called: an empty registry is published, too

    @property
    def revision(self) -> int:
        """The newest revision that proxies are offered; 0 before the first."""
        return self.view.revision

    def advance(self, view: View) -> None:
        """The publisher's: from now on proxies are offered this view."""
        self.view, self.begun = view, True


class Scopes:
    """The bundles of each proxy: by what is published, and before that by what the registry has."""

    def __init__(self, published: PublishedState, informer: Informer) -> None:
        self._published = published
        self._informer = informer
        self._early = View.empty()

    def of(self, proxy: str) -> tuple[str, ...] | None:
        """As `View.scope`: None when nobody of that name may connect."""
        return self._view().scope(proxy)

    def mask(self, proxy: str) -> Mask:
        """What the proxy does not see of its bundles. It stays the same for as long as the proxy's task lives."""
        return mask_until(self._view().names_until(proxy))

    def _view(self) -> View:
        if self._published.begun:
            return self._published.view
        if self._early.revision != self._informer.revision:
            everything = [
                (kind, name, None, obj) for kind in ids.KINDS for name, obj in self._informer.objects(kind).items()
            ]
            self._early, _ = View.empty().apply(everything, self._informer.revision)
        return self._early


def mask_until(births: int | None) -> Mask:
    """The mask of aliases that were born later than at that registry revision; None: it hides nothing.

    Clusters and endpoints are not masked: without a listener nothing leads to them, and all proxies share their views.
    """
    return SEE_ALL if births is None else Mask(until=frozenset({(LDS, births), (RDS, births)}))


class Overrides:
    """Raw resources in front of what translation makes, for lessons and tests (a provoked NACK).

    Each namespace has a bundle of them, the first in the scopes of its proxies. Within a scope the first bundle that has a
    name wins, so an override hides what translation says, and when it is cleared that is seen again as it is by then.
    """

    def __init__(self, published: PublishedState, publish: Publish) -> None:
        self._published = published
        self._publish = publish
        self._names: set[tuple[str, str, str]] = set()  # bundle, type URL, name of each override that is set

    def set(self, namespace: str, type_url: str, name: str, body: bytes) -> int:
        """Publishes a raw resource in place of whatever has that name; returns the revision that is published.

        An empty body clears the override. Raises tsunagu.xds.resources.BadResource.
        """
        bundle = override_bundle(namespace)
        key = (bundle, type_url, name)
        if body:
            self._send(namespace, name, BundleUpdate(bundle, (Resource.of(type_url, name, body),)))
            self._names.add(key)
        elif key in self._names:
            self._names.discard(key)
            self._send(namespace, name, BundleUpdate(bundle, (), ((type_url, name),)))
        return self._published.revision

    def _send(self, namespace: str, name: str, update: BundleUpdate) -> None:
        self._publish((update,), self._published.revision, f"override of {name} in {namespace}")
