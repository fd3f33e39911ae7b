"""The node agent's client of the control plane, which may be away at any moment.

Rule: what can be tried again is tried again until it works, later and later; only an answer that would always be the same
is raised (`Refused`). So no caller has a branch for "the control plane is down": it just waits, bounded by its own timeout.
"""

import functools
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import grpc.aio

from tsunagu.client import source
from tsunagu.client.connection import channel
from tsunagu.client.registry import RegistryClient
from tsunagu.registry.informer import Informer
from tsunagu.registry.store import Conflict
from tsunagu.v1 import (
    identities_pb2,
    identities_pb2_grpc,
    inspector_pb2,
    inspector_pb2_grpc,
    objects_pb2,
    signals_pb2,
    signals_pb2_grpc,
)

_TIMEOUT: Final = 5.0
_OPTIONS: Final = (
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
)
_Answer = TypeVar("_Answer")


class Refused(Exception):
    """The control plane said no, and would again."""

    def __init__(self, reason: object) -> None:
        super().__init__(f"the control plane refused: {reason}")


class ControlPlane:
    """The Registry and the Inspector behind the Unix socket `path`."""

    def __init__(self, path: Path) -> None:
        self._channel = channel(path, *_OPTIONS)
        self._registry = RegistryClient(self._channel, _TIMEOUT)
        self._inspector = inspector_pb2_grpc.InspectorStub(self._channel)
        self._identities: Any = identities_pb2_grpc.IdentitiesStub(self._channel)
        self._signals: Any = signals_pb2_grpc.SignalsStub(self._channel)

    async def close(self) -> None:
        await self._channel.close()

    def informer(self, kind: str, report: Callable[[str], None]) -> Informer:
        """Every object of a kind, kept in step with the registry while the caller runs it; `report` is told why it cannot
        be read although the control plane answers, and nothing ("") when it can.
        """
        return source.registry_informer(self._registry, kind, source.is_passing, report)

    async def get(self, kind: str, name: str) -> objects_pb2.Object | None:
        """The object as it is now; None when there is none. Raises Refused."""
        return await self._answer(lambda: self._registry.get(kind, name))

    async def put(self, obj: objects_pb2.Object) -> int:
        """The revision of the commit. Raises Refused."""
        return await self._answer(lambda: self._registry.put(obj))

    async def write_status(self, name: str, status: objects_pb2.TaskStatus) -> int | None:
        """Makes `status` the task's; the revision of the commit, or None when there is no such task any more."""
        while True:
            obj = await self.get("Task", name)
            if obj is None:
                return None
            if obj.task.status == status:
                return obj.meta.revision
            obj.task.status.CopyFrom(status)
            written = await self._answer(functools.partial(self._put_unless_changed, obj))
            if written is not None:
                return written

    async def lease(self, lease_id: str, ttl: int) -> None:
        """Grants the lease for `ttl` seconds, or renews it. Raises Refused."""
        await self._answer(lambda: self._registry.grant(lease_id, ttl))

    async def keep_lease(self, lease_id: str) -> bool:
        """Renews it; False when it has been lost."""
        try:
            await self._answer(lambda: self._registry.keep_alive(lease_id))
        except Refused:
            return False
        return True

    async def wait(self, revision: int, namespace: str, timeout: float) -> inspector_pb2.WaitResponse:
        """The barrier: answers when every proxy of the namespace has ACKed `revision`, or at the timeout (seconds)."""
        request = inspector_pb2.WaitRequest(revision=revision, namespace=namespace, timeout_seconds=timeout)
        return await self._answer(lambda: self._inspector.Wait(request, timeout=timeout + _TIMEOUT))

    async def push_signals(self, request: signals_pb2.PushRequest) -> signals_pb2.PushResponse | None:
        """Pushes readings, once; None when the control plane is away. The next round brings what was not taken."""
        try:
            answer: signals_pb2.PushResponse = await self._signals.Push(request, timeout=_TIMEOUT)
        except grpc.aio.AioRpcError:
            return None
        return answer

    async def issue(self, request: identities_pb2.IssueRequest) -> identities_pb2.IssueResponse:
        """Asks for a certificate, once: who asks tries again in his own time, and says why he has none. Raises Refused."""
        try:
            answer: identities_pb2.IssueResponse = await self._identities.Issue(request, timeout=_TIMEOUT)
        except grpc.aio.AioRpcError as error:
            raise Refused(error.details() or error.code().name) from error
        return answer

    async def _put_unless_changed(self, obj: objects_pb2.Object) -> int | None:
        """The revision of the commit; None when somebody else has changed the object since it was read."""
        try:
            return await self._registry.put(obj, obj.meta.revision)
        except Conflict:
            return None

    @staticmethod
    async def _answer(call: Callable[[], Awaitable[_Answer]]) -> _Answer:
        try:
            return await source.retried(call, source.is_passing)
        except source.REMOTE_ERRORS as error:
            raise Refused(error.details() if isinstance(error, grpc.aio.AioRpcError) else error) from error
