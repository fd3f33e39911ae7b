"""Whom proxies trust, for all tasks of a node: what the trust bundles of the registry say now.

Rule: it holds the latest state; whoever waits for a newer one gets the newest, and never a backlog.
"""

import asyncio
from collections.abc import Mapping

from tsunagu.registry.informer import Informer
from tsunagu.v1 import objects_pb2
from tsunagu_node.identity.schedule import Trusted, trusted


class Trust:
    """`now`: what the bundles say; `version` grows with each change, 0: nothing is known yet."""

    def __init__(self) -> None:
        self.now = Trusted()
        self.version = 0
        self._changed = asyncio.Condition()

    async def follow(self, bundles: Informer) -> None:
        """Learn every change, until cancelled."""
        async for _ in bundles.follow():
            await self.learn(bundles.objects("TrustBundle"))

    async def learn(self, bundles: Mapping[str, objects_pb2.Object]) -> None:
        """Take these for all that there are."""
        found = trusted({name: obj.trust_bundle for name, obj in bundles.items()})
        async with self._changed:
            if found != self.now or not self.version:
                self.now = found
                self.version += 1
                self._changed.notify_all()

    async def newer(self, version: int) -> None:
        """Wait until `self.version` is greater than `version`."""
        async with self._changed:
            await self._changed.wait_for(lambda: self.version > version)
