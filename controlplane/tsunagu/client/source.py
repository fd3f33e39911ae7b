"""The registry behind the API as the source of an informer, and calls that outlive a restart of the control plane.

The one rule: what can succeed when the control plane is there again is tried again, later and later; only an answer that
would always be the same is raised. So no caller has a branch for "the control plane is away": it waits, bounded by its own
timeout.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, TypeVar

import grpc
import grpc.aio

from tsunagu.client.status_errors import ERRORS, NotSynced, TooManyWatches
from tsunagu.kit.backoff import Backoff
from tsunagu.registry.informer import Informer, SourceAway, SourceRefuses
from tsunagu.registry.store import Compacted, StoreClosed, StoreFailed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from tsunagu.registry.informer import Source
    from tsunagu.registry.objects import Events, Object

_BACKOFF: Final = Backoff(base=0.05, cap=1.0)
T = TypeVar("T")

#: What a call over the API can raise.
REMOTE_ERRORS: Final[tuple[type[Exception], ...]] = (*ERRORS, grpc.aio.AioRpcError)

#: A server that stops ends the calls that it still has with CANCELLED. (Our own cancelling is a CancelledError.)
_AWAY_STATUS: Final = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED})
_PASSING_STATUS: Final = _AWAY_STATUS | {
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.INTERNAL,
}


def is_away(error: Exception) -> bool:
    """Whether the control plane ends, is away, or has just begun: the same call can succeed when it is there again."""
    if isinstance(error, grpc.aio.AioRpcError):
        return error.code() in _AWAY_STATUS
    return isinstance(error, StoreClosed | StoreFailed | NotSynced)


def is_passing(error: Exception) -> bool:
    """As `is_away`, for an agent, which has to outlive an overload and a fault of the control plane as well."""
    if isinstance(error, grpc.aio.AioRpcError):
        return error.code() in _PASSING_STATUS
    return isinstance(error, TooManyWatches) or is_away(error)


async def retried(call: Callable[[], Awaitable[T]], passes: Callable[[Exception], bool] = is_away) -> T:
    """The call's answer; it is made again for as long as its error ``passes``."""
    failures = 0
    while True:
        try:
            return await call()
        except REMOTE_ERRORS as error:
            if not passes(error):
                raise
            failures += 1
        await asyncio.sleep(_BACKOFF.delay(failures))


class ApiSource:
    """`registry.informer.Source` over a `RegistryClient`; an error that ``passes`` is a SourceAway, and SourceRefuses when it does answer."""

    def __init__(self, registry: Source, passes: Callable[[Exception], bool] = is_away) -> None:
        self._registry = registry
        self._passes = passes

    async def list(self, kind: str = "", prefix: str = "") -> tuple[list[Object], int]:
        """As `RegistryClient.list`. Raises SourceAway."""
        try:
            return await self._registry.list(kind, prefix)
        except REMOTE_ERRORS as error:
            raise self._classed(error) from error

    async def watch(self, kind: str = "", prefix: str = "", after: int = 0) -> AsyncIterator[Events]:
        """As `RegistryClient.watch`. Raises Compacted and SourceAway."""
        try:
            async for events in self._registry.watch(kind, prefix, after):
                yield events
        except REMOTE_ERRORS as error:
            raise self._classed(error) from error
        raise SourceAway("the watch has ended")

    def _classed(self, error: Exception) -> Exception:
        if isinstance(error, Compacted) or not self._passes(error):
            return error
        return SourceAway(_words(error)) if is_away(error) else SourceRefuses(_words(error))


def _words(error: Exception) -> str:
    if isinstance(error, grpc.aio.AioRpcError):
        return f"{error.code().name}: {error.details()}"
    return str(error)


def registry_informer(
    registry: Source,
    kind: str = "",
    passes: Callable[[Exception], bool] = is_away,
    report: Callable[[str], None] | None = None,
) -> Informer:
    """An informer of the objects behind the API, of one kind or of all; somebody has to `run` it. ``report``: see Informer."""
    return Informer(ApiSource(registry, passes), kind=kind, report=report)
