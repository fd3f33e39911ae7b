"""What proxies of services with `backends` see of their namespace: the same resources in a bundle of their own, fewer of them.

Such a bundle has the aliases of its backends, and the clusters to which requests to those may go; services with the same
backends share it. The one rule: nothing is encoded for it that the namespace's bundle has encoded in the same step, and in a
mesh where no service has backends nothing of this is asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from tsunagu.mesh.indexes import Touched

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tsunagu.mesh.view import Alias, View

    Backends: TypeAlias = "tuple[str, ...]"
    #: Whether a part of a namespace has something in the old View, and in the new
    Seen: TypeAlias = "tuple[bool, bool]"


class Parts:
    """The parts of namespaces in two Views."""

    def __init__(self, old: View, new: View) -> None:
        self._views = (old, new)
        self._none = not any(len(view.tables.limited) for view in self._views)
        self._reachable: dict[tuple[int, str, Backends], frozenset[str]] = {}

    def of(self, namespace: str) -> list[Backends]:
        """The backends of all parts that there are in either View."""
        if self._none:
            return []
        return sorted(frozenset[tuple[str, ...]]().union(*(view.backends(namespace) for view in self._views)))

    def exists(self, namespace: str, backends: Backends) -> Seen:
        old, new = (backends in view.backends(namespace) for view in self._views)
        return old, new

    def has(self, namespace: str, backends: Backends, discovery_name: str) -> Seen:
        """Whether the part has the clusters of a discovery name."""
        return discovery_name in self._reach(0, namespace, backends), discovery_name in self._reach(
            1, namespace, backends
        )

    def has_alias(self, backends: Backends, old: Alias | None, new: Alias | None) -> Seen:
        """Whether the part has an alias, as it is in each View."""
        return self._leads(0, backends, old), self._leads(1, backends, new)

    def also(self, touched: Touched) -> Touched:
        """What is touched, and what parts may have, or have no more, because of it."""
        if self._none or not (touched.ports or touched.aliases or touched.revisions):
            return touched
        found = Touched()
        found.add(touched)
        for namespace in {name for view in self._views for name in view.tables.limited}:
            for backends in self.of(namespace):
                found.ports.update((namespace, name) for name in self._moved(namespace, backends))
                if self.exists(namespace, backends) != (True, True):
                    found.aliases.update(self._aliases(namespace, backends))
        return found

    def _moved(self, namespace: str, backends: Backends) -> frozenset[str]:
        return self._reach(0, namespace, backends) ^ self._reach(1, namespace, backends)

    def _aliases(self, namespace: str, backends: Backends) -> Iterator[tuple[str, str, int]]:
        for view in self._views:
            for alias in view.aliases(namespace):
                if alias.row.discovery_name in backends:
                    yield namespace, alias.dns_name, alias.port

    def _leads(self, index: int, backends: Backends, alias: Alias | None) -> bool:
        if alias is None or alias.row.discovery_name not in backends:
            return False
        return backends in self._views[index].backends(alias.namespace)

    def _reach(self, index: int, namespace: str, backends: Backends) -> frozenset[str]:
        key = (index, namespace, backends)
        if key not in self._reachable:
            view = self._views[index]
            there = backends in view.backends(namespace)
            self._reachable[key] = view.reachable(namespace, backends) if there else frozenset()
        return self._reachable[key]
