"""Tags of namespaces and services of Cloud Map.

The one rule: a tag is a field of the object that it is on, so what is only a projection has none and takes none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tsunagu.aws.cloud_map.world import INVALID, Plan
from tsunagu.aws.errors import AwsError
from tsunagu.registry.objects import PutObject
from tsunagu.v1 import objects_pb2

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, MutableMapping, Sequence

    from tsunagu.aws.cloud_map.catalog import Catalog
    from tsunagu.aws.cloud_map.world import World
    from tsunagu.aws.service import Call

QUOTA: Final = 50
_RESERVED: Final = "aws:"


async def list_tags(world: World, call: Call) -> Mapping[str, Any]:
    found = _resource(await world.reading(), call.parameters["ResourceARN"])
    given = _tags_of(found) if found is not None else {}
    return {"Tags": [{"Key": key, "Value": given[key]} for key in sorted(given)]}


async def tag(world: World, call: Call) -> Mapping[str, Any]:
    arn = call.parameters["ResourceARN"]
    added = {one["Key"]: one["Value"] for one in call.parameters["Tags"]}
    return await world.transact(lambda: _change(world, arn, lambda tags: tags.update(added)))


async def untag(world: World, call: Call) -> Mapping[str, Any]:
    def remove(tags: MutableMapping[str, str]) -> None:
        for key in call.parameters["TagKeys"]:
            tags.pop(key, None)

    return await world.transact(lambda: _change(world, call.parameters["ResourceARN"], remove))


def checked(tags: Sequence[Mapping[str, str]], resource: str) -> dict[str, str]:
    """Return the tags of a request by their keys. Raises AwsError when there are too many, or one is AWS's own."""
    found = {one["Key"]: one["Value"] for one in tags}
    if len(found) > QUOTA:
        raise AwsError("TooManyTagsException", f"A resource has at most {QUOTA} tags.", ResourceName=resource)
    if reserved := [key for key in found if key.lower().startswith(_RESERVED)]:
        raise AwsError(INVALID, f"Keys of tags may not begin with {_RESERVED}, as {reserved[0]} does.")
    return found


def _change(world: World, arn: str, edit: Callable[[MutableMapping[str, str]], None]) -> Plan:
    known = _resource(world.catalog, arn)
    if known is None:
        raise AwsError(INVALID, f"{arn} is made by Service Connect, and takes no tags.")
    after = dict(_tags_of(known))
    edit(after)
    checked([{"Key": key, "Value": value} for key, value in after.items()], arn)
    changed = objects_pb2.Object()
    changed.CopyFrom(known)
    tags = _tags_of(changed)
    tags.clear()
    tags.update(after)
    return Plan({}, (PutObject(changed, known.meta.revision),))


def _resource(catalog: Catalog, arn: str) -> objects_pb2.Object | None:
    """The object that an ARN means; None when it is a service of Service Connect's. Raises AwsError when it is nothing."""
    if ":namespace/" in arn and (namespace := catalog.namespace_with(arn)) is not None:
        return namespace
    if ":service/" in arn and (entry := catalog.service_with(arn)) is not None:
        return entry.obj
    raise AwsError("ResourceNotFoundException", f"There is no {arn}.")


def _tags_of(obj: objects_pb2.Object) -> MutableMapping[str, str]:
    body = obj.namespace if obj.HasField("namespace") else obj.cloud_map_service
    return body.tags
