"""The Inspector API: what proxies were sent and answered, the convergence barrier, and overrides with raw resources.

The one rule: it only reads (but for `Override`, which is for teaching and lasts until the next start), and nothing that it
serves may hold up a push: a reader that falls behind is ended, a wait has a limit.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

import grpc
import grpc.aio
from google.protobuf.timestamp_pb2 import Timestamp

from tsunagu.kit import grpc_bootstrap
from tsunagu.serve.api.metrics_messages import of_process, response
from tsunagu.serve.xds.timeline import Lagged
from tsunagu.v1 import inspector_pb2, inspector_pb2_grpc
from tsunagu.xds.resources import SHORT, BadResource, type_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Sequence

    from tsunagu.mesh.view import View
    from tsunagu.serve.published import Overrides, PublishedState
    from tsunagu.serve.xds.ads import Missing
    from tsunagu.serve.xds.metrics import Metric
    from tsunagu.serve.xds.proxies import ClientState, ProxyState
    from tsunagu.serve.xds.timeline import Event, Timeline
    from tsunagu.xds.inspection.inventory import ResourceState
    from tsunagu.xds.inspection.status import TypeState

NAME = inspector_pb2.DESCRIPTOR.services_by_name["Inspector"].full_name
MAX_WAIT = 600.0
CONTROL_PLANE = "the control plane"
Context = Any  # grpc.aio.ServicerContext


class Ads(Protocol):
    """What is needed of the xDS server (`serve.xds.ads.AdsServer`)."""

    timeline: Timeline

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

    def unsent(self, bundles: tuple[str, ...]) -> Sequence[ResourceState]:
        """What is in these bundles."""
        ...

    async def wait(self, revision: int, expected: Callable[[], Iterable[str]], timeout: float) -> Sequence[Missing]:
        """The barrier; none missing: converged."""
        ...


@dataclass(frozen=True, slots=True)
class About:
    """What a control plane says of itself. `started`: seconds since the epoch. `problem` tells why the registry cannot be
    written at the moment, if it cannot.
    """

    version: str
    store: str
    started: float
    problem: Callable[[], str] = str


class Invalid(Exception):
    """The request makes no sense; the message says what would."""


class NotYet(Exception):
    """The control plane cannot answer before it has published something: ask again."""


class UnknownProxy(Exception):
    """There is no task that has a proxy of that name, and no such proxy is connected."""

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no task {name!r} that has a proxy, and none connected of that name")


#: What a request can be refused with, and as which status.
_STATUS = (
    (Invalid, grpc.StatusCode.INVALID_ARGUMENT),
    (BadResource, grpc.StatusCode.INVALID_ARGUMENT),
    (NotYet, grpc.StatusCode.UNAVAILABLE),
    (UnknownProxy, grpc.StatusCode.NOT_FOUND),
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
        proxies = [_proxy(name, known.get(name), view, expected=name in expected) for name in shown]
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

    async def Metrics(  # noqa: N802
        self, request: inspector_pb2.MetricsRequest, context: Context
    ) -> inspector_pb2.MetricsResponse:
        return response([*self._ads.metrics(), *of_process()])

    def _resources(self, request: inspector_pb2.ResourcesRequest) -> inspector_pb2.ResourcesResponse:
        type_url = _type_url(request.type)
        connected = any(state.proxy == request.proxy for state in self._ads.proxies())
        bundles = self._published.view.scope(request.proxy)
        if not connected and bundles is None:
            raise UnknownProxy(request.proxy)
        states = self._ads.resources(request.proxy) if connected else self._ads.unsent(bundles or ())
        return inspector_pb2.ResourcesResponse(
            connected=connected,
            resources=[_resource(of, request) for of in states if type_url in ("", of.type_url)],
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

    def _no_namespace(self, name: str) -> str:
        known = ", ".join(self._published.view.namespaces()) or "none"
        return f"there is no namespace {name!r}; there are: {known}"


def stamp(seconds: float) -> Timestamp:
    """Seconds since the epoch as a Timestamp."""
    made = Timestamp()
    made.FromNanoseconds(int(seconds * 1e9))
    return made


def _type_url(short: str) -> str:
    if short and short not in SHORT:
        raise Invalid(f"{short!r} is no type of xDS; the types are {', '.join(SHORT)}")
    return SHORT.get(short, "")


def _wanted(event: Event, proxy: str, type_url: str) -> bool:
    return (not proxy or event.proxy == proxy) and (not type_url or event.type_url == type_url)


def _proxy(name: str, state: ProxyState | None, view: View, *, expected: bool) -> inspector_pb2.Proxy:
    client = grpc_bootstrap.parse(name)
    task = view.task(client[1].partition("#")[0] if client else name)
    proxy = inspector_pb2.Proxy(
        name=name,
        namespace=client[0] if client else task.namespace if task else "",
        service=task.revision.rpartition("/")[0] if task else "",
        connected=state is not None,
        expected=expected,
    )
    if state is not None:
        proxy.connected_at.CopyFrom(stamp(state.connected_at))
        proxy.variant, proxy.version = state.variant, state.version
        proxy.types.extend(_type(of) for of in state.types)
        proxy.clients.extend(_client(of) for of in state.clients)
    return proxy


def _client(state: ClientState) -> inspector_pb2.ProxyClient:
    return inspector_pb2.ProxyClient(
        counts=state.counts,
        connected_at=stamp(state.connected_at),
        variant=state.variant,
        version=state.version,
        peer=state.peer,
        streams=state.streams,
        types=[_type(of) for of in state.types],
    )


def _type(state: TypeState) -> inspector_pb2.ProxyType:
    return inspector_pb2.ProxyType(
        type=state.type,
        state=state.state,
        age_seconds=state.age,
        resources=state.resources,
        version=state.version,
        error=state.error,
        rejected=state.rejected,
    )


def _resource(state: ResourceState, request: inspector_pb2.ResourcesRequest) -> inspector_pb2.ProxyResource:
    return inspector_pb2.ProxyResource(
        type=type_of(state.type_url).short,
        type_url=state.type_url,
        name=state.name,
        state=state.state,
        age_seconds=state.age,
        version=state.version,
        body=b"" if request.without_bodies else state.shown,
        error=state.error,
    )


def timeline_event(event: Event) -> inspector_pb2.TimelineEvent:
    """An event of the timeline, as a message of the API."""
    return inspector_pb2.TimelineEvent(
        sequence=event.sequence,
        time=stamp(event.time),
        proxy=event.proxy,
        type=event.type,
        kind=event.kind,
        names=event.names,
        removed=sorted(event.removed),
        versions=event.versions,
        nonce=event.nonce,
        cause=event.cause,
        detail=event.error or event.detail,
        revision=event.revision,
        bytes=event.bytes,
        latency_seconds=event.latency,
        more=event.more,
    )


async def _refuse(context: Context, error: Exception) -> NoReturn:
    await context.abort(next(status for kind, status in _STATUS if isinstance(error, kind)), str(error))
    raise AssertionError("abort raises")
