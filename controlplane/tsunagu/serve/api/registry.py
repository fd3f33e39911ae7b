"""The Registry API: `tsunagu.v1.Registry` over the registry of this process.

What users write is validated before it is stored, against everything else as it is at that moment. The one rule: each
validation and its commit happen under one lock, over an informer that has caught up, so that no two of them can
contradict each other; what agents write (status, leases) never waits for that lock.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tsunagu.client.limits import COMMIT_BYTES, OBJECT_BYTES
from tsunagu.client.status_errors import ERRORS, NotSynced, TooManyWatches, abort
from tsunagu.model import ids
from tsunagu.model.errors import Issue, ManifestError
from tsunagu.model.rules.validate import check_batch
from tsunagu.registry.objects import DeleteObject, NotFound, PutObject, decode, key_prefix
from tsunagu.registry.store import InvalidCommit
from tsunagu.v1 import objects_pb2, registry_pb2, registry_pb2_grpc

if TYPE_CHECKING:
    import grpc.aio

    from tsunagu.registry.informer import Informer
    from tsunagu.registry.objects import ObjectWatch, Registry
    from tsunagu.registry.store import Entry

NAME = registry_pb2.DESCRIPTOR.services_by_name["Registry"].full_name

Object = objects_pb2.Object
State = Mapping[str, Mapping[str, Object]]
#: The issues with putting objects and deleting others (kind, name), all at once, in a state.
Validate = Callable[[Iterable[Object], Iterable[tuple[str, str]], State], list[Issue]]
ObjectChange = PutObject | DeleteObject
Context = Any  # grpc.aio.ServicerContext


@dataclass(frozen=True, slots=True)
class Limits:
    """What one client may ask of the server."""

    page_bytes: int = 3 * 1024 * 1024  # of objects in one page of a list: gRPC's clients take 4 MiB
    object_bytes: int = OBJECT_BYTES
    commit_bytes: int = COMMIT_BYTES
    watches: int = 256  # open at once
    bookmark_seconds: float = 5.0  # how often a quiet watch gets a bookmark
    lease_seconds: int = 3600  # the longest term
    catch_up_seconds: float = 5.0  # for the informer, before a user's change is refused


class RegistryService(registry_pb2_grpc.RegistryServicer):
    """Register it with `register`. ``validate`` is asked about every change of a kind that users write."""

    def __init__(
        self,
        registry: Registry,
        informer: Informer,
        validate: Validate = check_batch,
        limits: Limits | None = None,
    ) -> None:
        self._registry = registry
        self._informer = informer
        self._validate = validate
        self._limits = limits or Limits()
        self._validating = asyncio.Lock()
        self._watches: set[ObjectWatch] = set()

    def register(self, server: grpc.aio.Server) -> None:
        registry_pb2_grpc.add_RegistryServicer_to_server(self, server)

    def close(self) -> None:
        """Ends every watch with UNAVAILABLE, so that its client looks for the next server."""
        for watch in self._watches:
            watch.close()

    async def Get(self, request: registry_pb2.GetRequest, context: Context) -> Object:  # noqa: N802
        try:
            obj = await self._registry.get(request.kind, request.name)
            if obj is None:
                raise NotFound(request.kind, request.name)
        except ERRORS as error:
            await abort(context, error)
        return obj

    async def List(self, request: registry_pb2.ListRequest, context: Context) -> registry_pb2.ListResponse:  # noqa: N802
        try:
            return await self._page(request)
        except ERRORS as error:
            await abort(context, error)

    async def Put(self, request: registry_pb2.PutRequest, context: Context) -> registry_pb2.CommitResponse:  # noqa: N802
        try:
            return await self._commit((_put(request),))
        except ERRORS as error:
            await abort(context, error)

    async def Delete(  # noqa: N802
        self, request: registry_pb2.DeleteRequest, context: Context
    ) -> registry_pb2.CommitResponse:
        try:
            return await self._commit((_delete(request),))
        except ERRORS as error:
            await abort(context, error)

    async def Batch(self, request: registry_pb2.BatchRequest, context: Context) -> registry_pb2.CommitResponse:  # noqa: N802
        try:
            return await self._commit([_change(change) for change in request.changes])
        except ERRORS as error:
            await abort(context, error)

    async def Watch(  # noqa: N802
        self, request: registry_pb2.WatchRequest, context: Context
    ) -> AsyncIterator[registry_pb2.WatchResponse]:
        watch: ObjectWatch | None = None
        try:
            watch = self._open_watch(request)
            async for response in self._responses(watch):
                yield response
        except ERRORS as error:
            await abort(context, error)
        finally:
            if watch is not None:
                self._watches.discard(watch)

    async def GrantLease(self, request: registry_pb2.GrantLeaseRequest, context: Context) -> registry_pb2.Lease:  # noqa: N802
        try:
            return await self._grant(request)
        except ERRORS as error:
            await abort(context, error)

    async def KeepLeaseAlive(  # noqa: N802
        self, request: registry_pb2.KeepLeaseAliveRequest, context: Context
    ) -> registry_pb2.Lease:
        try:
            ttl = await self._registry.keep_alive(request.id)
        except ERRORS as error:
            await abort(context, error)
        return registry_pb2.Lease(id=request.id, ttl_seconds=round(ttl))

    async def RevokeLease(  # noqa: N802
        self, request: registry_pb2.RevokeLeaseRequest, context: Context
    ) -> registry_pb2.CommitResponse:
        try:
            return registry_pb2.CommitResponse(revision=await self._registry.revoke(request.id))
        except ERRORS as error:
            await abort(context, error)

    # Writing.

    async def _commit(self, changes: Sequence[ObjectChange]) -> registry_pb2.CommitResponse:
        self._check_sizes([change.obj for change in changes if isinstance(change, PutObject)])
        if any(_needs_validation(change) for change in changes):
            revision = await self._validate_and_commit(changes)
        else:
            revision = await self._registry.batch(changes)
        return registry_pb2.CommitResponse(revision=revision)

    def _check_sizes(self, objects: Iterable[Object]) -> None:
        """Nothing is kept that a reader could not take. Raises InvalidCommit."""
        together = 0
        for obj in objects:
            size = obj.ByteSize()
            together += size
            if size > self._limits.object_bytes:
                what = f"{ids.kind_of(obj)} {obj.meta.name[:100]}"
                raise InvalidCommit(f"{what} is {size:,} bytes; an object has {self._limits.object_bytes:,} at most")
        if together > self._limits.commit_bytes:
            message = f"the objects of this commit are {together:,} bytes; {self._limits.commit_bytes:,} fit into one"
            raise InvalidCommit(f"{message}: commit them in parts")

    async def _validate_and_commit(self, changes: Sequence[ObjectChange]) -> int:
        async with self._validating:
            await self._catch_up()
            puts = [change.obj for change in changes if isinstance(change, PutObject)]
            deletes = [(change.kind, change.name) for change in changes if isinstance(change, DeleteObject)]
            issues = self._validate(puts, deletes, self._informer.state)
            if issues:
                raise ManifestError(issues)
            return await self._registry.batch(changes)

    async def _catch_up(self) -> None:
        try:
            async with asyncio.timeout(self._limits.catch_up_seconds):
                await self._informer.wait_revision(self._registry.revision)
        except TimeoutError:
            raise NotSynced("the control plane is still reading its registry; try again in a moment") from None

    async def _grant(self, request: registry_pb2.GrantLeaseRequest) -> registry_pb2.Lease:
        longest = self._limits.lease_seconds
        if not 1 <= request.ttl_seconds <= longest:
            raise InvalidCommit(f"ttl_seconds is {request.ttl_seconds}; a lease lasts 1 to {longest} seconds")
        lease = request.id or secrets.token_hex(8)
        await self._registry.grant(lease, request.ttl_seconds)
        return registry_pb2.Lease(id=lease, ttl_seconds=request.ttl_seconds)

    # Reading.

    async def _page(self, request: registry_pb2.ListRequest) -> registry_pb2.ListResponse:
        if request.limit < 0:
            raise InvalidCommit(f"limit is {request.limit}; it is a number of objects, or 0")
        listing = await self._registry.store.list(key_prefix(request.kind, request.name_prefix))
        entries = [entry for entry in listing.entries if entry.key > request.page_token]
        taken = self._that_fit(entries, request.limit)
        more = len(taken) < len(entries)
        return registry_pb2.ListResponse(
            objects=map(decode, taken), revision=listing.revision, next_page_token=taken[-1].key if more else ""
        )

    def _that_fit(self, entries: Sequence[Entry], limit: int) -> Sequence[Entry]:
        """The entries that go into one page: at least one, if there is one."""
        room = self._limits.page_bytes
        for count, entry in enumerate(entries):
            room -= len(entry.value) + 64  # and its revisions, and the list's own framing
            if (room < 0 and count) or (limit and count == limit):
                return entries[:count]
        return entries

    def _open_watch(self, request: registry_pb2.WatchRequest) -> ObjectWatch:
        if len(self._watches) >= self._limits.watches:
            raise TooManyWatches(f"{self._limits.watches} watches are open, and no more are allowed; close some")
        watch = self._registry.watch(request.kind, request.name_prefix, request.after)
        self._watches.add(watch)
        return watch

    async def _responses(self, watch: ObjectWatch) -> AsyncIterator[registry_pb2.WatchResponse]:
        """Changes as they come; a bookmark once it has caught up, and later when only changes elsewhere moved it on."""
        sent, patience = -1, 0.0
        while True:
            events: list[tuple[Object, bool]] = []
            try:
                async with asyncio.timeout(patience):
                    revision, events = await anext(watch)
            except TimeoutError:
                patience, revision = self._limits.bookmark_seconds, watch.position
            if events or revision > sent:
                sent = revision
                yield registry_pb2.WatchResponse(revision=sent, events=map(_event, events))


def _event(event: tuple[Object, bool]) -> registry_pb2.ObjectEvent:
    return registry_pb2.ObjectEvent(object=event[0], deleted=event[1])


def _needs_validation(change: ObjectChange) -> bool:
    kind = ids.kind_of(change.obj) if isinstance(change, PutObject) else change.kind
    return ids.kind(kind).written_by_users


def _put(request: registry_pb2.PutRequest) -> PutObject:
    kind, name = ids.kind_of(request.object), request.object.meta.name
    if not kind or not name:
        raise InvalidCommit("an object needs meta.name and a body (service, task, ...)")
    return PutObject(request.object, _expected(request))


def _delete(request: registry_pb2.DeleteRequest) -> DeleteObject:
    ids.kind(request.kind)
    if not request.name:
        raise InvalidCommit("a delete needs the name of an object")
    return DeleteObject(request.kind, request.name, _expected(request))


def _change(change: registry_pb2.Change) -> ObjectChange:
    which = change.WhichOneof("change")
    if which is None:
        raise InvalidCommit("a change of a batch is a put or a delete")
    return _put(change.put) if which == "put" else _delete(change.delete)


def _expected(request: registry_pb2.PutRequest | registry_pb2.DeleteRequest) -> int | None:
    if not request.HasField("expected"):
        return None
    if request.expected < 0:
        raise InvalidCommit(f"expected is {request.expected}; it is a revision, or 0 for 'must not exist'")
    return request.expected
