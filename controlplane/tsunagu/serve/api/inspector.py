"""The Inspector API: what proxies were sent and answered, the convergence barrier, and overrides with raw resources.

The one rule: it only reads (but for `Override` and `Hold`, which are for teaching: the one lasts until the next start, the
other a minute at most), and nothing that it serves may hold up a push: a reader that falls behind is ended, a wait has a
limit.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

import grpc
import grpc.aio

from tsunagu.kit import grpc_bootstrap
from tsunagu.serve.api.inspector_messages import message_of, proxy_of, resource_of, stamp, timeline_event
from tsunagu.serve.api.metrics_messages import of_process, response
from tsunagu.serve.published import mask_until
from tsunagu.serve.xds.history.shown_message import NoSuchEvent
from tsunagu.serve.xds.timeline import Lagged
from tsunagu.v1 import inspector_pb2, inspector_pb2_grpc
from tsunagu.xds.resources import SHORT, BadResource
from tsunagu.xds.waits import LONGEST_HOLD

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Sequence

    from tsunagu.serve.published import Overrides, PublishedState
    from tsunagu.serve.xds.ads import Missing
    from tsunagu.serve.xds.history.shown_message import Message
    from tsunagu.serve.xds.metrics import Metric
    from tsunagu.serve.xds.proxies import ProxyState
    from tsunagu.serve.xds.timeline import Event, Timeline
    from tsunagu.xds.bundle import Mask
    from tsunagu.xds.inspection.inventory import ResourceState

NAME = inspector_pb2.DESCRIPTOR.services_by_name["Inspector"].full_name
MAX_WAIT = 600.0
CONTROL_PLANE = "the control plane"
Context = Any  # grpc.aio.ServicerContext


class Ads(Protocol):
    """What is needed of the xDS server (`serve.xds.ads.AdsServer`)."""

    timeline: Timeline
    identifier: str  # that clients are told

    def hold(self, proxy: str, type_url: str, seconds: float) -> int:
        """Keeps the responses of a type back; the number of streams."""
        ...

    def message(self, sequence: int) -> Message:
        """An event with its bodies. Raises NoSuchEvent."""
        ...

    def proxies(self) -> Sequence[ProxyState]:
        """Those that are connected."""
        ...

    def connected(self) -> Iterable[str]:
        """The names of those."""
        ...

    def silent(self, proxy: str) -> bool:
        """Whether a connected proxy has owed an answer for long."""
        ...

    def metrics(self) -> Iterable[Metric]:
        """What the server counts of itself."""
        ...

    def resources(self, proxy: str) -> Sequence[ResourceState]:
        """What a connected proxy is to have."""
        ...

    def unsent(self, bundles: tuple[str, ...], mask: Mask) -> Sequence[ResourceState]:
        """What is in these bundles, through a mask."""
        ...

    async def wait(self, revision: int, expected: Callable[[], Iterable[str]], timeout: float) -> Sequence[Missing]:
        """The barrier; none missing: converged."""
        ...


@dataclass(frozen=True, slots=True)
class About:
    """What a control plane says of itself. `started`: seconds since the epoch. `problem` tells why the registry cannot be
    written at the moment, if it cannot; `metrics`, what parts of it beside the xDS server count.
    """

    version: str
    store: str
    started: float
    problem: Callable[[], str] = str
    metrics: Callable[[], Iterable[Metric]] = tuple


class Invalid(Exception):
    """The request makes no sense; the message says what would."""


class NotYet(Exception):
    """The control plane cannot answer before it has published something: ask again."""


class UnknownProxy(Exception):
    """There is no task that has a proxy of that name, and no such proxy is connected."""

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no task {name!r} that has a proxy, and none connected of that name")


class NotConnected(Exception):
    """The proxy is known, and has no stream."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} is not connected: there is no stream of which something could be kept back")


#: What a request can be refused with, and as which status.
_STATUS = (
    (Invalid, grpc.StatusCode.INVALID_ARGUMENT),
    (BadResource, grpc.StatusCode.INVALID_ARGUMENT),
    (NotYet, grpc.StatusCode.UNAVAILABLE),
    (UnknownProxy, grpc.StatusCode.NOT_FOUND),
    (NoSuchEvent, grpc.StatusCode.NOT_FOUND),
    (NotConnected, grpc.StatusCode.FAILED_PRECONDITION),
    (Lagged, grpc.StatusCode.DATA_LOSS),
)
REFUSALS: tuple[type[Exception], ...] = tuple(kind for kind, _ in _STATUS)


