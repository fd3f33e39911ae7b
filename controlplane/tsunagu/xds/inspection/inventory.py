"""Resource by resource: what a client is to hold, and how far it is with each. For operators, not for the wire.

Rule: nothing is kept for this. It is derived from the state of a stream when somebody asks, so a stream pays nothing for
being observed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tsunagu.xds.inspection.status import NACKED, NOT_SENT, RANK, STALE, SYNCED
from tsunagu.xds.resources import SDS, TYPES, same, type_of
from tsunagu.xds.subscription import STAR

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tsunagu.xds.composite import Composite
    from tsunagu.xds.resources import Resource
    from tsunagu.xds.watch import Watch


@dataclass(frozen=True, slots=True)
class ResourceState:
    """One resource of one client. `resource` is what the client is to hold under this name; None: nothing.

    `age`: for how many seconds it has been in this state, or, when it is not in flight, since the last event of its type.
    """

    type_url: str
    name: str
    state: str  # SYNCED, STALE, NACKED, NOT_SENT
    age: float
    resource: Resource | None
    error: str = ""

    @property
    def version(self) -> str:
        """The version that the client is to hold; empty when there is none."""
        return self.resource.version if self.resource else ""

    @property
    def rank(self) -> int:
        """How bad its state is: the higher, the worse."""
        return RANK[self.state]

    @property
    def shown(self) -> bytes:
        """The body that may be shown: empty for a secret."""
        return self.resource.body if self.resource and self.type_url != SDS else b""


def inventory(watch: Watch, now: float) -> Iterator[ResourceState]:
    """Everything of this type that the stream asks for, or still holds, by name."""
    refused = watch.current_rejections()
    in_flight = {name: waiting.sent_at for waiting in watch.outstanding.values() for name in waiting.names}
    held = _diverging(watch)
    for name in sorted(_names(watch).union(refused, in_flight, held) - {STAR}):
        resource = watch.group.current(name)
        if name in refused:
            yield _state(watch, name, NACKED, now - refused[name].at, refused[name].error)
        elif name in in_flight:
            yield _state(watch, name, STALE, now - in_flight[name])
        elif watch.everything or (name in held and held[name] is None and resource is not None):
            yield _state(watch, name, NOT_SENT, now - watch.since)
        else:
            yield _state(watch, name, STALE if name in held else SYNCED, now - watch.since)


def unsent(composite: Composite) -> list[ResourceState]:
    """Everything of all types that a client with this scope would be sent."""
    return [
        ResourceState(url, resource.name, NOT_SENT, 0.0, resource)
        for url in sorted(composite.types(), key=lambda url: type_of(url).order)
        for resource in sorted(composite.view(type_of(url)).everything().upserts, key=lambda resource: resource.name)
    ]


def _state(watch: Watch, name: str, state: str, age: float, error: str = "") -> ResourceState:
    return ResourceState(watch.type.url, name, state, max(0.0, age), watch.group.current(name), error)


def _names(watch: Watch) -> set[str]:
    """What exists, and of a type that we know also what was asked for in vain."""
    names = {resource.name for resource in watch.group.existing().upserts}
    if watch.type.url in TYPES and watch.group.names is not None:
        names |= watch.group.names.names
    return names


def _diverging(watch: Watch) -> dict[str, Resource | None]:
    """The names of which the client holds something else than it should, and what it holds."""
    return {name: held for name, held in watch.missed().items() if not same(watch.group.current(name), held)}
