"""The registry as a command sees it over the API: a mirror that outlives restarts of the control plane.

The one rule: while the control plane is away the last state stays, and `connected` says that it is old.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import grpc
import grpc.aio

from controlplane.model import ids
from controlplane.registry.mirror import Mirror
from controlplane.registry.store import StoreClosed, StoreFailed
from controlplane.serve.registry_errors import NotSynced

if TYPE_CHECKING:
    from controlplane.model.references import State
    from controlplane.registry.mirror import Follower
    from controlplane.registry.objects import Objects

_RETRY_SECONDS = 0.2


class Sight:
    """What is there, by list and watch."""

    def __init__(self, registry: Objects) -> None:
        self._mirror = Mirror(registry)
        self.connected = True

    async def run(self) -> None:
        """Follows the registry until cancelled; a control plane that is away is asked again."""
        while True:
            try:
                await self._mirror.run()
            except (StoreClosed, StoreFailed, NotSynced):  # it is ending, or has just begun
                pass
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise
            self.connected = False
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
        self.connected = True
        return {kind: self._mirror.objects(kind) for kind in ids.KINDS}
