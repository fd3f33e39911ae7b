"""AWS Cloud Map as a service of the endpoint: its thirty operations, and what each is answered by.

The one rule: an operation is a function of the world and the call; the model of the service says what it is sent and sends.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from tsunagu.aws.cloud_map import asynchronous, discover, instances, namespaces, services, tags
from tsunagu.aws.cloud_map.world import INVALID
from tsunagu.aws.service import Service

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from tsunagu.aws.cloud_map.world import World
    from tsunagu.aws.service import Call

OPERATIONS: Final[Mapping[str, Callable[[World, Call], Awaitable[Mapping[str, Any]]]]] = {
    "CreateHttpNamespace": namespaces.create,
    "CreatePrivateDnsNamespace": namespaces.create,
    "CreatePublicDnsNamespace": namespaces.create,
    "CreateService": services.create,
    "DeleteNamespace": namespaces.delete,
    "DeleteService": services.delete,
    "DeleteServiceAttributes": services.delete_attributes,
    "DeregisterInstance": instances.deregister,
    "DiscoverInstances": discover.discover,
    "DiscoverInstancesRevision": discover.revision,
    "GetInstance": instances.get,
    "GetInstancesHealthStatus": instances.health,
    "GetNamespace": namespaces.get,
    "GetOperation": asynchronous.get_operation,
    "GetService": services.get,
    "GetServiceAttributes": services.get_attributes,
    "ListInstances": instances.list_instances,
    "ListNamespaces": namespaces.list_namespaces,
    "ListOperations": asynchronous.list_operations,
    "ListServices": services.list_services,
    "ListTagsForResource": tags.list_tags,
    "RegisterInstance": instances.register,
    "TagResource": tags.tag,
    "UntagResource": tags.untag,
    "UpdateHttpNamespace": namespaces.update,
    "UpdateInstanceCustomHealthStatus": instances.update_health,
    "UpdatePrivateDnsNamespace": namespaces.update,
    "UpdatePublicDnsNamespace": namespaces.update,
    "UpdateService": services.update,
    "UpdateServiceAttributes": services.update_attributes,
}


def service(world: World) -> Service:
    """Return Cloud Map over that world."""
    bound = {name: partial(operation, world) for name, operation in OPERATIONS.items()}
    return Service("servicediscovery", bound, INVALID)
