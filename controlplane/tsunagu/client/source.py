"""The registry as a command sees it over the API: a mirror that outlives restarts of the control plane.

The one rule: while the control plane is away the last state stays.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

import grpc
import grpc.aio

from tsunagu.client.status_errors import NotSynced
from tsunagu.model import ids
from tsunagu.registry.informer import Mirror
from tsunagu.registry.store import StoreClosed, StoreFailed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tsunagu.model.references import State
    from tsunagu.registry.informer import Follower
    from tsunagu.registry.objects import Objects

_RETRY_SECONDS = 0.2
T = TypeVar("T")


#: What a call can raise while the control plane ends, is away, or has just begun; `is_away` tells.
AWAY = (StoreClosed, StoreFailed, NotSynced, grpc.aio.AioRpcError)


#: A server that stops ends the calls that it still has with CANCELLED. (Our own cancelling is a CancelledError.)
_AWAY_STATUS = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)


def is_away(error: Exception) -> bool:
    """Whether the same call can succeed when the control plane is there again."""
    return not isinstance(error, grpc.aio.AioRpcError) or error.code() in _AWAY_STATUS


async def patiently(call: Callable[[], Awaitable[T]]) -> T:
    """The call's answer; it is made again for as long as the control plane is away."""
    while True:
        try:
            return await call()
        except AWAY as error:
            if not is_away(error):
                raise
        await asyncio.sleep(_RETRY_SECONDS)


class Sight:
    """What is there, by list and watch."""

    def __init__(self, registry: Objects) -> None:
        self._mirror = Mirror(registry)

    async def run(self) -> None:
        """Follows the registry until cancelled; a control plane that is away is asked again."""
        while True:
            try:
                await self._mirror.run()
            except AWAY as error:
                if not is_away(error):
                    raise
            await asyncio.sleep(_RETRY_SECONDS)

    def follow(self) -> Follower:
        """First everything, then each change."""
        return self._mirror.follow()

    @property
    def revision(self) -> int:
        return self._mirror.revision

    @property
    def state(self) -> State:
        """Every object by kind and name; shared, not to be changed."""
        return {kind: self._mirror.objects(kind) for kind in ids.KINDS}
