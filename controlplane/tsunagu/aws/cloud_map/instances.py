"""Cloud Map's operations on the instances of a service.

The one rule: an instance that is a task is seen, and not edited: it comes and goes with the task.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tsunagu.aws import pages
from tsunagu.aws.cloud_map import asynchronous, services
from tsunagu.aws.cloud_map.world import INVALID, Plan
from tsunagu.aws.errors import AwsError
from tsunagu.aws.service import ACCOUNT, Call
from tsunagu.model import cloud_map, ids
from tsunagu.registry.objects import DeleteObject, PutObject
from tsunagu.v1 import objects_pb2

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tsunagu.aws.cloud_map.catalog import Catalog, Entry, Instance
    from tsunagu.aws.cloud_map.world import World

OF_A_SERVICE, OF_A_NAMESPACE = 1000, 2000
_PAGE: Final = 100


async def register(world: World, call: Call) -> Mapping[str, Any]:
    return await world.transact(lambda: _register(world, call))


def _register(world: World, call: Call) -> Plan:
    if (before := asynchronous.repeated(world, call)) is not None:
        return Plan(before)
    asked = call.parameters
    entry, _ = services.editable(world, call, asked["ServiceId"], "ResourceInUse")
    instance_id = asked["InstanceId"]
    known = world.catalog.instance(entry, instance_id)
    if known is None:
        _check_quotas(world.catalog, entry)
    elif known.obj is None:
        raise _is_a_task(entry, instance_id, "ResourceInUse")
    body = objects_pb2.CloudMapInstance(
        attributes=asked["Attributes"], creator_request_id=asked.get("CreatorRequestId", "")
    )
    body.created_at.FromNanoseconds(int(world.clock() * 1e9))
    made = ids.make("CloudMapInstance", ids.cloud_map_instance_name(entry.key, instance_id), body)
    begun = asynchronous.begin(world, call, "REGISTER_INSTANCE", entry.namespace, _targets(world, entry, instance_id))
    expected = known.obj.meta.revision if known and known.obj else 0
    return Plan(begun.result, (PutObject(made, expected), *begun.changes))


async def deregister(world: World, call: Call) -> Mapping[str, Any]:
    return await world.transact(lambda: _deregister(world, call))


def _deregister(world: World, call: Call) -> Plan:
    entry = services.find(world.catalog, call.parameters["ServiceId"])
    known = _find(world.catalog, entry, call.parameters["InstanceId"])
    if known.obj is None:
        raise _is_a_task(entry, known.id, "ResourceInUse")
    begun = asynchronous.begin(world, call, "DEREGISTER_INSTANCE", entry.namespace, _targets(world, entry, known.id))
    gone = DeleteObject("CloudMapInstance", known.obj.meta.name, known.obj.meta.revision)
    return Plan(begun.result, (gone, *begun.changes))


async def get(world: World, call: Call) -> Mapping[str, Any]:
    catalog = await world.reading()
    entry = services.find(catalog, call.parameters["ServiceId"])
    known = _find(catalog, entry, call.parameters["InstanceId"])
    token = known.obj.cloud_map_instance.creator_request_id if known.obj else ""
    return {"ResourceOwner": ACCOUNT, "Instance": {**_summary(known), "CreatorRequestId": token or None}}


async def list_instances(world: World, call: Call) -> Mapping[str, Any]:
    catalog = await world.reading()
    entry = services.find(catalog, call.parameters["ServiceId"])
    shown, token = _page(catalog.instances(entry), call)
    return {"ResourceOwner": ACCOUNT, "Instances": [_summary(known) for known in shown], "NextToken": token}


async def health(world: World, call: Call) -> Mapping[str, Any]:
    """GetInstancesHealthStatus: of the named instances, or of all."""
    catalog = await world.reading()
    entry = services.find(catalog, call.parameters["ServiceId"])
    wanted = call.parameters.get("Instances")
    found = catalog.instances(entry) if wanted is None else [_find(catalog, entry, one) for one in wanted]
    shown, token = _page(found, call)
    return {"Status": {known.id: _health(known) for known in shown}, "NextToken": token}


async def update_health(world: World, call: Call) -> Mapping[str, Any]:
    """UpdateInstanceCustomHealthStatus."""
    return await world.transact(lambda: _update_health(world, call))


def _update_health(world: World, call: Call) -> Plan:
    asked = call.parameters
    entry, service = services.editable(world, call, asked["ServiceId"])
    known = _find(world.catalog, entry, asked["InstanceId"])
    if not service.cloud_map_service.HasField("health_check_custom_config"):
        raise AwsError("CustomHealthNotFound", "The service has no HealthCheckCustomConfig.")
    if known.obj is None:
        raise _is_a_task(entry, known.id, INVALID)
    changed = objects_pb2.Object()
    changed.CopyFrom(known.obj)
    changed.cloud_map_instance.custom_health_status = asked["Status"]
    return Plan({}, (PutObject(changed, known.obj.meta.revision),))


def _find(catalog: Catalog, entry: Entry, instance_id: str) -> Instance:
    known = catalog.instance(entry, instance_id)
    if known is None:
        raise AwsError("InstanceNotFound", instance_id)
    return known


def _is_a_task(entry: Entry, instance_id: str, code: str) -> AwsError:
    return AwsError(code, f"{instance_id} of {entry.key} is a task: ECS registers and deregisters it.")


def _check_quotas(catalog: Catalog, entry: Entry) -> None:
    if catalog.count(entry) >= OF_A_SERVICE:
        raise AwsError("ResourceLimitExceeded", f"The service has {OF_A_SERVICE} instances, which is the quota.")
    if sum(map(catalog.count, catalog.services(entry.namespace))) >= OF_A_NAMESPACE:
        raise AwsError("ResourceLimitExceeded", f"The namespace has {OF_A_NAMESPACE} instances, which is the quota.")


def _targets(world: World, entry: Entry, instance_id: str) -> dict[str, str]:
    namespace = world.catalog.namespace(entry.namespace)
    assert namespace is not None
    return {"NAMESPACE": cloud_map.namespace_id(namespace), "SERVICE": entry.id, "INSTANCE": instance_id}


def _page(found: list[Instance], call: Call) -> tuple[list[Instance], str | None]:
    return pages.page(found, lambda one: (one.place, one.id), dict(call.parameters), _PAGE, INVALID)


def _summary(known: Instance) -> dict[str, Any]:
    return {"Id": known.id, "Attributes": known.attributes, "CreatedByAccount": ACCOUNT}


def _health(known: Instance) -> str:
    return "HEALTHY" if known.healthy else "UNHEALTHY"