class Inspector(inspector_pb2_grpc.InspectorServicer):
    """Register it with `register`. `revision` gives the registry's present one; `synced`, whether its informer is."""

    def __init__(
        self,
        about: About,
        *,
        ads: Ads,
        published: PublishedState,
        overrides: Overrides,
        revision: Callable[[], int],
        synced: Callable[[], bool],
    ) -> None:
        self._about = about
        self._ads = ads
        self._published = published
        self._overrides = overrides
        self._revision = revision
        self._synced = synced

    def register(self, server: grpc.aio.Server) -> None:
        inspector_pb2_grpc.add_InspectorServicer_to_server(self, server)

    async def Info(self, request: inspector_pb2.InfoRequest, context: Context) -> inspector_pb2.InfoResponse:  # noqa: N802
        return inspector_pb2.InfoResponse(
            version=self._about.version,
            pid=os.getpid(),
            revision=self._revision(),
            published_revision=self._published.revision,
            started_at=stamp(self._about.started),
            store=self._about.store,
            synced=self._synced(),
            problem=self._about.problem(),
        )

    async def Proxies(  # noqa: N802
        self, request: inspector_pb2.ProxiesRequest, context: Context
    ) -> inspector_pb2.ProxiesResponse:
        view = self._published.view
        expected = {*view.expected_proxies(), *self._grpc_clients(None)}
        known = {state.proxy: state for state in self._ads.proxies()}
        names = sorted(expected | known.keys())
        shown = [name for name in names if not request.proxy or name == request.proxy]
        proxies = [proxy_of(name, known.get(name), view, expected=name in expected) for name in shown]
        return inspector_pb2.ProxiesResponse(proxies=proxies, revision=self._published.revision)

    async def Resources(  # noqa: N802
        self, request: inspector_pb2.ResourcesRequest, context: Context
    ) -> inspector_pb2.ResourcesResponse:
        try:
            return self._resources(request)
        except REFUSALS as error:
            await _refuse(context, error)

    async def Timeline(  # noqa: N802
        self, request: inspector_pb2.TimelineRequest, context: Context
    ) -> AsyncIterator[inspector_pb2.TimelineEvent]:
        try:
            type_url = _type_url(request.type)
            if not request.follow:
                for event in self._ads.timeline.events(request.after):
                    if _wanted(event, request.proxy, type_url):
                        yield timeline_event(event)
                return
            async for event in self._ads.timeline.follow(request.after, request.proxy, type_url):
                yield timeline_event(event)
        except REFUSALS as error:
            await _refuse(context, error)

    async def Wait(self, request: inspector_pb2.WaitRequest, context: Context) -> inspector_pb2.WaitResponse:  # noqa: N802
        try:
            revision = self._awaited(request)
        except REFUSALS as error:
            await _refuse(context, error)
        namespace = request.namespace or None
        missing = await self._ads.wait(revision, lambda: self._expected(revision, namespace), request.timeout_seconds)
        return inspector_pb2.WaitResponse(
            converged=not missing,
            revision=revision,
            missing=[inspector_pb2.Unconverged(proxy=lack.proxy, reason=lack.reason) for lack in missing],
        )

    async def Override(  # noqa: N802
        self, request: inspector_pb2.OverrideRequest, context: Context
    ) -> inspector_pb2.OverrideResponse:
        try:
            revision = self._override(request)
        except REFUSALS as error:
            await _refuse(context, error)
        return inspector_pb2.OverrideResponse(revision=revision)

    async def Hold(self, request: inspector_pb2.HoldRequest, context: Context) -> inspector_pb2.HoldResponse:  # noqa: N802
        try:
            return inspector_pb2.HoldResponse(streams=self._hold(request))
        except REFUSALS as error:
            await _refuse(context, error)

    async def Message(  # noqa: N802
        self, request: inspector_pb2.MessageRequest, context: Context
    ) -> inspector_pb2.MessageResponse:
        try:
            return message_of(self._ads.message(request.sequence), self._ads.identifier)
        except REFUSALS as error:
            await _refuse(context, error)

    async def Metrics(  # noqa: N802
        self, request: inspector_pb2.MetricsRequest, context: Context
    ) -> inspector_pb2.MetricsResponse:
        return response([*self._ads.metrics(), *self._about.metrics(), *of_process()])

    async def lacking(self) -> list[str]:
        """The proxies that have not accepted the registry's newest revision, each with the reason."""
        revision = self._revision()
        missing = await self._ads.wait(revision, lambda: self._expected(revision, None), 0.0)
        return [f"{lack.proxy}: {lack.reason}" for lack in missing]

    def _resources(self, request: inspector_pb2.ResourcesRequest) -> inspector_pb2.ResourcesResponse:
        type_url = _type_url(request.type)
        connected = any(state.proxy == request.proxy for state in self._ads.proxies())
        view = self._published.view
        bundles, mask = view.scope(request.proxy), mask_until(view.names_until(request.proxy))
        if not connected and bundles is None:
            raise UnknownProxy(request.proxy)
        states = self._ads.resources(request.proxy) if connected else self._ads.unsent(bundles or (), mask)
        return inspector_pb2.ResourcesResponse(
            connected=connected,
            resources=[resource_of(of, request) for of in states if type_url in ("", of.type_url)],
            revision=self._published.revision,
        )

    def _awaited(self, request: inspector_pb2.WaitRequest) -> int:
        """The revision that a Wait is for. Raises Invalid and NotYet."""
        newest = self._revision()
        if not 0 <= request.timeout_seconds <= MAX_WAIT:
            raise Invalid(f"timeout_seconds is {request.timeout_seconds:g}; it may be from 0 to {MAX_WAIT:g}")
        if not 0 <= request.revision <= newest:
            raise Invalid(f"revision {request.revision} is yet to come: the newest is {newest} (0 means that one)")
        if request.namespace and not self._published.view.has_namespace(request.namespace):
            if self._published.revision == 0 < newest:  # just started: the registry may well have it
                raise NotYet(f"namespace {request.namespace!r} is not known yet: nothing has been published so far")
            raise Invalid(self._no_namespace(request.namespace))
        return request.revision or newest

    def _expected(self, revision: int, namespace: str | None) -> list[str]:
        """The proxies that the barrier waits for. Which tasks there are at `revision` is known only once that is
        published: until then the control plane itself is missing, or a wait would hold before the first proxy is there.
        """
        late = [] if self._published.revision >= revision else [CONTROL_PLANE]
        return [*late, *self._published.view.expected_proxies(namespace), *self._grpc_clients(namespace)]

    def _grpc_clients(self, namespace: str | None) -> list[str]:
        """The connected gRPC clients: only its connection shows that a program is one, and it calls endpoints as Envoys do.
        Who does not answer is not waited for, since nothing tells a program from a stranger (docs/adr/0014).
        """
        found = ((name, grpc_bootstrap.parse(name)) for name in self._ads.connected())
        clients = [name for name, client in found if client and namespace in (None, client[0])]
        return [name for name in clients if not self._ads.silent(name)]

    def _override(self, request: inspector_pb2.OverrideRequest) -> int:
        if request.type_url not in SHORT.values():
            raise Invalid(f"{request.type_url!r} is no type of xDS; one is {SHORT['LDS']}")
        if not request.name:
            raise Invalid("the resource needs a name")
        if not self._published.view.has_namespace(request.namespace):
            raise Invalid(self._no_namespace(request.namespace))
        return self._overrides.set(request.namespace, request.type_url, request.name, request.body)

    def _hold(self, request: inspector_pb2.HoldRequest) -> int:
        if not 0 <= request.seconds <= LONGEST_HOLD:
            raise Invalid(f"seconds is {request.seconds:g}; it may be from 0, for no longer, to {LONGEST_HOLD:g}")
        if not request.type:
            raise Invalid(f"which type is to be kept back? The types are {', '.join(SHORT)}")
        streams = self._ads.hold(request.proxy, _type_url(request.type), request.seconds)
        if not streams:
            known = self._published.view.scope(request.proxy) is not None
            raise NotConnected(request.proxy) if known else UnknownProxy(request.proxy)
        return streams

    def _no_namespace(self, name: str) -> str:
        known = ", ".join(self._published.view.namespaces()) or "none"
        return f"there is no namespace {name!r}; there are: {known}"


def _type_url(short: str) -> str:
    if short and short not in SHORT:
        raise Invalid(f"{short!r} is no type of xDS; the types are {', '.join(SHORT)}")
    return SHORT.get(short, "")


def _wanted(event: Event, proxy: str, type_url: str) -> bool:
    return (not proxy or event.proxy == proxy) and (not type_url or event.type_url == type_url)


async def _refuse(context: Context, error: Exception) -> NoReturn:
    await context.abort(next(status for kind, status in _STATUS if isinstance(error, kind)), str(error))
    raise AssertionError("abort raises")
