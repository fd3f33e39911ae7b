"""DiscoverInstances and DiscoverInstancesRevision: what applications ask Cloud Map, by names.

The one rule: which instances are answered is a pure function of those that there are and of the request; their order is random, so
that whoever takes the first does not always take the same.

Source: AWS Cloud Map API Reference, DiscoverInstances.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any, Final

from tsunagu.aws.errors import AwsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from tsunagu.aws.cloud_map.catalog import Catalog, Entry, Instance
    from tsunagu.aws.cloud_map.world import World
    from tsunagu.aws.service import Call

_RESULTS: Final = 100


async def discover(world: World, call: Call) -> Mapping[str, Any]:
    catalog = await world.reading()
    entry = _named(catalog, call)
    found = selected(catalog.instances(entry), call.parameters)
    most = call.parameters.get("MaxResults", _RESULTS)
    shown = random.sample(found, min(most, len(found)))
    return {
        "Instances": [_summary(entry, instance) for instance in shown],
        "InstancesRevision": catalog.instances_revision(entry),
    }


async def revision(world: World, call: Call) -> Mapping[str, Any]:
    catalog = await world.reading()
    return {"InstancesRevision": catalog.instances_revision(_named(catalog, call))}


def selected(instances: Iterable[Instance], asked: Mapping[str, Any]) -> Sequence[Instance]:
    """Return the instances that a request asks for: all QueryParameters hold; OptionalParameters narrow them if that leaves any;
    then its HealthStatus, by default HEALTHY.
    """
    found = [one for one in instances if _has(one, asked.get("QueryParameters", {}))]
    optional = asked.get("OptionalParameters")
    if optional:
        found = [one for one in found if _has(one, optional)] or found
    return _BY_HEALTH[asked.get("HealthStatus", "HEALTHY")](found)


def _has(instance: Instance, attributes: Mapping[str, str]) -> bool:
    return all(instance.attributes.get(key) == value for key, value in attributes.items())


def _healthy(instances: Sequence[Instance]) -> Sequence[Instance]:
    return [one for one in instances if one.healthy]


_BY_HEALTH: Final[Mapping[str, Callable[[Sequence[Instance]], Sequence[Instance]]]] = {
    "HEALTHY": _healthy,
    "UNHEALTHY": lambda instances: [one for one in instances if not one.healthy],
    "ALL": lambda instances: instances,
    "HEALTHY_OR_ELSE_ALL": lambda instances: _healthy(instances) or instances,
}


def _named(catalog: Catalog, call: Call) -> Entry:
    namespace, name = call.parameters["NamespaceName"], call.parameters["ServiceName"]
    if catalog.namespace(namespace) is None:
        raise AwsError("NamespaceNotFound", f"There is no namespace {namespace}.")
    entry = catalog.service(namespace, name)
    if entry is None:
        raise AwsError("ServiceNotFound", f"There is no service {name} in namespace {namespace}.")
    return entry


def _summary(entry: Entry, instance: Instance) -> dict[str, Any]:
    return {
        "InstanceId": instance.id,
        "NamespaceName": entry.namespace,
        "ServiceName": entry.name,
        "HealthStatus": "HEALTHY" if instance.healthy else "UNHEALTHY",
        "Attributes": instance.attributes,
    }
