"""Writes to a call, so that the call can be ended at any time.

gRPC loses the status of a call on which a write is pending, and a cancelled write stays pending: the client would hear
nothing of the end until the server is gone. Rule: a write on its way may go first, unless it hangs.
"""

from __future__ import annotations

import asyncio
from typing import Any

import grpc.aio

LAST_WRITE = 1.0  # s; a write that hangs for so long, on a client that does not read, does not delay the end


class Writer:
    """The writes of one call. One coroutine writes at a time."""

    __slots__ = ("_busy", "_context", "_owner", "_timer")

    def __init__(self, context: Any) -> None:
        self._context = context
        self._busy = False  # Invariant: True while gRPC has a write
        self._owner: asyncio.Task[Any] | None = None  # to be cancelled after that
        self._timer: asyncio.TimerHandle | None = None  # Invariant: set exactly while `_owner` is

    async def write(self, data: bytes) -> str:
        """Write a message. Returns why that failed; empty: it did not."""
        self._busy = True
        failed = ""
        try:
            await self._context.write(data)
        except (grpc.aio.InternalError, grpc.aio.UsageError) as error:
            failed = f"cannot write: {error}"
        finally:
            self._busy = False
            owner, self._owner = self._owner, None
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
        if owner is not None:
            owner.cancel()
        return failed

    def cancel(self, owner: asyncio.Task[Any]) -> None:
        """Cancel the task of the call, after the write that is on its way."""
        if not self._busy:
            owner.cancel()
            return
        self._owner = owner
        self._timer = asyncio.get_running_loop().call_later(LAST_WRITE, owner.cancel)
