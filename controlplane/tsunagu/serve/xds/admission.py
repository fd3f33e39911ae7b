"""Limits how many newly connected clients get their first response at once, so that a reconnect storm does not delay
established streams.

A thousand first responses at once would lie in gRPC's buffers, each a copy, while nobody else is served. So a stream keeps
its place until its client has reacted to its first response, or for a time limit.

Rule: waiting streams are queued in order of arrival, never refused: a refusal makes Envoy back off (docs/protocol.md 12).
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Admission:
    """Places for `limit` streams. `busy`: how many are taken."""

    def __init__(self, limit: int, longest: float) -> None:
        self.busy = 0
        self._places = asyncio.Semaphore(limit)
        self._longest = longest

    @contextlib.asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a place, and keep it until the `with` block ends, for `longest` seconds at most."""
        await self._places.acquire()
        self.busy += 1
        with contextlib.ExitStack() as place:
            place.callback(self._give_back)
            timer = asyncio.get_running_loop().call_later(self._longest, place.close)
            try:
                yield
            finally:
                timer.cancel()

    def _give_back(self) -> None:
        self.busy -= 1
        self._places.release()
