"""Names that nobody has, while somebody looks for them.

A client that asks on demand has a request that waits. "There is no such resource" would fail it, although whoever runs
the server may be about to make one. So in delta such a name is held back, as if the client had not asked for it yet, until
the edge has looked or the time for that is over. In SotW what does not exist has no answer, so nothing is held back.

Rule: every name that is held back is asked for in the end, and the number of them is bounded.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tsunagu.xds.requests.decode import Request
from tsunagu.xds.subscription import STAR

if TYPE_CHECKING:
    from tsunagu.xds.composite import Composite

HELD_BACK = 1000  # names of a stream; what it asks for beyond that is answered at once, and not looked for


class Lookups:
    """The names of one stream that are looked for."""

    __slots__ = ("_until",)

    def __init__(self) -> None:
        self._until: dict[tuple[str, str], float] = {}  # (type url, name) -> when it is asked for, found or not

    @property
    def deadline(self) -> float | None:
        """When the time for the first of them is over."""
        return min(self._until.values()) if self._until else None

    def missing(self, request: Request, known: frozenset[str], composite: Composite) -> list[str]:
        """Return the names in a request, but for those `known`, under which no bundle has anything."""
        shelves = [
            bundle.shelves[request.type_url] for bundle in composite.bundles if request.type_url in bundle.shelves
        ]
        asked = [name for name in dict.fromkeys(request.names) if name != STAR and name not in known]
        missing = [name for name in asked if not any(name in shelf.resources for shelf in shelves)]
        return missing[: max(0, HELD_BACK - len(self._until))]

    def hold_back(self, request: Request, names: list[str], until: float) -> Request:
        """Return what remains of a delta request without these names."""
        if request.initial or not names:  # a client that comes back is told what has changed
            return request
        self._until.update({(request.type_url, name): until for name in names})
        rest = [name for name in request.names if (request.type_url, name) not in self._until]
        return replace(request, names=rest)

    def unsubscribe(self, type_url: str, names: list[str]) -> None:
        """The client does not want these any more."""
        for name in names:
            self._until.pop((type_url, name), None)

    def found(self, type_url: str, names: tuple[str, ...]) -> Request | None:
        """Somebody has looked for these names; returns the request for them, as far as they are still held back."""
        asked = [name for name in names if self._until.pop((type_url, name), None) is not None]
        return Request(type_url, asked, nonce="", error=None, node=None, dropped=[]) if asked else None

    def overdue(self, now: float) -> list[Request]:
        """Return requests for the names whose time is over."""
        if not self._until:
            return []
        late: dict[str, list[str]] = {}
        for (type_url, name), until in self._until.items():
            if until <= now:
                late.setdefault(type_url, []).append(name)
        found = [self.found(type_url, tuple(names)) for type_url, names in late.items()]
        return [request for request in found if request is not None]
