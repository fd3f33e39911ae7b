"""The mesh as the operations of Cloud Map meet it: a catalog to read, one way to change something, a clock.

The one rule: a change is planned from what is there, committed only if that is still so, and planned anew if not; when it is answered,
whoever made it sees it.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import grpc.aio

from tsunagu.aws.cloud_map.catalog import Catalog
from tsunagu.aws.errors import AwsError
from tsunagu.client.source import REMOTE_ERRORS
from tsunagu.model.errors import ManifestError
from tsunagu.registry.store import Conflict
from tsunagu.v1 import inspector_pb2

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tsunagu.registry.informer import Informer
    from tsunagu.registry.objects import DeleteObject, Objects, PutObject

INVALID: Final = "InvalidInput"
_ATTEMPTS: Final = 8
_CALL_SECONDS: Final = 5.0
_PAUSE: Final = 0.01


@dataclass(frozen=True, slots=True)
class Plan:
    """What an operation changes, and answers once that is committed."""

    result: Mapping[str, Any]
    changes: tuple[PutObject | DeleteObject, ...] = field(default=())


class World:
    """The mesh behind `registry` and `inspector`; somebody has to `run` it. `clock`: seconds since the epoch."""

    def __init__(
        self, registry: Objects, inspector: Any, informer: Informer, clock: Callable[[], float] = time.time
    ) -> None:
        self._registry = registry
        self._inspector = inspector
        self._informer = informer
        self._follower = informer.follow(first=True)
        self.clock = clock
        self.catalog = Catalog(informer)
        self._converged: dict[str, int] = {}  # namespace -> the newest revision that all its proxies are known to have

    @property
    def informer(self) -> Informer:
        return self._informer

    async def run(self) -> None:
        """Keep the catalog in step with the registry until cancelled."""
        async for changes in self._follower:
            self.catalog.advance(changes)

    async def transact(self, plan: Callable[[], Plan], refused: str = INVALID) -> Mapping[str, Any]:
        """Commit what `plan` asks for, and return its result. `refused`: the code of the error when the registry does not take it, whose
        reason is the message. Raises AwsError.
        """
        await self._synced()
        for _ in range(_ATTEMPTS):
            planned = plan()
            if not planned.changes:
                return planned.result
            try:
                async with asyncio.timeout(_CALL_SECONDS):
                    revision = await self._registry.batch(planned.changes)
                    await self._informer.wait_revision(revision)
            except Conflict:
                await asyncio.sleep(_PAUSE)  # for the change that was faster than ours to be shown
                continue
            except ManifestError as error:
                said = "; ".join(f"{one.path}: {one.message}" if one.path else one.message for one in error.issues)
                raise AwsError(refused, said) from error
            except TimeoutError as error:
                raise _away() from error
            except REMOTE_ERRORS as error:
                raise _away() from error
            await self._shown()
            return planned.result
        raise AwsError(
            "RequestLimitExceeded", "Others change the same things all the time.", HTTPStatus.TOO_MANY_REQUESTS
        )

    async def converged(self, revision: int, namespace: str) -> bool:
        """Whether every proxy of a namespace has acknowledged a revision of the registry, now or once before."""
        if self._converged.get(namespace, 0) >= revision:
            return True
        request = inspector_pb2.WaitRequest(revision=revision, namespace=namespace)
        try:
            answer = await self._inspector.Wait(request, timeout=_CALL_SECONDS)
        except grpc.aio.AioRpcError:
            return False  # it is away, and so are the proxies' acknowledgements
        if answer.converged:
            self._converged[namespace] = max(revision, self._converged.get(namespace, 0))
        return bool(answer.converged)

    async def _synced(self) -> None:
        try:
            async with asyncio.timeout(_CALL_SECONDS):
                await self._informer.wait_synced()
        except TimeoutError:
            raise _away() from None
        await self._shown()

    async def _shown(self) -> None:
        if self._follower.waiting:
            self.catalog.advance(await anext(self._follower))

    async def reading(self) -> Catalog:
        """The catalog, once it shows the registry. Raises AwsError when that is away from the start."""
        await self._synced()
        return self.catalog


def _away() -> AwsError:
    return AwsError("ServiceUnavailableException", "The control plane does not answer.", HTTPStatus.SERVICE_UNAVAILABLE)
