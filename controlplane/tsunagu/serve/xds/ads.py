"""The xDS server: gRPC streams in front of `tsunagu.xds`. With xds it is a library of its own.

    server = AdsServer(authenticate=lambda metadata, node: Scope(node.id, ("web",)), identifier="cp-1", timeline=Timeline())
    await server.start("127.0.0.1:18000")
    server.publish([BundleUpdate("web", (Resource.of(CDS, "api", body),))], revision=1, cause="start")
    server.mark_synced()

Rule: this file knows nothing of SotW, delta or versions; it moves bytes between grpc.aio and sessions. One task owns a
stream. `grpc_options` keeps clear of grpcio's traps.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import time
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio

from tsunagu.kit.process_limits import return_memory
from tsunagu.serve.xds.admission import Admission
from tsunagu.serve.xds.allowance import Allowance
from tsunagu.serve.xds.barrier import Barrier, Missing
from tsunagu.serve.xds.first_reads import FirstReads
from tsunagu.serve.xds.history.published_changes import History
from tsunagu.serve.xds.identities import Identities
from tsunagu.serve.xds.limits import Limits
from tsunagu.serve.xds.metrics import Counters, Metric, gauge, of_books
from tsunagu.serve.xds.proxies import Proxies, ProxyState, StreamState
from tsunagu.serve.xds.refusal import PermissionDenied, Refused, Unauthenticated
from tsunagu.serve.xds.streams import Stream
from tsunagu.serve.xds.transport import grpc_options
from tsunagu.xds.actions import Close
from tsunagu.xds.bundle import SEE_ALL, BundleUpdate, Mask, Scope
from tsunagu.xds.catalog import Catalog
from tsunagu.xds.delta import DELTA
from tsunagu.xds.inspection.inventory import ResourceState, unsent
from tsunagu.xds.requests.decode import NodeInfo
from tsunagu.xds.resources import CDS, ECDS, EDS, LDS, RDS, RTDS, SDS, SRDS, VHDS
from tsunagu.xds.session import Session, Variant
from tsunagu.xds.sotw import SOTW

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from tsunagu.serve.xds.call_metadata import CallMetadata
    from tsunagu.serve.xds.history.shown_message import Message
    from tsunagu.serve.xds.look_up import LookUp
    from tsunagu.serve.xds.timeline import Timeline

__all__ = [
    "AdsServer",
    "Missing",
    "NodeInfo",
    "PermissionDenied",
    "ProxyState",
    "Refused",
    "ResourceState",
    "Scope",
    "Unauthenticated",
]

_log = logging.getLogger(__name__)

_SERVICES = (  # service, the suffix of its methods, its type; the aggregated one has none
    ("discovery.v3.AggregatedDiscoveryService", "AggregatedResources", ""),
    ("cluster.v3.ClusterDiscoveryService", "Clusters", CDS),
    ("endpoint.v3.EndpointDiscoveryService", "Endpoints", EDS),
    ("secret.v3.SecretDiscoveryService", "Secrets", SDS),
    ("listener.v3.ListenerDiscoveryService", "Listeners", LDS),
    ("route.v3.RouteDiscoveryService", "Routes", RDS),
    ("route.v3.ScopedRoutesDiscoveryService", "ScopedRoutes", SRDS),
    ("route.v3.VirtualHostDiscoveryService", "VirtualHosts", VHDS),
    ("extension.v3.ExtensionConfigDiscoveryService", "ExtensionConfigs", ECDS),
    ("runtime.v3.RuntimeDiscoveryService", "Runtime", RTDS),
)
_METHODS = (("Stream", SOTW), ("Delta", DELTA))


RETURN_MEMORY = 1.0  # s after a large message was let go of
RETURN_AGAIN = 30.0  # s; no more often than that


class AdsServer:
    """Serves what is published to the clients that `authenticate` accepts. Everything is called on one event loop.

    `authenticate` gets the call's metadata and the node that the client claims to be, and returns its Scope or raises
    Refused. `recognize`, which may be set before the first `listen`, is asked before anything is read: it returns whether
    the metadata alone prove who calls, or raises Refused. `look_up` is awaited for names that nobody has, where a scope has
    time for that. `clock` counts seconds for latencies and waits; `wall` gives the time of the timeline's events.
    """

    def __init__(
        self,
        *,
        authenticate: Callable[[CallMetadata, NodeInfo], Scope],
        identifier: str,
        timeline: Timeline,
        limits: Limits | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.timeline = timeline
        self.history = History(timeline, wall)
        self.limits = limits or Limits()
        self.clock, self.wall = clock, wall
        self.catalog = Catalog()
        self.synced = asyncio.Event()
        self.recognize: Callable[[CallMetadata], bool] = lambda _metadata: False
        self.look_up: LookUp | None = None
        self.counters = Counters()
        self._authenticate = authenticate
        self.identifier = identifier
        self._streams: dict[object, Stream] = {}  # by session, which is the owner that the catalog returns
        self._proxies = Proxies()
        self.identities = Identities(self.limits)
        self.admission = Admission(self.limits.admitted_at_once, self.limits.admission)
        self.first_reads = FirstReads.of(self.limits)
        self.slices = asyncio.Lock()  # held while a slice of a large request is handled
        self.strangers = Allowance(self.limits.work_burst, self.limits.work_share, clock())  # of all that were refused
        self._barrier = Barrier(self._why)
        self._server: grpc.aio.Server | None = None
        self._services: list[grpc.GenericRpcHandler] = []
        self._unanswered: set[Stream] = set()  # those that were woken, and have a response outstanding or to be sent
        self._answered: asyncio.Future[None] | None = None  # set while `answered` waits
        self._returning: asyncio.TimerHandle | None = None  # set while freed memory is to be given back
        self._returned_at = float("-inf")  # when it was, by the loop's clock
        self._opened = 0  # streams so far; the number of each is in its nonces

    # What is served.

    def publish(self, updates: Sequence[BundleUpdate], revision: int, cause: str) -> None:
        """Publish a new state of the bundles named; without updates, that the state at `revision` is the same."""
        self.history.publishing(self.catalog, updates, revision, cause)
        self._wake(self.catalog.publish(updates, revision, cause))
        self._barrier.check()

    def mark_synced(self) -> None:
        """What was published is the whole state: from now on clients are answered, also that a resource does not exist."""
        self._wake(self.catalog.mark_synced())
        self.synced.set()
        self._barrier.check()

    def rescope(self, proxy: str, bundles: tuple[str, ...], mask: Mask = SEE_ALL) -> None:
        """Let a proxy see other bundles from now on."""
        for stream in self._proxies.streams(proxy):
            stream.rescope(bundles, mask)

    def hold(self, proxy: str, type_url: str, seconds: float) -> int:
        """Keep the responses of a type to a proxy back for `seconds` (LONGEST_HOLD at most; 0: no longer), for as long as its
        streams live. Returns how many streams it has.
        """
        streams = self._proxies.streams(proxy)
        for stream in streams:
            stream.hold(type_url, seconds)
        return len(streams)

    def message(self, sequence: int) -> Message:
        """Return an event of the timeline with the bodies that it brought, as far as they are kept. Raises NoSuchEvent."""
        return self.history.message(self.catalog, sequence)

    def evict(self, proxy: str, why: str) -> None:
        """End the streams of a proxy that is no longer authorized."""
        for stream in self._proxies.streams(proxy):
            stream.end(PermissionDenied.code, why)

    # Who holds what.

    def proxies(self) -> list[ProxyState]:
        """Return the connected proxies, sorted by name."""
        now = self.clock()
        return [self._proxies.state(proxy, now) for proxy in sorted(self._proxies)]

    def streams(self, proxy: str) -> list[StreamState]:
        """Return what is known of each stream of a connected proxy, in the order of connecting."""
        return self._proxies.stream_states(proxy, self.clock())

    def resources(self, proxy: str) -> list[ResourceState]:
        """Return what a connected proxy is to hold and how far it is with each, by type and name; [] if it is not connected."""
        return self._proxies.resources(proxy, self.clock())

    def unsent(self, bundles: tuple[str, ...], mask: Mask = SEE_ALL) -> list[ResourceState]:
        """Return what a proxy that sees these bundles would be sent if it connected now."""
        composite = self.catalog.compose(bundles, mask)
        try:
            return unsent(composite)
        finally:
            self.catalog.release(composite)

    def node(self, proxy: str) -> NodeInfo | None:
        """Return what a connected proxy claims to be; None if it is not connected. Do not show its metadata."""
        return self._proxies.node(proxy)

    def silent(self, proxy: str) -> bool:
        """Return whether a proxy has owed an answer for longer than it is waited for where its name is shared."""
        return self._proxies.silent(proxy, self.clock()) > self.limits.silent_client

    async def wait(self, revision: int, expected: Callable[[], Iterable[str]], timeout: float) -> list[Missing]:
        """Wait until every expected proxy has ACKed everything of a state at or after `revision`. Returns [], or after
        `timeout` seconds those that have not. `expected` is called again after each publish.
        """
        return await self._barrier.wait(revision, expected, timeout)

    async def answered(self, timeout: float) -> None:
        """Return when all proxies that were sent something have answered, or after `timeout` seconds. A proxy that has
        not answered by then is not waited for again until it has. For one caller at a time.
        """
        if not self._unanswered:
            return
        self._answered = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(timeout):
                await self._answered
        except TimeoutError:
            self._unanswered.clear()
        finally:
            self._answered = None

    def metrics(self) -> list[Metric]:
        """Return what this server has counted, and how large its books are now."""
        streams = list(self._streams.values())
        return [
            *self.counters.all(),
            gauge("xds_streams", len(streams), "streams open"),
            gauge("xds_proxies", len(list(self._proxies)), "names of connected proxies"),
            gauge("xds_identities", len(self.identities), "clients known, by what they have proved"),
            gauge("xds_connections_limit", self.limits.connections, "connections that an address may have open"),
            gauge("xds_unanswered_streams", len(self._unanswered), "streams that owe an answer to a publish"),
            gauge("xds_queued_bytes", sum([stream.waiting for stream in streams]), "responses to be written", "bytes"),
            gauge("xds_unread_streams", self.first_reads.waiting, "streams that wait to say who they are"),
            gauge("xds_admission_places", self.admission.busy, "streams that are given their first answers"),
            gauge("xds_names", sum([stream.session.held for stream in streams]), "names that the streams ask for"),
            *of_books(self.catalog.size(), self.timeline),
            gauge("xds_superseded_bytes", self.history.superseded.bytes, "bodies kept of what was replaced", "bytes"),
        ]

    # The edge itself.

    def add_service(self, handler: grpc.GenericRpcHandler) -> None:
        """Serve another gRPC service (`csds.ClientStatus.handler`) beside xDS. To be called before the first `listen`."""
        assert self._server is None, "services are added before the first listen"
        self._services.append(handler)

    def connected(self) -> list[str]:
        """Return the names of the connected proxies, in no particular order."""
        return list(self._proxies)

    def listen(self, address: str, credentials: grpc.ServerCredentials | None = None) -> int:
        """Bind `HOST:PORT` or `unix:PATH` and return the port. Without `credentials` nothing is encrypted.

        gRPC gives a socket file mode 0755, so only its user may connect; chmod allows others. A second server would
        silently take over the path of a live one: hold a lock beside it.
        """
        if self._server is None:
            self._server = grpc.aio.server(options=grpc_options(self.limits))
            self._server.add_generic_rpc_handlers((*self._handlers(), *self._services))
        if credentials is None:
            port = self._server.add_insecure_port(address)
        else:
            port = self._server.add_secure_port(address, credentials)
        return port

    async def start(self, address: str = "") -> int:
        """Start serving, at `address` too if it is given. Returns its port."""
        port = self.listen(address) if address else 0
        assert self._server is not None, "start needs an address, or a listen before it"
        await self._server.start()
        return port

    async def stop(self, grace: float) -> None:
        """End all streams with UNAVAILABLE, and the server; calls that do not end within `grace` seconds are cancelled."""
        for stream in list(self._streams.values()):
            stream.end("UNAVAILABLE", "the control plane is stopping")
        if self._server is not None:
            await self._server.stop(grace)
            self._server = None
        if self._returning is not None:
            self._returning.cancel()

    # For the streams.

    def authorize(self, stream: Stream, node: NodeInfo) -> Scope:
        """Return what the client of a stream may see. Raises Refused."""
        scope = self._authenticate(stream.metadata(), node)
        # Whoever uses another token of a task must not use up what its own Envoy may take.
        client = f"{scope.proxy}@{scope.incarnation}" if scope.incarnation else scope.proxy
        stream.account = self.identities.join(client, self.clock())
        stream.sole, stream.incarnation = scope.sole, scope.incarnation
        return self._proxies.add(stream, scope)

    def progressed(self, proxy: str) -> None:
        """A stream of this proxy has answered, come or gone."""
        self._barrier.progressed(proxy)

    def settled(self, stream: Stream) -> None:
        """A stream has no response outstanding, and nothing to be sent."""
        if stream.woken_at is not None:
            self.counters.convergence.observe(self.clock() - stream.woken_at)
            stream.woken_at = None
        self._unanswered.discard(stream)
        if not self._unanswered and self._answered is not None and not self._answered.done():
            self._answered.set_result(None)

    def let_go(self) -> None:
        """Much memory was freed: give it back to the system soon. That holds up whoever allocates for some milliseconds, so a
        client must not be able to cause it at will.
        """
        if self._returning is None:
            loop = asyncio.get_running_loop()
            at = max(loop.time() + RETURN_MEMORY, self._returned_at + RETURN_AGAIN)
            self._returning = loop.call_at(at, self._return_memory)

    def _return_memory(self) -> None:
        loop = asyncio.get_running_loop()
        self._returning, self._returned_at = None, loop.time()
        loop.run_in_executor(None, return_memory)

    def _handlers(self) -> Iterable[grpc.GenericRpcHandler]:
        for service, suffix, url in _SERVICES:
            methods: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
                prefix + suffix: grpc.stream_stream_rpc_method_handler(functools.partial(self._serve, variant, url))
                for prefix, variant in _METHODS
            }
            yield grpc.method_handlers_generic_handler(f"envoy.service.{service}", methods)

    async def _serve(self, variant: Variant, url: str, _requests: object, context: Any) -> None:
        """Serve one stream from its beginning to its end, in the task that grpc has made for it."""
        self._opened += 1
        self.counters.streams += 1
        session = Session(self.catalog, variant, url, str(self._opened), self.identifier, limits=self.limits)
        stream = Stream(self, session, context)
        self._streams[session] = stream
        close: Close | None = None
        try:
            close = await stream.run()
        except* Exception:  # noqa: BLE001  # the top of the task: a fault ends this stream alone
            _log.exception("the stream of %s has failed", stream.proxy or "an unauthorized client")
            close = Close("INTERNAL", "the control plane has failed; its log says how")
        finally:
            self._forget(stream)
        if close is None:
            return
        self.counters.refused[close.code] += 1
        if close.code not in ("UNAVAILABLE", "INTERNAL"):  # which is logged already
            who = stream.proxy or "an unauthorized client"
            _log.warning("stream of %s refused: %s: %s", who, close.code, close.message)
        # gRPC keeps the exception of an abort with the call, and the exception its frames: nothing may be in this one.
        del stream, session
        aborted = await _abort(context, close)
        del context, close
        try:
            if aborted is not None:
                raise aborted
        finally:
            del aborted

    def _forget(self, stream: Stream) -> None:
        stream.close()
        del self._streams[stream.session]
        stream.woken_at = None
        self.settled(stream)
        if stream.account is not None:
            self.identities.leave(stream.account, self.clock())
        if self._proxies.remove(stream):
            self.progressed(stream.proxy)

    def _wake(self, owners: Iterable[object]) -> None:
        now = self.clock()
        for owner in owners:
            stream = self._streams[owner]
            if not stream.session.unanswered:
                self._unanswered.add(stream)
            if stream.woken_at is None:
                stream.woken_at = now
            stream.wake()

    def _why(self, proxy: str, revision: int) -> str:
        if not self.catalog.synced:
            return "the control plane is not synced yet"
        if self.catalog.revision < revision:
            return f"revision {revision} is not published yet: the newest is {self.catalog.revision}"
        return self._proxies.why(proxy, revision, self.clock())


async def _abort(context: Any, close: Close) -> grpc.aio.AbortError | None:
    """End a call from this side. Returns what has then to be raised."""
    try:
        await context.abort(grpc.StatusCode[close.code], close.message)
    except grpc.aio.AbortError as error:
        return error.with_traceback(None)
    except (grpc.aio.UsageError, grpc.aio.InternalError):
        pass  # the call has ended, or hangs in a write
    return None
