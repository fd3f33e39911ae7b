"""Resource by resource: what a client is to have of a type, and how far it is with each. For operators, not for the wire.

Rule: nothing is kept for it. It is read out of the books of a stream when somebody asks, so a stream pays nothing for
being looked at.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tsunagu.xds.resources import SDS, TYPES, same, type_of
from tsunagu.xds.status import NACKED, NOT_SENT, STALE, SYNCED
from tsunagu.xds.subscription import STAR

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tsunagu.xds.bundle import Composite
    from tsunagu.xds.resources import Resource
    from tsunagu.xds.watch import Watch


@dataclass(frozen=True, slots=True)
class ResourceState:
    """One resource of one client. `resource` is what the client is to have now; None: nothing, under this name.

    `age`: for how many seconds it has been so; of what is not in flight, since when its type has not moved.
    """

    type_url: str
    name: str
    state: str  # SYNCED, STALE, NACKED, NOT_SENT
    age: float
    resource: Resource | None
    error: str = ""

    @property
    def version(self) -> str:
        """The version that the client is to have; empty when there is none."""
        return self.resource.version if self.resource else ""

    @property
    def shown(self) -> bytes:
        """The body, for whoever looks: empty for a secret, which nobody is shown."""
        return self.resource.body if self.resource and self.type_url != SDS else b""


def inventory(watch: Watch, now: float) -> Iterator[ResourceState]:
    """Everything that the stream asks for, or has to let go of, of this type, by name."""
    refused = watch.current_rejections()
    in_flight = {name: waiting.sent_at for waiting in watch.outstanding.values() for name in waiting.names}
    lacks = _lacks(watch)
    for name in sorted(_names(watch).union(refused, in_flight, lacks) - {STAR}):
        resource = watch.group.current(name)
        if name in refused:
            yield _state(watch, name, NACKED, now - refused[name].at, refused[name].message)
        elif name in in_flight:
            yield _state(watch, name, STALE, now - in_flight[name])
        elif watch.everything or (name in lacks and lacks[name] is None and resource is not None):
            yield _state(watch, name, NOT_SENT, now - watch.since)
        else:
            yield _state(watch, name, STALE if name in lacks else SYNCED, now - watch.since)


def unsent(composite: Composite) -> list[ResourceState]:
    """What a client with this scope would be offered, of all types."""
    urls = {url for bundle in composite.bundles for url in bundle.types}
    return [
        ResourceState(url, resource.name, NOT_SENT, 0.0, resource)
        for url in sorted(urls, key=lambda url: type_of(url).order)
        for resource in sorted(composite.resources(url), key=lambda resource: resource.name)
    ]


def _state(watch: Watch, name: str, state: str, age: float, error: str = "") -> ResourceState:
    return ResourceState(watch.type.url, name, state, max(0.0, age), watch.group.current(name), error)


def _names(watch: Watch) -> set[str]:
    """What there is, and of a type that we know also what was asked for in vain."""
    names = {resource.name for resource in watch.group.resources()}
    if watch.type.url in TYPES and watch.group.names is not None:
        names |= watch.group.names.names
    return names


def _lacks(watch: Watch) -> dict[str, Resource | None]:
    """What the client has of each name that it has otherwise than it should, as the books say before the next send."""
    held = {name: old for name, old, _ in reversed(watch.group.tail(watch.position))}
    held.update((name, lack.held) for name, lack in (watch.exceptions or {}).items())
    return {name: old for name, old in held.items() if not same(watch.group.current(name), old)}
