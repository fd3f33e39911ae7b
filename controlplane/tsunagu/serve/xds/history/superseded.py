"""Bodies of resources that are served no more, so that a message which brought one can still be shown.

What is served is kept by the catalog, what was sent by the timeline as names and versions. A version is the hash of a
content, so a body is kept once, by reference, whatever the number of streams that were sent it.

Rule: the store is bounded in bytes, the oldest go first, and a secret is never in it: one that was removed must not stay
in memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from tsunagu.xds.resources import SDS

if TYPE_CHECKING:
    from tsunagu.xds.resources import Resource

BYTES: Final = 8 << 20  # that all kept bodies together may hold, about
ENTRY_BYTES: Final = 300  # of an entry, beside its body


class Content(NamedTuple):
    """What names a body: a version is the hash of it, and a caller's own version changes with it."""

    type_url: str
    name: str
    version: str


class Superseded:
    """The store. `bytes` is what it holds, about, and `limit` at most."""

    def __init__(self, limit: int = BYTES) -> None:
        self.bytes = 0
        self._limit = limit
        self._bodies: dict[Content, bytes] = {}  # the oldest first. Invariant: their weights add up to `bytes`

    def keep(self, resource: Resource | None) -> None:
        """Keep the body of a resource that is about to be replaced or removed."""
        if resource is None or resource.type_url == SDS:
            return
        key = Content(resource.type_url, resource.name, resource.version)
        self._drop(key)  # what came back and goes again is the newest
        self._bodies[key] = resource.body
        self.bytes += ENTRY_BYTES + len(resource.body)
        while self.bytes > self._limit:
            self._drop(next(iter(self._bodies)))

    def get(self, content: Content) -> bytes | None:
        """Return a body; None when it is not kept any more."""
        return self._bodies.get(content)

    def _drop(self, key: Content) -> None:
        body = self._bodies.pop(key, None)
        if body is not None:
            self.bytes -= ENTRY_BYTES + len(body)
