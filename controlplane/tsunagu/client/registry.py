"""The registry from another process: the methods of `registry.objects.Registry` over the API.

The one rule: an error of the server's registry is raised here as the same class; a status that is not from its table
(UNAVAILABLE, say) is raised as grpc.aio.AioRpcError.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import grpc.aio

from tsunagu.client.status_errors import from_status
from tsunagu.registry.objects import DeleteObject, NotFound, PutObject, update
from tsunagu.v1 import objects_pb2, registry_pb2, registry_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from tsunagu.registry.objects import Events

Object = objects_pb2.Object
T = TypeVar("T")


class RegistryClient:
    """`registry.objects.Objects` over a channel, with leases. ``timeout``: seconds for each call but watches."""

    def __init__(self, channel: grpc.aio.Channel, timeout: float = 30.0) -> None:
        self._stub: registry_pb2_grpc.RegistryAsyncStub = registry_pb2_grpc.RegistryStub(channel)
        self._timeout = timeout

    async def get(self, kind: str, name: str) -> Object | None:
        """A copy of the object, or None."""
        try:
            return await _answer(self._stub.Get(registry_pb2.GetRequest(kind=kind, name=name), timeout=self._timeout))
        except NotFound:
            return None

    async def list(self, kind: str = "", prefix: str = "") -> tuple[list[Object], int]:
        """Objects sorted by kind and name, and the revision after which a watch continues the list.

        A long list comes in pages; that watch also shows what changed between them.
        """
        request = registry_pb2.ListRequest(kind=kind, name_prefix=prefix)
        page = await _answer(self._stub.List(request, timeout=self._timeout))
        objects, revision = list(page.objects), page.revision
        while page.next_page_token:
            request.page_token = page.next_page_token
            page = await _answer(self._stub.List(request, timeout=self._timeout))
            objects += page.objects
        return objects, revision

    async def put(self, obj: Object, expected: int | None = None) -> int:
        """Returns the new revision, or the present one when nothing changed. Raises Conflict, ManifestError."""
        request = registry_pb2.PutRequest(object=obj, expected=expected)
        return (await _answer(self._stub.Put(request, timeout=self._timeout))).revision

    async def delete(self, kind: str, name: str, expected: int | None = None) -> int:
        """Deletes an object and returns the revision; to delete one that is not there changes nothing, and is no error."""
        request = registry_pb2.DeleteRequest(kind=kind, name=name, expected=expected)
        return (await _answer(self._stub.Delete(request, timeout=self._timeout))).revision

    async def batch(self, changes: Sequence[PutObject | DeleteObject]) -> int:
        """Applies all of the changes at one revision, or none."""
        request = registry_pb2.BatchRequest(changes=map(_change, changes))
        return (await _answer(self._stub.Batch(request, timeout=self._timeout))).revision

    async def watch(self, kind: str = "", prefix: str = "", after: int = 0) -> AsyncIterator[Events]:
        """Every change after a revision, one item per revision; without events it is a bookmark. Raises Compacted."""
        request = registry_pb2.WatchRequest(kind=kind, name_prefix=prefix, after=after)
        call = self._stub.Watch(request)
        try:
            async for response in call:
                yield response.revision, [(event.object, event.deleted) for event in response.events]
        except grpc.aio.AioRpcError as error:
            raise from_status(error) from error
        finally:
            call.cancel()

    async def update(self, kind: str, name: str, mutate: Callable[[Object], bool | None], attempts: int = 10) -> Object:
        """Reads, changes and puts until nobody was faster; see `registry.objects.update`."""
        return await update(self, kind, name, mutate, attempts)

    async def grant(self, lease_id: str, ttl: float) -> None:
        """Makes or renews a lease of ``ttl`` whole seconds."""
        request = registry_pb2.GrantLeaseRequest(id=lease_id, ttl_seconds=round(ttl))
        await _answer(self._stub.GrantLease(request, timeout=self._timeout))

    async def keep_alive(self, lease_id: str) -> float:
        """Returns the lease's ttl in seconds. Raises LeaseNotFound."""
        request = registry_pb2.KeepLeaseAliveRequest(id=lease_id)
        return (await _answer(self._stub.KeepLeaseAlive(request, timeout=self._timeout))).ttl_seconds

    async def revoke(self, lease_id: str) -> int:
        """Deletes what lives by the lease. Raises LeaseNotFound."""
        request = registry_pb2.RevokeLeaseRequest(id=lease_id)
        return (await _answer(self._stub.RevokeLease(request, timeout=self._timeout))).revision


async def _answer(call: Awaitable[T]) -> T:
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        raise from_status(error) from error


def _change(change: PutObject | DeleteObject) -> registry_pb2.Change:
    if isinstance(change, PutObject):
        return registry_pb2.Change(put=registry_pb2.PutRequest(object=change.obj, expected=change.expected))
    delete = registry_pb2.DeleteRequest(kind=change.kind, name=change.name, expected=change.expected)
    return registry_pb2.Change(delete=delete)
