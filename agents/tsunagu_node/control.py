"""The node agent's client of the control plane, which may be away at any moment.

Rule: what can be tried again is tried again until it works, later and later; only an answer that would always be the same
is raised (`Refused`). So no caller has a branch for "the control plane is down": it just waits, bounded by its own timeout.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final, TypeVar

import grpc
import grpc.aio

from tsunagu.kit.backoff import Backoff
from tsunagu.kit.log import get
from tsunagu.v1 import inspector_pb2, inspector_pb2_grpc, objects_pb2, registry_pb2, registry_pb2_grpc

_TRANSIENT: Final = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.UNKNOWN,
    },
)
_BACKOFF: Final = Backoff(base=0.05, cap=1.0)
_TIMEOUT: Final = 5.0
_OPTIONS: Final = (
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.enable_http_proxy", 0),
)
_Answer = TypeVar("_Answer")
Objects = Mapping[str, objects_pb2.Object]
log = get("node.control")


class Refused(Exception):
    """The control plane said no, and would again. `code` is gRPC's."""

    def __init__(self, code: grpc.StatusCode, words: str) -> None:
        super().__init__(f"the control plane refused: {words} ({code.name})")
        self.code = code


class ControlPlane:
    """The Registry and the Inspector behind the Unix socket `path`."""

    def __init__(self, path: Path) -> None:
        self._channel = grpc.aio.insecure_channel(f"unix:{path}", options=_OPTIONS)
        self._registry = registry_pb2_grpc.RegistryStub(self._channel)
        self._inspector = inspector_pb2_grpc.InspectorStub(self._channel)

    async def close(self) -> None:
        await self._channel.close()

    async def get(self, kind: str, name: str) -> objects_pb2.Object | None:
        """The object as it is now; None when there is none."""
        request = registry_pb2.GetRequest(kind=kind, name=name)
        try:
            return await self._patiently(lambda: self._registry.Get(request, timeout=_TIMEOUT))
        except Refused as error:
            if error.code is grpc.StatusCode.NOT_FOUND:
                return None
            raise

    async def put(self, obj: objects_pb2.Object, expected: int | None = None) -> int:
        """The revision of the commit. Raises Refused (FAILED_PRECONDITION: `expected` does not hold)."""
        request = registry_pb2.PutRequest(object=obj, expected=expected)
        return (await self._patiently(lambda: self._registry.Put(request, timeout=_TIMEOUT))).revision

    async def write_status(self, name: str, status: objects_pb2.TaskStatus) -> int | None:
        """Makes `status` the task's; the revision of the commit, or None when there is no such task any more."""
        while True:
            obj = await self.get("Task", name)
            if obj is None:
                return None
            if obj.task.status == status:
                return obj.meta.revision
            obj.task.status.CopyFrom(status)
            try:
                return await self.put(obj, obj.meta.revision)
            except Refused as error:
                if error.code is not grpc.StatusCode.FAILED_PRECONDITION:
                    raise

    async def lease(self, lease_id: str, ttl: int) -> None:
        """Grants the lease, or renews it."""
        request = registry_pb2.GrantLeaseRequest(id=lease_id, ttl_seconds=ttl)
        await self._patiently(lambda: self._registry.GrantLease(request, timeout=_TIMEOUT))

    async def keep_lease(self, lease_id: str) -> bool:
        """Renews it; False when it has been lost."""
        request = registry_pb2.KeepLeaseAliveRequest(id=lease_id)
        try:
            await self._patiently(lambda: self._registry.KeepLeaseAlive(request, timeout=_TIMEOUT))
        except Refused:
            return False
        return True

    async def wait(self, revision: int, namespace: str, timeout: float) -> inspector_pb2.WaitResponse:
        """The barrier: answers when every proxy of the namespace has ACKed `revision`, or at the timeout (seconds)."""
        request = inspector_pb2.WaitRequest(revision=revision, namespace=namespace, timeout_seconds=timeout)
        return await self._patiently(lambda: self._inspector.Wait(request, timeout=timeout + _TIMEOUT))

    async def follow(self, kind: str) -> AsyncIterator[Objects]:
        """Every object of a kind, whenever one of them has changed; for ever. What is yielded is not changed later."""
        failures = 0
        while True:
            try:
                async for objects in self._watch(kind):
                    failures = 0
                    yield objects
            except grpc.aio.AioRpcError as error:
                # Compacted as well: list again.
                failures += 1
                log.debug("watch ended", kind=kind, code=error.code().name)
            await asyncio.sleep(_BACKOFF.delay(max(failures, 1)))

    async def _watch(self, kind: str) -> AsyncIterator[Objects]:
        objects, revision = await self._list(kind)
        yield objects
        async for response in self._registry.Watch(registry_pb2.WatchRequest(kind=kind, after=revision)):
            if not response.events:
                continue
            objects = dict(objects)
            for event in response.events:
                if event.deleted:
                    objects.pop(event.object.meta.name, None)
                else:
                    objects[event.object.meta.name] = event.object
            yield objects

    async def _list(self, kind: str) -> tuple[dict[str, objects_pb2.Object], int]:
        objects: dict[str, objects_pb2.Object] = {}
        revision, token = 0, ""
        while True:
            request = registry_pb2.ListRequest(kind=kind, page_token=token)
            page = await self._registry.List(request, timeout=_TIMEOUT)
            objects.update((obj.meta.name, obj) for obj in page.objects)
            revision, token = revision or page.revision, page.next_page_token
            if not token:
                return objects, revision

    async def _patiently(self, call: Callable[[], Awaitable[_Answer]]) -> _Answer:
        failures = 0
        while True:
            try:
                return await call()
            except grpc.aio.AioRpcError as error:
                if error.code() not in _TRANSIENT:
                    raise Refused(error.code(), error.details() or "") from error
                failures += 1
            await asyncio.sleep(_BACKOFF.delay(failures))
