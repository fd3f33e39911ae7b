"""A proxy that does what the test says: an xDS client over real gRPC, for both variants.

Rule: it answers nothing by itself. A test subscribes, receives, and ACKs or NACKs, so that each step of a dialogue can
be late, wrong or left out; `until` is the one convenience, which ACKs everything that comes until a condition holds.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import grpc
import grpc.aio

from tsunagu.v1 import discovery_pb2 as xds
from tsunagu.xds import wire
from tsunagu.xds.resources import SHORT, TYPES

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from types import TracebackType

_SERVICE = "/envoy.service.discovery.v3.AggregatedDiscoveryService/"
_METHODS = {"delta": "DeltaAggregatedResources", "sotw": "StreamAggregatedResources"}
_REFUSED = 13  # Envoy's code for a NACK (INTERNAL)


@dataclass(frozen=True, slots=True)
class Update:
    """One response. `type` is short (CDS ...); `resources` name -> encoded body, `versions` name -> version (delta).

    SotW responses have one `version`, and their resources are named by the first field of their bodies.
    """

    type: str
    nonce: str
    version: str
    resources: Mapping[str, bytes]
    versions: Mapping[str, str] = field(default_factory=dict)
    removed: tuple[str, ...] = ()


class StreamEnded(EOFError):
    """The server has ended the stream: with `code` (OK, UNAUTHENTICATED ...) and `details`."""

    def __init__(self, proxy: str, code: grpc.StatusCode, details: str) -> None:
        self.code, self.details = code, details
        super().__init__(f"the stream of {proxy} has ended: {code.name} {details}")


class FakeProxy:
    """One stream to the server at `target` (e.g. "unix:/home/xds.sock"), open for a `with` block.

    async with FakeProxy("unix:xds.sock", node="default/web-1", token=token) as proxy:
        await proxy.subscribe("CDS", ["*"])
        update = await proxy.receive()
        await proxy.ack(update)

    `method`: that of a service of one type instead of the aggregated one, with its full path.
    `held` is what it has ACKed and not lost since: type -> name -> body.
    """

    def __init__(
        self,
        target: str,
        *,
        node: str,
        token: str = "",
        variant: str = "delta",
        cluster: str = "",
        method: str = "",
    ) -> None:
        self.node = xds.Node(id=node, cluster=cluster, user_agent_name="fake-proxy")
        self.held: dict[str, dict[str, bytes]] = {}
        self._target, self._variant = target, variant
        self._method = method or _SERVICE + _METHODS[variant]
        self._metadata = (("authorization", f"Bearer {token}"),) if token else ()
        self._subscribed: dict[str, list[str]] = {}
        self._accepted: dict[str, str] = {}
        self._nonces: dict[str, str] = {}
        self._channel: grpc.aio.Channel | None = None
        self._call: Any = None
        self._first = True

    async def __aenter__(self) -> Self:
        request, response = (
            (xds.DeltaDiscoveryRequest, xds.DeltaDiscoveryResponse)
            if self._variant == "delta"
            else (xds.DiscoveryRequest, xds.DiscoveryResponse)
        )
        # A channel of its own connection: two fake proxies are two clients.
        options = (("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0))
        self._channel = grpc.aio.insecure_channel(self._target, options=options)
        method = self._channel.stream_stream(
            self._method,
            request_serializer=request.SerializeToString,
            response_deserializer=response.FromString,
        )
        self._call, self._first = method(metadata=self._metadata), True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends the stream and its connection."""
        if self._channel:
            self._call.cancel()
            await self._channel.close()
            self._channel = None

    async def subscribe(
        self, short: str, names: Collection[str] = (), versions: Mapping[str, str] | None = None
    ) -> None:
        """Asks for names of a type (none, in the first request of CDS or LDS: all of them).

        `versions`: what it still has from an earlier stream, name -> version (delta only).
        """
        known = self._subscribed.setdefault(short, [])
        known += [name for name in names if name not in known]
        if self._variant == "delta":
            request = xds.DeltaDiscoveryRequest(
                type_url=SHORT[short],
                resource_names_subscribe=names,
                initial_resource_versions=versions or {},
            )
            await self._send(request)
        else:
            await self._send(self._state(short))

    async def unsubscribe(self, short: str, names: Collection[str]) -> None:
        """Takes names of a type back, and forgets what it had of them."""
        self._subscribed[short] = [name for name in self._subscribed.get(short, ()) if name not in names]
        for name in names:
            self.held.get(short, {}).pop(name, None)
        if self._variant == "delta":
            await self._send(xds.DeltaDiscoveryRequest(type_url=SHORT[short], resource_names_unsubscribe=names))
        else:
            await self._send(self._state(short))

    async def receive(self, timeout: float = 5.0) -> Update:
        """The next response. Raises TimeoutError when none comes, StreamEnded when the server ended the stream."""
        try:
            async with asyncio.timeout(timeout):
                message = await self._call.read()
        except grpc.aio.AioRpcError as error:
            raise StreamEnded(self.node.id, error.code(), error.details() or "") from error
        if message is grpc.aio.EOF:
            raise await self._ended()
        update = _delta(message) if self._variant == "delta" else _sotw(message)
        self._nonces[update.type] = update.nonce
        return update

    async def nothing(self, seconds: float = 0.2) -> None:
        """Asserts that no response comes for a while."""
        try:
            update = await self.receive(seconds)
        except TimeoutError:
            return
        raise AssertionError(f"{self.node.id} expected nothing, and was sent {update}")

    async def ack(self, update: Update) -> None:
        """Accepts a response."""
        held = self.held.setdefault(update.type, {})
        if self._variant == "sotw" and TYPES[SHORT[update.type]].full_state:
            held.clear()
        held.update(update.resources)
        for name in update.removed:
            held.pop(name, None)
        self._accepted[update.type] = update.version
        await self._answer(update, None)

    async def nack(self, update: Update, message: str) -> None:
        """Refuses a response with these words."""
        await self._answer(update, xds.Status(code=_REFUSED, message=message))

    async def until(self, condition: Callable[[FakeProxy], Any], timeout: float = 5.0) -> None:
        """Receives and ACKs whatever comes, until `condition(self)` holds. Raises TimeoutError."""
        async with asyncio.timeout(timeout):
            while not condition(self):
                await self.ack(await self.receive(timeout))

    async def boot(self, timeout: float = 5.0) -> None:
        """Subscribes as Envoy does at its start (CDS, then EDS of these clusters, LDS) and ACKs what comes first."""
        await self.subscribe("CDS")
        clusters = await self.receive(timeout)
        await self.ack(clusters)
        if clusters.resources:
            await self.subscribe("EDS", sorted(clusters.resources))
            await self.until(lambda proxy: set(clusters.resources) <= set(proxy.held.get("EDS", {})), timeout)
        await self.subscribe("LDS")
        await self.until(lambda proxy: "LDS" in proxy.held, timeout)

    async def _answer(self, update: Update, error: xds.Status | None) -> None:
        if self._variant == "delta":
            request = xds.DeltaDiscoveryRequest(type_url=SHORT[update.type], response_nonce=update.nonce)
        else:
            request = self._state(update.type)
            request.response_nonce = update.nonce
        if error is not None:
            request.error_detail.CopyFrom(error)
        await self._send(request)

    def _state(self, short: str) -> Any:
        return xds.DiscoveryRequest(
            type_url=SHORT[short],
            resource_names=self._subscribed.get(short, ()),
            version_info=self._accepted.get(short, ""),
            response_nonce=self._nonces.get(short, ""),
        )

    async def _send(self, request: Any) -> None:
        if self._first:
            request.node.CopyFrom(self.node)
            self._first = False
        try:
            await self._call.write(request)
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError) as error:
            raise await self._ended() from error

    async def _ended(self) -> StreamEnded:
        return StreamEnded(self.node.id, await self._call.code(), await self._call.details() or "")


def _delta(message: xds.DeltaDiscoveryResponse) -> Update:
    return Update(
        type=TYPES[message.type_url].short,
        nonce=message.nonce,
        version=message.system_version_info,
        resources={resource.name: resource.resource.value for resource in message.resources},
        versions={resource.name: resource.version for resource in message.resources},
        removed=tuple(message.removed_resources),
    )


def _sotw(message: xds.DiscoveryResponse) -> Update:
    return Update(
        type=TYPES[message.type_url].short,
        nonce=message.nonce,
        version=message.version_info,
        resources={_name(resource.value): resource.value for resource in message.resources},
    )


def _name(body: bytes) -> str:
    """The first field of every type of the protocol is its name."""
    found = wire.first(body, 1)
    return found.decode() if isinstance(found, bytes) else ""
