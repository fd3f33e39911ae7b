"""Cloud Map's operations on services, and on the attributes of services.

The one rule: a service that Service Connect made is seen, and not edited; what is asked of it is refused with an error that the
operation has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tsunagu.aws import pages
from tsunagu.aws.cloud_map import asynchronous, filters, namespaces, tags
from tsunagu.aws.cloud_map.world import INVALID, Plan
from tsunagu.aws.errors import AwsError
from tsunagu.aws.service import ACCOUNT, Call
from tsunagu.model import cloud_map, ids
from tsunagu.registry.objects import DeleteObject, PutObject
from tsunagu.v1 import objects_pb2

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tsunagu.aws.cloud_map.catalog import Catalog, Entry
    from tsunagu.aws.cloud_map.world import World

ATTRIBUTES: Final = 30
_PAGE: Final = 100


async def create(world: World, call: Call) -> Mapping[str, Any]:
    await world.transact(lambda: _create(world, call))
    known = world.catalog.service(_namespace(world.catalog, call), call.parameters["Name"])
    assert known is not None
    return {"Service": describe(world.catalog, known, call)}


def _create(world: World, call: Call) -> Plan:
    asked = call.parameters
    namespace, name = _namespace(world.catalog, call), asked["Name"]
    token = asked.get("CreatorRequestId", "")
    if (known := world.catalog.service(namespace, name)) is not None:
        before = known.obj.cloud_map_service.creator_request_id if known.obj else ""
        if token and before == token:
            return Plan({})  # the same request again
        raise AwsError(
            "ServiceAlreadyExists",
            f"There is a service {name} in the namespace already.",
            ServiceId=known.id,
            ServiceArn=call.arn("servicediscovery", f"service/{known.id}"),
            CreatorRequestId=before,
        )
    body = objects_pb2.CloudMapService(
        id=cloud_map.short_id("srv-", f"{namespace}/{name} {world.clock()!r}"),
        description=asked.get("Description", ""),
        type=asked.get("Type", ""),
        tags=tags.checked(asked.get("Tags", ()), name),
        creator_request_id=token,
    )
    body.created_at.FromNanoseconds(int(world.clock() * 1e9))
    _configure(body, asked)
    if "HealthCheckCustomConfig" in asked:
        body.health_check_custom_config.SetInParent()
        if (threshold := asked["HealthCheckCustomConfig"].get("FailureThreshold")) is not None:
            body.health_check_custom_config.failure_threshold = threshold
    made = ids.make("CloudMapService", ids.cloud_map_service_name(namespace, name), body)
    return Plan({}, (PutObject(made, 0),))


async def update(world: World, call: Call) -> Mapping[str, Any]:
    return await world.transact(lambda: _update(world, call))


def _update(world: World, call: Call) -> Plan:
    known, obj = editable(world, call, call.parameters["Id"])
    asked = call.parameters["Service"]
    changed = objects_pb2.Object()
    changed.CopyFrom(obj)
    body = changed.cloud_map_service
    if "Description" in asked:
        body.description = asked["Description"]
    policy = body.dns_config.routing_policy
    body.ClearField("dns_config")  # what an update leaves out is deleted (UpdateService); the routing policy stays
    body.ClearField("health_check_config")
    _configure(body, asked)
    if "DnsConfig" in asked:
        body.dns_config.routing_policy = policy
    begun = asynchronous.begin(world, call, "UPDATE_SERVICE", known.namespace, {"SERVICE": known.id})
    return Plan(begun.result, (PutObject(changed, obj.meta.revision), *begun.changes))


async def delete(world: World, call: Call) -> Mapping[str, Any]:
    return await world.transact(lambda: _delete(world, call), "ResourceInUse")


def _delete(world: World, call: Call) -> Plan:
    known, obj = editable(world, call, call.parameters["Id"], "ResourceInUse")
    if world.catalog.count(known):
        raise AwsError("ResourceInUse", "The service has registered instances; deregister these first.")
    return Plan({}, (DeleteObject("CloudMapService", known.key, obj.meta.revision),))


async def get(world: World, call: Call) -> Mapping[str, Any]:
    catalog = await world.reading()
    return {"Service": describe(catalog, find(catalog, call.parameters["Id"]), call)}


async def list_services(world: World, call: Call) -> Mapping[str, Any]:
    catalog = await world.reading()
    meets = filters.matcher(call.parameters.get("Filters", ()))
    found = [
        known
        for known in catalog.services()
        if meets({"NAMESPACE_ID": _namespace_id(catalog, known), "RESOURCE_OWNER": filters.owner()})
    ]
    shown, token = pages.page(found, _place, dict(call.parameters), _PAGE, INVALID)
    return {"Services": [describe(catalog, known, call) for known in shown], "NextToken": token}


async def get_attributes(world: World, call: Call) -> Mapping[str, Any]:
    known = find(await world.reading(), call.parameters["ServiceId"])
    attributes = dict(known.obj.cloud_map_service.attributes) if known.obj else {}
    told = {
        "ServiceArn": call.arn("servicediscovery", f"service/{known.id}"),
        "ResourceOwner": ACCOUNT,
        "Attributes": attributes,
    }
    return {"ServiceAttributes": told}


async def update_attributes(world: World, call: Call) -> Mapping[str, Any]:
    def plan() -> Plan:
        changed = _copy(world, call)
        attributes = changed.cloud_map_service.attributes
        attributes.update(call.parameters["Attributes"])
        if len(attributes) > ATTRIBUTES:
            raise AwsError("ServiceAttributesLimitExceededException", f"A service has at most {ATTRIBUTES} attributes.")
        return Plan({}, (PutObject(changed, changed.meta.revision),))

    return await world.transact(plan)


async def delete_attributes(world: World, call: Call) -> Mapping[str, Any]:
    def plan() -> Plan:
        changed = _copy(world, call)
        for key in call.parameters["Attributes"]:
            changed.cloud_map_service.attributes.pop(key, None)
        return Plan({}, (PutObject(changed, changed.meta.revision),))

    return await world.transact(plan)


def find(catalog: Catalog, reference: str) -> Entry:
    """Return the service that an ID or an ARN means. Raises AwsError; its message is the ID, as AWS's is."""
    known = catalog.service_with(reference)
    if known is None:
        raise AwsError("ServiceNotFound", reference)
    return known


