"""From the registry's informer to what proxies are offered: follow, apply, translate, offer.

The proxies' answers set the pace. A change that comes when nobody owes an answer is offered at once, so a lone change,
and a row of changes that each wait for the one before, has no delay. What comes earlier waits for the answers and is
merged by the informer meanwhile; while that goes on, the publisher rests as long as the answers took, so that a storm takes
half of the machine and not all of it. The one rule: every revision of the registry is offered, by itself or inside a
later one, even when it changes nothing that a proxy sees; the barrier (`Inspector.Wait`) counts on it.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from tsunagu.mesh.bundles import namespace_bundle
from tsunagu.mesh.view import View
from tsunagu.translate.bundles import translate
from tsunagu.translate.codec import Codec
from tsunagu.translate.overlay import Overlay
from tsunagu.xds.resources import Resource

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from tsunagu.kit.clock import Clock
    from tsunagu.mesh.changes import Change
    from tsunagu.registry.informer import Changes
    from tsunagu.v1 import objects_pb2
    from tsunagu.xds.bundle import BundleUpdate

    #: updates, the revision that they bring, the cause in words. Called on the event loop; must not block.
    Offer = Callable[[Sequence[BundleUpdate], int, str], None]
    #: Returns when no proxy owes an answer, after so many seconds at the latest.
    Answered = Callable[[float], Awaitable[None]]

#: Changes of these kinds can change what proxies see; the cause of an offer speaks of them.
_SEEN: Final = ("Task", "Service", "ServiceRevision", "Node", "VirtualAddress", "Namespace")
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
        """`first`: told before the other followers."""
        ...


@dataclass(frozen=True, slots=True)
class Pace:
    """Bounds in seconds: of a rest in a storm, and of the wait for answers and of that rest each."""

    shortest: float = 0.002
    longest: float = 0.05


class Publisher:
    """Runs from the first state of the informer until it is cancelled. Not to be shared between event loops."""

    def __init__(
        self,
        informer: Source,
        offer: Offer,
        *,
        clock: Clock,
        pace: Pace | None = None,
        answered: Answered | None = None,
        on_offered: Callable[[Sequence[Change]], None] | None = None,
    ) -> None:
        self._informer = informer
        self._offer = offer
        self._pace = pace or Pace()
        self._clock = clock
        self._answered = answered
        self._on_offered = on_offered  # told what the view and the offer now have
        self._view = View.empty()
        self._overlay = Overlay()
        self.codec = Codec()

    @property
    def view(self) -> View:
        """The mesh as it was last offered."""
        return self._view

    @property
    def published_revision(self) -> int:
        """The newest revision that proxies are offered; 0 before the first."""
        return self._view.revision

    async def run(self) -> None:
        """Follows the informer for ever."""
        follower = self._informer.follow(first=True)
        waited = False  # the item came before the answers to the one before
        async for item in follower:
            if await self._publish(item):
                await self._pause(rest=waited)
            waited = follower.waiting

    async def _pause(self, *, rest: bool) -> None:
        """Until the proxies have answered; then, in a storm, as long again."""
        begun = self._clock.monotonic()
        if self._answered is not None:
            await self._answered(self._pace.longest)
        if rest:
            took = self._clock.monotonic() - begun
            await self._clock.sleep(min(max(took, self._pace.shortest), self._pace.longest))

    def override(self, namespace: str, type_url: str, name: str, body: bytes) -> int:
        """Lays a raw resource over the namespace's bundle; an empty body takes it away. Gives the offered revision.

        Raises tsunagu.xds.resources.NameMismatch when the body calls itself otherwise.
        """
        bundle = namespace_bundle(namespace)
        if body:
            update: BundleUpdate | None = self._overlay.lay(bundle, Resource.of(type_url, name, body))
        else:
            update = self._overlay.lift(bundle, type_url, name)
        if update is not None:
            self._offer((update,), self._view.revision, f"override of {name} in {namespace}")
        return self._view.revision

    async def _publish(self, item: Changes) -> bool:
        """True when there was something to offer."""
        if len(item.changes) < _MANY:
            view, updates = self._next(item.changes, item.revision)
        else:
            view, updates = await asyncio.to_thread(self._next, item.changes, item.revision)
        self._view = view
        self._offer(self._overlay.follow(updates), item.revision, cause(item.changes))
        if self._on_offered is not None:
            self._on_offered(item.changes)
        return bool(updates)

    def _next(self, changes: Sequence[Change], revision: int) -> tuple[View, tuple[BundleUpdate, ...]]:
        """The next View and what it changes; touches nothing of this object but the codec's counters."""
        view, touched = self._view.apply(changes, revision)
        return view, translate(self._view, view, touched, self.codec)


def cause(changes: Sequence[Change]) -> str:
    """Why something is offered, in words: "Task default/orders-1 RUNNING, Service default/orders and 3 more"."""
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
    stopping = task.spec.desired_status == "STOPPED" and task.status.last_status == "RUNNING"
    unhealthy = " UNHEALTHY" if task.status.health_status == "UNHEALTHY" else ""
    return f"{kind} {name} {'to be STOPPED' if stopping else task.status.last_status or 'created'}{unhealthy}"
