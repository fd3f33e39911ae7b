"""Versions of the caller's, of single resources and of a group's types (SotW's version_info).

Clients compare versions and nothing else: what comes with a version that they have is not sent to them.
Rule: so a version says one content. To give another content the same version is refused, for it would never arrive.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from tsunagu.xds.bodies.references import Reference
from tsunagu.xds.resources import BadResource, Resource

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from tsunagu.serve.library.changes import Change, Key
    from tsunagu.xds.type_table import TypeTable

    #: (group, type URL) -> version; empty: none of the caller's.
    Labels: TypeAlias = Mapping[tuple[str, str], str]


class Versions:
    """The versions that the caller has given to types, by group."""

    def __init__(self, types: TypeTable) -> None:
        self._types = types
        self._labels: Labels = {}

    def labels(self, change: Change, keys: Iterable[Key]) -> Labels:
        """Return what the change, of these resources, makes of the versions of types. Raises BadResource where a version is that of another content."""
        changed = {(group, url) for group, url, _ in keys}
        whole = {(group, kind.url) for group, url in change.versions if not url for kind in self._types}
        labels = {at: change.version_of(*at) for at in {*changed, *whole, *change.versions} if at[1]}
        for (group, url), version in labels.items():
            if version and version == self._labels.get((group, url)) and (group, url) in changed:
                kind = self._types.of(url).short
                raise BadResource(f"{kind} of {group!r} has version {version!r} already: other content needs another")
        return labels

    def keep(self, labels: Labels) -> None:
        """The change was made."""
        self._labels = {at: version for at, version in {**self._labels, **labels}.items() if version}


def check_contents(steps: Mapping[Key, Resource | None], held: Callable[[Key], Resource | None]) -> None:
    """Raises BadResource when a resource comes with the version of what is there, and is another."""
    for key, new in steps.items():
        old = held(key)
        if old is not None and new is not None and old.version == new.version and old != new:
            what = f"{Reference(old.type_url, old.name)} of {key[0]!r}"
            raise BadResource(f"{what} is there with version {new.version!r}: other content needs another")