def editable(world: World, call: Call, reference: str, code: str = INVALID) -> tuple[Entry, objects_pb2.Object]:
    """Return a service that was made by hand, and its object. Raises AwsError, with the code for one that was not."""
    known = find(world.catalog, reference)
    if known.obj is None:
        raise AwsError(
            code,
            f"{known.key} is made by Service Connect: {call.operation} has no effect on it; change the ECS service.",
        )
    return known, known.obj


def describe(catalog: Catalog, known: Entry, call: Call) -> dict[str, Any]:
    """Return what is told of a service."""
    told = {
        "Id": known.id,
        "Arn": call.arn("servicediscovery", f"service/{known.id}"),
        "ResourceOwner": ACCOUNT,
        "Name": known.name,
        "NamespaceId": _namespace_id(catalog, known),
        "InstanceCount": catalog.count(known),
        "Type": cloud_map.HTTP,
        "CreatedByAccount": ACCOUNT,
    }
    if known.obj is None:
        return {**told, "Description": "Managed by Service Connect"}
    return {**told, **_by_hand(known.obj.cloud_map_service, _is_dns(catalog, known))}


def _by_hand(body: objects_pb2.CloudMapService, is_dns: bool) -> dict[str, Any]:
    check, custom = body.health_check_config, body.health_check_custom_config
    return {
        "Type": body.type or ("DNS_HTTP" if is_dns and body.HasField("dns_config") else cloud_map.HTTP),
        "Description": body.description or None,
        "DnsConfig": _dns(body.dns_config) if body.HasField("dns_config") else None,
        "HealthCheckConfig": _check(check) if body.HasField("health_check_config") else None,
        "HealthCheckCustomConfig": {"FailureThreshold": custom.failure_threshold or 1}
        if body.HasField("health_check_custom_config")
        else None,
        "CreateDate": body.created_at.ToNanoseconds() / 1e9 if body.HasField("created_at") else None,
        "CreatorRequestId": body.creator_request_id or None,
    }


def _dns(config: objects_pb2.CloudMapDnsConfig) -> dict[str, Any]:
    records = [{"Type": record.type, "TTL": record.ttl} for record in config.dns_records]
    return {"RoutingPolicy": config.routing_policy or "MULTIVALUE", "DnsRecords": records}


def _check(check: objects_pb2.CloudMapHealthCheck) -> dict[str, Any]:
    threshold = check.failure_threshold if check.HasField("failure_threshold") else None
    return {"Type": check.type, "ResourcePath": check.resource_path or None, "FailureThreshold": threshold}


def _configure(body: objects_pb2.CloudMapService, asked: Mapping[str, Any]) -> None:
    """Take the DnsConfig and the HealthCheckConfig of a request."""
    if (dns := asked.get("DnsConfig")) is not None:
        body.dns_config.SetInParent()
        body.dns_config.routing_policy = dns.get("RoutingPolicy", "")
        for record in dns["DnsRecords"]:
            body.dns_config.dns_records.add(type=record["Type"], ttl=record["TTL"])
    if (check := asked.get("HealthCheckConfig")) is not None:
        body.health_check_config.type = check["Type"]
        body.health_check_config.resource_path = check.get("ResourcePath", "")
        if "FailureThreshold" in check:
            body.health_check_config.failure_threshold = check["FailureThreshold"]


def _namespace(catalog: Catalog, call: Call) -> str:
    """The name of the namespace that a service is to be in; DnsConfig may name it, as it did once. Raises AwsError."""
    asked = call.parameters
    reference = asked.get("NamespaceId") or asked.get("DnsConfig", {}).get("NamespaceId")
    if not reference:
        raise AwsError(INVALID, "NamespaceId is missing.")
    return namespaces.find(catalog, reference).meta.name


def _namespace_id(catalog: Catalog, known: Entry) -> str:
    obj = catalog.namespace(known.namespace)
    return cloud_map.namespace_id(obj) if obj is not None else cloud_map.short_id("ns-", known.namespace)


def _is_dns(catalog: Catalog, known: Entry) -> bool:
    obj = catalog.namespace(known.namespace)
    return obj is not None and obj.namespace.type in (cloud_map.DNS_PRIVATE, cloud_map.DNS_PUBLIC)


def _place(known: Entry) -> tuple[int, str]:
    """Those of Service Connect come first: they have been there since their namespace was."""
    return known.obj.meta.created_revision if known.obj else 0, known.key


def _copy(world: World, call: Call) -> objects_pb2.Object:
    _, obj = editable(world, call, call.parameters["ServiceId"])
    changed = objects_pb2.Object()
    changed.CopyFrom(obj)
    return changed
