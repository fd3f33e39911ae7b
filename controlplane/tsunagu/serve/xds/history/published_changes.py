"""What is served, as it changes: an event for each type that a publish changes, and the bodies that it replaces.

Rule: the cost of a publish is proportional to what it changes, and none of it grows with the streams.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tsunagu.serve.xds.history.shown_message import Message, message
from tsunagu.serve.xds.history.superseded import Content, Superseded
from tsunagu.serve.xds.timeline import Event
from tsunagu.xds.group import LISTED
from tsunagu.xds.resources import TYPES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tsunagu.serve.xds.timeline import Timeline
    from tsunagu.xds.bundle import BundleUpdate
    from tsunagu.xds.catalog import Catalog


class History:
    """What was served and sent, for as long as it is kept."""

    def __init__(self, timeline: Timeline, wall: Callable[[], float]) -> None:
        self.superseded = Superseded()
        self._timeline = timeline
        self._wall = wall

    def publishing(self, catalog: Catalog, updates: Sequence[BundleUpdate], revision: int, cause: str) -> None:
        """Note what a publish is about to change."""
        sent: dict[str, list[tuple[str, str]]] = {}
        removed: dict[str, list[str]] = {}
        for update in updates:
            for resource in update.upserts:
                old = catalog.resource(update.bundle, resource.type_url, resource.name)
                if old is not None and old.version != resource.version:
                    self.superseded.keep(old)
                sent.setdefault(resource.type_url, []).append((resource.name, resource.version))
            for type_url, name in update.removals:
                self.superseded.keep(catalog.resource(update.bundle, type_url, name))
                removed.setdefault(type_url, []).append(name)
        for type_url in sorted({*sent, *removed}, key=lambda url: catalog.types.of(url).order):
            names, gone = sent.get(type_url, []), removed.get(type_url, [])
            kept = tuple(names[:LISTED])
            self._timeline.record(
                Event(
                    self._timeline.next_sequence,
                    self._wall(),
                    "",
                    type_url,
                    "publish",
                    sent=kept,
                    removed=tuple(gone),
                    cause=cause,
                    revision=revision,
                    more=len(names) - len(kept),
                    own_type="" if type_url in TYPES else catalog.types.of(type_url).short,
                )
            )

    def message(self, catalog: Catalog, sequence: int) -> Message:
        """Return an event as a message. Raises NoSuchEvent."""

        def find(content: Content) -> bytes | None:
            served = catalog.served(*content)
            return served.body if served is not None else self.superseded.get(content)

        return message(self._timeline.events(), sequence, find)
