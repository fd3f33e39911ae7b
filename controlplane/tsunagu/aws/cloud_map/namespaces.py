"""Cloud Map's operations on namespaces: each is a Namespace of the registry, whether a request, a manifest or a cluster made it.

The one rule: a namespace goes when nothing is in it any more, whoever put it there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tsunagu.aws import pages
from tsunagu.aws.cloud_map import asynchronous, filters, tags
from tsunagu.aws.cloud_map.world import INVALID, Plan
from tsunagu.aws.errors import AwsError
from tsunagu.aws.service import ACCOUNT, Call
from tsunagu.model import cloud_map, ids
from tsunagu.registry.objects import DeleteObject, PutObject
from tsunagu.v1 import objects_pb2

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tsunagu.aws.cloud_map.catalog import Catalog
    from tsunagu.aws.cloud_map.world import World

QUOTA: Final = 50
_PAGE: Final = 100
_CREATES: Final = {
    "CreateHttpNamespace": cloud_map.HTTP,
    "CreatePrivateDnsNamespace": cloud_map.DNS_PRIVATE,
    "CreatePublicDnsNamespace": cloud_map.DNS_PUBLIC,
}
_UPDATES: Final = {
    "UpdateHttpNamespace": cloud_map.HTTP,
    "UpdatePrivateDnsNamespace": cloud_map.DNS_PRIVATE,
    "UpdatePublicDnsNamespace": cloud_map.DNS_PUBLIC,
}


async def create(world: World, call: Call) -> Mapping[str, Any]:
    """CreateHttpNamespace, CreatePrivateDnsNamespace and CreatePublicDnsNamespace."""
    return await world.transact(lambda: _create(world, call))


def _create(world: World, call: Call) -> Plan:
    if (before := asynchronous.repeated(world, call)) is not None:
        return Plan(before)
    asked = call.parameters
    name = asked["Name"]
    if (known := world.catalog.namespace(name)) is not None:
        raise AwsError(
            "NamespaceAlreadyExists",
            f"There is a namespace {name} already.",
            NamespaceId=cloud_map.namespace_id(known),
            CreatorRequestId=known.namespace.creator_request_id,
        )
    if len(list(world.catalog.namespaces())) >= QUOTA:
        raise AwsError("ResourceLimitExceeded", f"There are {QUOTA} namespaces, which is the quota.")
    body = objects_pb2.Namespace(
        type=_CREATES[call.operation],
        id=cloud_map.short_id("ns-", f"{name} {world.clock()!r}"),
        description=asked.get("Description", ""),
        vpc=asked.get("Vpc", ""),
        tags=tags.checked(asked.get("Tags", ()), name),
        creator_request_id=asked.get("CreatorRequestId", ""),
    )
    body.created_at.FromNanoseconds(int(world.clock() * 1e9))
    if (ttl := _soa_ttl(asked)) is not None:
        body.soa_ttl = ttl
    begun = asynchronous.begin(world, call, "CREATE_NAMESPACE", name, {"NAMESPACE": body.id})
    return Plan(begun.result, (PutObject(ids.make("Namespace", name, body), 0), *begun.changes))


async def update(world: World, call: Call) -> Mapping[str, Any]:
    """UpdateHttpNamespace, UpdatePrivateDnsNamespace and UpdatePublicDnsNamespace."""
    return await world.transact(lambda: _update(world, call))


def _update(world: World, call: Call) -> Plan:
    if (before := asynchronous.repeated(world, call)) is not None:
        return Plan(before)
    known = find(world.catalog, call.parameters["Id"])
    kind, wanted = known.namespace.type or cloud_map.HTTP, _UPDATES[call.operation]
    if kind != wanted:
        raise AwsError(INVALID, f"{known.meta.name} is a namespace of type {kind}, not {wanted}.")
    asked = call.parameters["Namespace"]
    changed = objects_pb2.Object()
    changed.CopyFrom(known)
    if "Description" in asked:
        changed.namespace.description = asked["Description"]
    if (ttl := _soa_ttl(asked)) is not None:
        changed.namespace.soa_ttl = ttl
    targets = {"NAMESPACE": cloud_map.namespace_id(known)}
    begun = asynchronous.begin(world, call, "UPDATE_NAMESPACE", known.meta.name, targets)
    return Plan(begun.result, (PutObject(changed, known.meta.revision), *begun.changes))


async def delete(world: World, call: Call) -> Mapping[str, Any]:
    return await world.transact(lambda: _delete(world, call), "ResourceInUse")


def _delete(world: World, call: Call) -> Plan:
    known = find(world.catalog, call.parameters["Id"])
    name = known.meta.name
    if (inside := next(iter(world.catalog.services(name)), None)) is not None:
        raise AwsError("ResourceInUse", f"The namespace has services, e.g. {inside.name}; delete these first.")
    begun = asynchronous.begin(world, call, "DELETE_NAMESPACE", name, {"NAMESPACE": cloud_map.namespace_id(known)})
    return Plan(begun.result, (DeleteObject("Namespace", name, known.meta.revision), *begun.changes))


async def get(world: World, call: Call) -> Mapping[str, Any]:
    catalog = await world.reading()
    known = find(catalog, call.parameters["Id"])
    told = describe(catalog, known, call)
    return {"Namespace": {**told, "CreatorRequestId": known.namespace.creator_request_id}}


async def list_namespaces(world: World, call: Call) -> Mapping[str, Any]:
    catalog = await world.reading()
    meets = filters.matcher(call.parameters.get("Filters", ()))
    found = [known for known in catalog.namespaces() if meets(_filtered(known))]
    shown, token = pages.page(
        found, lambda one: (one.meta.created_revision, one.meta.name), dict(call.parameters), _PAGE, INVALID
    )
    return {"Namespaces": [describe(catalog, known, call) for known in shown], "NextToken": token}


def find(catalog: Catalog, reference: str) -> objects_pb2.Object:
    """Return the namespace that an ID or an ARN means. Raises AwsError; its message is the ID, as AWS's is."""
    known = catalog.namespace_with(reference)
    if known is None:
        raise AwsError("NamespaceNotFound", reference)
    return known


