"""Which places outside the tasks of this node may call: the addresses of instances that were registered by hand.

Rule: the registry decides. A place is there from the registration of an instance to its deregistration, healthy or not.
"""

from collections.abc import AsyncIterator, Collection

from tsunagu.model import cloud_map
from tsunagu.registry.informer import Informer
from tsunagu_node.runtime.contract import OutsidePlace


async def places(instances: Informer) -> AsyncIterator[Collection[OutsidePlace]]:
    """Yield all places, whenever they may have changed. `instances`: of CloudMapInstance."""
    async for _ in instances.follow():
        yield frozenset(
            OutsidePlace(address.from_tasks, address.port, address.ip)
            for obj in instances.objects("CloudMapInstance").values()
            if (address := cloud_map.address_of(obj.cloud_map_instance.attributes)) is not None
            and not cloud_map.unreachable(address.ip)
        )
