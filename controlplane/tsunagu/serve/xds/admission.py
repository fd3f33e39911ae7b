"""A storm of reconnects is let in a few at a time, so that those who are served already are served on.

A thousand first answers at once would lie in grpc's buffers, each a copy, while nobody else hears anything. So a stream
keeps its place until its client has said something to its first answer. Rule: who waits is not refused, for a refusal
makes Envoy back off for long (docs/protocol.md 12); the order is that of arrival; a client that does not answer keeps
its place no longer than `longest` seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Admission:
    """At most `limit` streams at a time are given their first answers. `busy`: how many are now."""

    def __init__(self, limit: int, longest: float) -> None:
        self.busy = 0
        self._places = asyncio.Semaphore(limit)
        self._longest = longest

    @contextlib.asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a place, and have it for a `with` block or for `longest` seconds."""
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