def describe(catalog: Catalog, known: objects_pb2.Object, call: Call) -> dict[str, Any]:
    """Return what is told of a namespace."""
    body, name = known.namespace, known.meta.name
    identifier = cloud_map.namespace_id(known)
    soa = {"SOA": {"TTL": body.soa_ttl}} if body.HasField("soa_ttl") else {}
    dns = {"HostedZoneId": cloud_map.short_id("Z", identifier).upper(), **soa} if _is_dns(body) else {"SOA": {}}
    return {
        "Id": identifier,
        "Arn": call.arn("servicediscovery", f"namespace/{identifier}"),
        "ResourceOwner": ACCOUNT,
        "Name": name,
        "Type": body.type or cloud_map.HTTP,
        "Description": body.description or None,
        "ServiceCount": sum(1 for _ in catalog.services(name)),
        "Properties": {"DnsProperties": dns, "HttpProperties": {"HttpName": name}},
        "CreateDate": body.created_at.ToNanoseconds() / 1e9 if body.HasField("created_at") else None,
    }


def _filtered(known: objects_pb2.Object) -> dict[str, str]:
    kind, name = known.namespace.type or cloud_map.HTTP, known.meta.name
    return {"TYPE": kind, "NAME": name, "HTTP_NAME": name, "RESOURCE_OWNER": filters.owner()}


def _is_dns(body: objects_pb2.Namespace) -> bool:
    return body.type in (cloud_map.DNS_PRIVATE, cloud_map.DNS_PUBLIC)


def _soa_ttl(asked: Mapping[str, Any]) -> int | None:
    ttl: int | None = asked.get("Properties", {}).get("DnsProperties", {}).get("SOA", {}).get("TTL")
    return ttl
