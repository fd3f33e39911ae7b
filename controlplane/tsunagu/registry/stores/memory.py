"""The store for tests and for meshes that need not outlive their process. Nothing of it survives a restart."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tsunagu.registry.stores.engine import HISTORY, Engine, Recovered
from tsunagu.registry.stores.leases import boottime

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tsunagu.registry.stores.engine import Record


class MemoryJournal:
    """A journal in which every record is durable at once, as far as memory is."""

    def start(self, settle: Callable[[Sequence[Record]], None], fail: Callable[[str], None]) -> None:
        self._settle = settle

    def append(self, record: Record) -> None:
        self._settle((record,))

    async def close(self) -> None:
        pass


class MemoryStore(Engine):
    """A `Store` in memory. ``history``: revisions kept for watches; ``clock``: seconds, for leases."""

    def __init__(self, history: int = HISTORY, clock: Callable[[], float] = boottime) -> None:
        super().__init__(MemoryJournal(), Recovered(), history, clock)
