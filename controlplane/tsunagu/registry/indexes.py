"""Named indexes over the objects of an informer: "the tasks of this service" without looking at every task.

A key function says under which keys an object is found, as in Kubernetes' client-go. The one rule: an index is only ever
changed together with the objects, so the two never disagree, and it is read live: no copy is made for a reader.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from tsunagu.v1.objects_pb2 import Object

_NOTHING: Mapping[str, Object] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Index:
    """Objects of one kind under the keys that ``keys`` gives for each; an object without keys is not in the index."""

    name: str
    kind: str
    keys: Callable[[Object], Iterable[str]]


class IndexedObjects:
    """What one index holds. Invariant: every key has at least one object."""

    def __init__(self, index: Index) -> None:
        self.index = index
        self._objects: dict[str, dict[str, Object]] = {}

    def get(self, key: str) -> Mapping[str, Object]:
        """The objects under a key by name, live, in no order; empty when there are none."""
        found = self._objects.get(key)
        return MappingProxyType(found) if found is not None else _NOTHING

    def replace(self, name: str, old: Object | None, new: Object | None) -> None:
        """Takes ``new`` in place of ``old``; None stands for "there is none"."""
        if old is not None:
            for key in self.index.keys(old):
                self._remove(key, name)
        if new is not None:
            for key in self.index.keys(new):
                self._objects.setdefault(key, {})[name] = new

    def _remove(self, key: str, name: str) -> None:
        found = self._objects[key]
        found.pop(name, None)
        if not found:
            del self._objects[key]
