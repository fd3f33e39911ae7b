"""From the registry's informer to what proxies are offered: follow, apply, translate, publish.

The proxies' answers set the pace. A change that comes when no proxy has an answer to give is published at once, so a lone
change, and a row of changes that each wait for the one before, has no delay. What comes earlier waits for the answers and
is merged by the informer meanwhile; while that goes on, the publisher rests as long as the answers took, so that a storm
takes half of the machine and not all of it. The one rule: every revision of the registry is published, by itself or
inside a later one, even when it changes nothing that a proxy sees; the barrier (`Inspector.Wait`) counts on it.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from tsunagu.model.statuses import HealthStatus, Status
from tsunagu.translate.bundles import translate
from tsunagu.translate.codec import Codec

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tsunagu.kit.clock import Clock
    from tsunagu.mesh.changes import Change
    from tsunagu.mesh.view import View
    from tsunagu.registry.informer import Changes
    from tsunagu.serve.published import PublishedState
    from tsunagu.v1 import objects_pb2
    from tsunagu.xds.bundle import BundleUpdate

#: Changes of these kinds can change what proxies see; the cause in words names them.
_SEEN: Final = (
    "Task",
    "Service",
    "ServiceRevision",
    "Route",
    "TrafficPolicy",
    "AccessPolicy",
    "Gateway",
    "Node",
    "VirtualAddress",
    "Namespace",
    "CloudMapService",
    "CloudMapInstance",
    "External",
)
_CAUSES: Final = 2  # named in words; the others are counted
_MANY: Final = 20  # changes from which on the work is done off the event loop (up to 20 ms)


class Follower(Protocol):
    """First the whole state, then what changed since the item before."""

    @property
    def waiting(self) -> bool:
        """There is a next item already."""
        ...

    def __aiter__(self) -> Follower: ...
    async def __anext__(self) -> Changes: ...


class Source(Protocol):
    """What is needed of the registry's informer."""

    def follow(self, *, first: bool = False) -> Follower:
        """`first`: notified before the other followers."""
        ...


class Proxies(Protocol):
    """What is needed of the xDS server (`serve.xds.ads.AdsServer`)."""

    def publish(self, updates: Sequence[BundleUpdate], revision: int, cause: str) -> None:
        """Offers the proxies what has changed. Called on the event loop; must not block."""
        ...

    async def answered(self, timeout: float) -> None:
        """Returns when every proxy has answered what it was offered, after ``timeout`` seconds at the latest."""
        ...


@dataclass(frozen=True, slots=True)
class Pace:
    """Bounds in seconds: of a rest in a storm, and of the wait for answers and of that rest each."""

    shortest: float = 0.002
    longest: float = 0.05


class Publisher:
    """Brings each step of the informer's to ``published`` and to ``proxies``, until it is cancelled."""

    def __init__(
        self,
        informer: Source,
        published: PublishedState,
        proxies: Proxies,
        *,
        clock: Clock,
        pace: Pace | None = None,
        on_published: Callable[[Sequence[Change]], None] | None = None,
    ) -> None:
        self._informer = informer
        self._published = published
        self._proxies = proxies
        self._pace = pace or Pace()
        self._clock = clock
        self._on_published = on_published  # is given the changes that have just been published
        self.codec = Codec()

    async def run(self) -> None:
        """Follows the informer for ever."""
        follower = self._informer.follow(first=True)
        waited = False  # the item came before the answers to the one before
        async for item in follower:
            if await self._step(item):
                await self._pause(rest=waited)
            waited = follower.waiting

    async def _pause(self, *, rest: bool) -> None:
        """Until the proxies have answered; then, in a storm, as long again."""
        begun = self._clock.monotonic()
        await self._proxies.answered(self._pace.longest)
        if rest:
            took = self._clock.monotonic() - begun
            await self._clock.sleep(min(max(took, self._pace.shortest), self._pace.longest))

    async def _step(self, item: Changes) -> bool:
        """Publishes one item of the informer's; true when it changes something that a proxy sees."""
        if len(item.changes) < _MANY:
            view, updates = self._next(item.changes, item.revision)
        else:
            view, updates = await asyncio.to_thread(self._next, item.changes, item.revision)
        self._published.advance(view)
        self._proxies.publish(updates, item.revision, cause(item.changes))
        if self._on_published is not None:
            self._on_published(item.changes)
        return bool(updates)

    def _next(self, changes: Sequence[Change], revision: int) -> tuple[View, tuple[BundleUpdate, ...]]:
        """The next View and what it changes; touches nothing of this object but the codec's counters."""
        before = self._published.view
        view, touched = before.apply(changes, revision)
        return view, translate(before, view, touched, self.codec)


def cause(changes: Sequence[Change]) -> str:
    """Why something is published, in words: "Task default/orders-1 RUNNING, Service default/orders and 3 more"."""
    seen = sorted((change for change in changes if change[0] in _SEEN), key=lambda one: (_SEEN.index(one[0]), one[1]))
    words = [_words(kind, name, new) for kind, name, _, new in seen[:_CAUSES]]
    rest = f" and {len(seen) - _CAUSES} more" if len(seen) > _CAUSES else ""
    return ", ".join(words) + rest or "nothing that proxies see"


def _words(kind: str, name: str, new: objects_pb2.Object | None) -> str:
    if new is None:
        return f"{kind} {name} deleted"
    if kind != "Task":
        return f"{kind} {name}"
    task = new.task
    stopping = task.spec.desired_status == Status.STOPPED and task.status.last_status == Status.RUNNING
    unhealthy = " UNHEALTHY" if task.status.health_status == HealthStatus.UNHEALTHY else ""
    return f"{kind} {name} {'to be STOPPED' if stopping else task.status.last_status or 'created'}{unhealthy}"
