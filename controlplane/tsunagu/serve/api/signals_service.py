"""The Signals API: takes what node agents have read of their Envoys, and answers what was counted.

The one rule: the streams of the proxies share this event loop, so nothing here keeps it for long: a push is some tasks, totals go
out in parts, and windows, which read an hour of samples, are added up in a thread, over values that never change.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import grpc
import grpc.aio

from tsunagu.serve.xds.metrics import Metric, gauge
from tsunagu.signals import windows
from tsunagu.v1 import signals_pb2, signals_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from tsunagu.kit.clock import Clock
    from tsunagu.signals.store import SignalStore

NAME = signals_pb2.DESCRIPTOR.services_by_name["Signals"].full_name
MOST_WINDOWS: Final = 720
TOTALS_SECONDS: Final = 300.0
"""How long the totals of a task that sends no more are shown: long enough for whoever scrapes them to see the last ones."""
_PART: Final = 200  # tasks
_QUERIES: Final = 2  # that are added up at once
Context = Any  # grpc.aio.ServicerContext


class SignalsService(signals_pb2_grpc.SignalsServicer):
    """Register it with `register`."""

    def __init__(self, store: SignalStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._adding_up = asyncio.Semaphore(_QUERIES)

    def register(self, server: grpc.aio.Server) -> None:
        signals_pb2_grpc.add_SignalsServicer_to_server(self, server)

    async def Push(self, request: signals_pb2.PushRequest, context: Context) -> signals_pb2.PushResponse:  # noqa: N802
        wanted = []
        for given in request.tasks:
            if self._store.accept(given, self._clock.now()):
                wanted.append(given.source.task)
            await asyncio.sleep(0)  # after a restart each task brings an hour
        return signals_pb2.PushResponse(wanted=wanted)

    async def Windows(  # noqa: N802
        self, request: signals_pb2.WindowsRequest, context: Context
    ) -> signals_pb2.WindowsResponse:
        if refusal := _refusal(request):
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, refusal)
        now = self._clock.now()
        start = now - request.since
        if request.step:
            start -= start % request.step  # so that the windows of two queries are the same ones
        query = windows.Query(start, now, request.step, request.service, request.revision, by_task=request.by_task)
        async with self._adding_up:
            found = await asyncio.to_thread(windows.windows, self._store.views(start), query)
        return signals_pb2.WindowsResponse(windows=found, now=now)

    async def Totals(  # noqa: N802
        self, request: signals_pb2.TotalsRequest, context: Context
    ) -> AsyncIterator[signals_pb2.TotalsResponse]:
        part = []
        for task in self._store.totals(self._clock.now(), TOTALS_SECONDS):
            part.append(task)
            if len(part) == _PART:
                yield signals_pb2.TotalsResponse(tasks=part)
                part = []
        if part:
            yield signals_pb2.TotalsResponse(tasks=part)

    def metrics(self) -> Iterable[Metric]:
        """What this part counts of itself."""
        return (
            gauge("signals_tasks", len(self._store), "tasks of which there are samples"),
            gauge("signals_bytes", self._store.bytes, "what an hour of samples holds, about", "bytes"),
            Metric("signals_samples", "counter", "", "samples taken", self._store.samples),
            Metric("signals_refused", "counter", "", "tasks not taken: there are too many", self._store.refused),
        )


def _refusal(request: signals_pb2.WindowsRequest) -> str:
    if not 0 < request.since <= windows.LONGEST:
        return f"since is {request.since:g} s; it may be more than 0 and up to {windows.LONGEST:g}"
    if request.step and not 1 <= request.step <= request.since:
        return f"step is {request.step:g} s; it may be 0, for one window, or from 1 to {request.since:g}"
    if request.step and request.since / request.step > MOST_WINDOWS:
        return f"that would be more than {MOST_WINDOWS} windows; take a larger step"
    return ""
