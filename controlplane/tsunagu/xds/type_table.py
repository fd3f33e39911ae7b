"""The types that a server knows: xDS's own, and those that its user adds, by url and by short name.

Rule: a word that names no type is an error with the nearest one. A typing mistake in a type would else be a change
that silently does nothing.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, TypeAlias

from tsunagu.xds.resources import TYPES, BadResource, ResourceType, type_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

#: How a caller names a type: its url, its short name (CDS), or the type itself.
TypeName: TypeAlias = str | ResourceType

_PREFIX = "type.googleapis.com/"


class UnknownType(BadResource):
    """A type that the server does not know."""


class TypeTable:
    """A table of resource types. `own`: types beside those of the protocol. Raises ValueError when one is there already."""

    def __init__(self, own: Iterable[ResourceType] = ()) -> None:
        self._by_url: dict[str, ResourceType] = dict(TYPES)
        self._by_word = {kind.short: kind for kind in TYPES.values()}
        for kind in own:
            self._add(kind)

    def __iter__(self) -> Iterator[ResourceType]:
        return iter(self._by_url.values())

    def __contains__(self, url: object) -> bool:
        return url in self._by_url

    def of(self, url: str) -> ResourceType:
        """The type of a url. A client may ask for one that nobody knows: it is listened to."""
        return self._by_url.get(url) or type_of(url)

    def find(self, name: TypeName) -> ResourceType:
        """The type that a caller names. Raises UnknownType."""
        url = name.url if isinstance(name, ResourceType) else name
        kind = self._by_url.get(url) or self._by_word.get(url) or self._by_url.get(_PREFIX + url)
        if kind is None:
            raise UnknownType(f"{url!r} is no type of resource{self._nearest(url)}; the types are {self._words()}")
        return kind

    def _add(self, kind: ResourceType) -> None:
        if not kind.url.partition("/")[2] or not kind.short:
            raise ValueError(f"{kind.url!r}: a type url is {_PREFIX}PACKAGE.MESSAGE, and a type has a short name")
        other = self._by_url.get(kind.url) or self._by_word.get(kind.short)
        if other is not None:
            raise ValueError(f"{kind.short} ({kind.url}) is there already, as {other.short} ({other.url})")
        self._by_url[kind.url] = self._by_word[kind.short] = kind

    def _nearest(self, word: str) -> str:
        words = {**{kind.url: kind.url for kind in self}, **{kind.short: kind.short for kind in self}}
        found = get_close_matches(word.upper(), words, 1) or get_close_matches(word, words, 1)
        return f": is {words[found[0]]} meant?" if found else ""

    def _words(self) -> str:
        return ", ".join(self._by_word)
