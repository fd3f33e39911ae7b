"""The operations that AWS answers before they are done, and the requests that ask how far one is.

An operation's object is put in the commit of its effect. The one rule: it has succeeded when every proxy of its namespace has
acknowledged that commit, so after a waiter traffic goes where it should; a proxy that does not answer holds it up for half a minute
at most, for what was asked is in the registry from the beginning.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from tsunagu.aws import pages
from tsunagu.aws.cloud_map import filters
from tsunagu.aws.cloud_map.world import INVALID
from tsunagu.aws.errors import AwsError
from tsunagu.aws.service import ACCOUNT, Call
from tsunagu.model import ids
from tsunagu.registry.objects import DeleteObject, PutObject
from tsunagu.v1 import objects_pb2

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tsunagu.aws.cloud_map.world import World

_LONGEST: Final = 30.0  # seconds until an operation counts as done, whatever its proxies say
_KEPT: Final = 1000  # operations
_PAGE: Final = 100


@dataclass(frozen=True, slots=True)
class Begun:
    """An operation that begins now: its ID and what to commit beside its effect."""

    id: str
    changes: tuple[PutObject | DeleteObject, ...]

    @property
    def result(self) -> Mapping[str, Any]:
        return {"OperationId": self.id}


def begin(world: World, call: Call, kind: str, namespace: str, targets: Mapping[str, str]) -> Begun:
    """Return a new operation. `kind`: CREATE_NAMESPACE, ...; `targets`: NAMESPACE, SERVICE, INSTANCE -> ID."""
    identifier = f"{secrets.token_hex(16)}-{secrets.token_hex(4)}"
    body = objects_pb2.CloudMapOperation(
        type=kind,
        targets=targets,
        creator_request_id=_token(call),
        request_digest=_digest(call),
        namespace=namespace,
    )
    body.created_at.FromNanoseconds(int(world.clock() * 1e9))
    put = PutObject(ids.make("CloudMapOperation", identifier, body), 0)
    known = world.informer.objects("CloudMapOperation")
    oldest = sorted(known, key=lambda name: known[name].meta.created_revision)[: max(0, len(known) - _KEPT + 1)]
    return Begun(identifier, (put, *(DeleteObject("CloudMapOperation", name) for name in oldest)))


def repeated(world: World, call: Call) -> Mapping[str, Any] | None:
    """Return the result of the same request, if it was made before; None when it is new.

    Raises AwsError (DuplicateRequest) when another request had its CreatorRequestId.
    """
    token = _token(call)
    if not token:
        return None
    for name, obj in world.informer.objects("CloudMapOperation").items():
        body = obj.cloud_map_operation
        if body.creator_request_id == token and body.request_digest.partition(":")[0] == call.operation:
            if body.request_digest == _digest(call):
                return {"OperationId": name}
            raise AwsError("DuplicateRequest", "Another request had this CreatorRequestId.", DuplicateOperationId=name)
    return None


async def get_operation(world: World, call: Call) -> Mapping[str, Any]:
    await world.reading()
    name = call.parameters["OperationId"]
    obj = world.informer.get("CloudMapOperation", name)
    if obj is None:
        raise AwsError("OperationNotFound", f"There is no operation {name}.")
    body = obj.cloud_map_operation
    described = {
        "Id": name,
        "OwnerAccount": ACCOUNT,
        "Type": body.type,
        "Status": await _status(world, obj),
        "CreateDate": _seconds(body),
        "UpdateDate": _seconds(body),
        "Targets": dict(body.targets),
    }
    return {"Operation": described}


async def list_operations(world: World, call: Call) -> Mapping[str, Any]:
    """The operations in namespaces that there are, the newest ones first."""
    catalog = await world.reading()
    meets = filters.matcher(call.parameters.get("Filters", ()))
    found = []
    for name, obj in sorted(world.informer.objects("CloudMapOperation").items()):
        body = obj.cloud_map_operation
        if catalog.namespace(body.namespace) is None:
            continue
        item = {
            "NAMESPACE_ID": body.targets.get("NAMESPACE", ""),
            "SERVICE_ID": body.targets.get("SERVICE", ""),
            "STATUS": await _status(world, obj),
            "TYPE": body.type,
            "UPDATE_DATE": str(_seconds(body)),
        }
        if meets(item):
            found.append((-obj.meta.created_revision, name, item["STATUS"]))
    shown, token = pages.page(found, lambda one: one[:2], dict(call.parameters), _PAGE, INVALID)
    return {"Operations": [{"Id": name, "Status": status} for _, name, status in shown], "NextToken": token}


async def _status(world: World, obj: objects_pb2.Object) -> str:
    body = obj.cloud_map_operation
    if world.clock() - _seconds(body) > _LONGEST or world.catalog.namespace(body.namespace) is None:
        return "SUCCESS"  # in a namespace that is gone nobody is left who could acknowledge anything
    return "SUCCESS" if await world.converged(obj.meta.created_revision, body.namespace) else "PENDING"


def _seconds(body: objects_pb2.CloudMapOperation) -> float:
    return body.created_at.ToNanoseconds() / 1e9


def _token(call: Call) -> str:
    return str(call.parameters.get("CreatorRequestId") or call.parameters.get("UpdaterRequestId") or "")


def _digest(call: Call) -> str:
    """A text that two requests share if they ask for the same."""
    text = json.dumps(call.parameters, sort_keys=True, default=str)
    return f"{call.operation}:{hashlib.sha256(text.encode()).hexdigest()}"
