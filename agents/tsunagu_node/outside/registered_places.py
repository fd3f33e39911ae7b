"""Which places outside tasks may call, whatever else is forbidden: the addresses of Externals, and of instances that were registered by hand.

Rule: the registry decides. A place is there from when its object is put until that is deleted, healthy or not. An address that is a DNS name
is no place: proxies resolve it.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Iterator
from typing import Final

from tsunagu.model import cloud_map
from tsunagu.model.outside import external
from tsunagu.registry.informer import Informer
from tsunagu_node.runtime.outside import OutsidePlace

KINDS: Final = ("CloudMapInstance", "External")


class Places:
    """The places that these informers' objects say. `instances`: of CloudMapInstance; `externals`: of External."""

    def __init__(self, instances: Informer, externals: Informer) -> None:
        self._instances = instances
        self._externals = externals
        self._changed = asyncio.Event()

    @property
    def informers(self) -> tuple[Informer, Informer]:
        return self._instances, self._externals

    async def follow(self, informer: Informer) -> None:
        """Have whoever iterates look again when this one of the informers has changed. Runs until cancelled."""
        async for _ in informer.follow():
            self._changed.set()

    async def __aiter__(self) -> AsyncIterator[Collection[OutsidePlace]]:
        """Yield all places, whenever they may have changed; first when both kinds are known."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            if self._instances.synced and self._externals.synced:
                yield frozenset((*_registered(self._instances), *_external(self._externals)))


def _registered(instances: Informer) -> Iterator[OutsidePlace]:
    for obj in instances.objects("CloudMapInstance").values():
        address = cloud_map.address_of(obj.cloud_map_instance.attributes)
        if address is not None and not cloud_map.unreachable(address.ip):
            yield OutsidePlace(address.from_tasks, address.port, address.ip)


def _external(externals: Informer) -> Iterator[OutsidePlace]:
    for obj in externals.objects("External").values():
        for one in external.addresses(obj.external):
            if one.is_ip:
                yield OutsidePlace(one.from_tasks, one.port, one.host)
