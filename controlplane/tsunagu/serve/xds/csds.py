"""CSDS, the status service of xDS itself: public tools read from it what each connected client has of each resource.

    ClientStatus(ads).register(server)                    # beside other services of a grpc.aio server
    ads.add_service(ClientStatus(ads, check).handler())   # on the xDS server; `check` says who may ask

It is the view of a management server: `config_status` is SYNCED, NOT_SENT, STALE or ERROR, `version_info` and
`xds_config` are what the client is to have now, `error_state` has the words of its NACK. Rule: whoever asks is shown no
secret: no body of SDS, no metadata of a node (it may hold a token). An answer is put together client by client, so that
a large one holds up no push.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

import grpc
import grpc.aio
from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto
from google.protobuf.message import DecodeError

from tsunagu.serve.xds.call_metadata import CallMetadata
from tsunagu.serve.xds.refusal import Refused
from tsunagu.v1 import discovery_pb2, status_pb2
from tsunagu.xds import wire
from tsunagu.xds.inspection.status import NACKED, NOT_SENT, STALE, SYNCED

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Sequence

    from tsunagu.serve.xds.ads import ProxyState
    from tsunagu.xds.inspection.inventory import ResourceState
    from tsunagu.xds.requests.decode import NodeInfo

NAME = "envoy.service.status.v3.ClientStatusDiscoveryService"
MAX_BYTES = 256 << 20  # of one answer
Context = Any  # grpc.aio.ServicerContext

_Client = status_pb2.ClientConfig
_Config = _Client.GenericXdsConfig
_CONFIG = {SYNCED: _Client.SYNCED, NOT_SENT: _Client.NOT_SENT, STALE: _Client.STALE, NACKED: _Client.ERROR}
#: What follows from it about the client's own view; of what is unanswered nothing does.
_CLIENT = {SYNCED: _Config.ACKED, NOT_SENT: _Config.REQUESTED, NACKED: _Config.NACKED}


class Ads(Protocol):
    """What is needed of the xDS server (`serve.ads.AdsServer`)."""

    wall: Callable[[], float]

    def proxies(self) -> Sequence[ProxyState]: ...
    def resources(self, proxy: str) -> Iterable[ResourceState]: ...
    def node(self, proxy: str) -> NodeInfo | None: ...


class Unanswerable(Exception):
    """A question that is not answered, and why."""

    code = grpc.StatusCode.INVALID_ARGUMENT


class TooMuch(Unanswerable):
    """The answer would not fit into memory that one question is worth."""

    code = grpc.StatusCode.RESOURCE_EXHAUSTED


class ClientStatus:
    """Answers of `ads`. `check` gets the metadata of a call and raises Refused; without it who reaches this may ask."""

    def __init__(self, ads: Ads, check: Callable[[CallMetadata], None] | None = None) -> None:
        self._ads = ads
        self._check = check

    def register(self, server: grpc.aio.Server) -> None:
        """Adds the service to a server that has not started."""
        server.add_generic_rpc_handlers((self.handler(),))

    def handler(self) -> grpc.GenericRpcHandler:
        """The service, for a server to be made."""
        methods: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
            "FetchClientStatus": grpc.unary_unary_rpc_method_handler(self._fetch),
            "StreamClientStatus": grpc.stream_stream_rpc_method_handler(self._stream),
        }
        return grpc.method_handlers_generic_handler(NAME, methods)

    async def _fetch(self, data: bytes, context: Context) -> bytes:
        await self._admit(context)
        return await self._answer(data, context)

    async def _stream(self, requests: AsyncIterator[bytes], context: Context) -> AsyncIterator[bytes]:
        await self._admit(context)
        async for data in requests:
            yield await self._answer(data, context)

    async def _admit(self, context: Context) -> None:
        if self._check is None:
            return
        try:
            self._check(CallMetadata(context))
        except Refused as error:
            await _abort(context, grpc.StatusCode[error.code], error)

    async def _answer(self, data: bytes, context: Context) -> bytes:
        try:
            request = status_pb2.ClientStatusRequest.FromString(data)
            wanted = [_matcher(matcher) for matcher in request.node_matchers] or [lambda _: True]
            return await self._configs(wanted, bodies=not request.exclude_resource_contents)
        except DecodeError as error:
            await _abort(context, grpc.StatusCode.INVALID_ARGUMENT, error)
        except Unanswerable as error:
            await _abort(context, error.code, error)

    async def _configs(self, wanted: Sequence[Callable[[str], bool]], *, bodies: bool) -> bytes:
        """A ClientStatusResponse{1: config}."""
        configs: list[bytes] = []
        size = 0
        for proxy in [state.proxy for state in self._ads.proxies()]:
            if not any(matches(name) for matches in wanted for name in _names(proxy)):
                continue
            config = self._config(proxy, bodies=bodies)
            size += len(config)
            if size > MAX_BYTES:
                raise TooMuch(
                    f"that is more than {MAX_BYTES >> 20} MiB: exclude_resource_contents, or ask for fewer nodes"
                )
            configs.append(wire.delimited(1, config))
            await asyncio.sleep(0)
        return b"".join(configs)

    def _config(self, proxy: str, *, bodies: bool) -> bytes:
        now = self._ads.wall()
        config = _Client(node=_node(proxy, self._ads.node(proxy)))
        for state in self._ads.resources(proxy):
            _describe(state, config.generic_xds_configs.add(), now, body=bodies)
        return config.SerializeToString()


def _names(proxy: str) -> set[str]:
    """Return the names by which a client is matched: of a shared identity (NAME#1) also the name that is shared."""
    return {proxy, proxy.rpartition("#")[0] or proxy}


def _node(proxy: str, claims: NodeInfo | None) -> discovery_pb2.Node:
    """By the name under which it was admitted; the rest is what it says of itself."""
    node = discovery_pb2.Node(id=proxy)
    if claims is not None:
        node.cluster, node.user_agent_name, node.user_agent_version = claims.cluster, claims.user_agent, claims.version
        if claims.region or claims.zone or claims.sub_zone:
            node.locality.region, node.locality.zone = claims.region, claims.zone
            node.locality.sub_zone = claims.sub_zone
        node.client_features.extend(claims.client_features)
    return node


def _describe(state: ResourceState, config: _Config, now: float, *, body: bool) -> None:
    config.type_url, config.name, config.version_info = state.type_url, state.name, state.version
    config.config_status = _CONFIG[state.state]
    config.client_status = _CLIENT.get(state.state, _Config.UNKNOWN)
    if state.state == SYNCED and state.resource is None:
        config.client_status = _Config.DOES_NOT_EXIST
    moved = int((now - state.age) * 1e9)
    config.last_updated.FromNanoseconds(moved)
    if state.state == NACKED:
        config.error_state.details = state.error
        config.error_state.version_info = state.version
        config.error_state.last_update_attempt.FromNanoseconds(moved)
    if body and state.shown:
        config.xds_config.type_url, config.xds_config.value = state.type_url, state.shown


def _matcher(matcher: status_pb2.NodeMatcher) -> Callable[[str], bool]:
    """Whether a node id is meant. Raises Unanswerable: who asks for one client must not be told of all."""
    if matcher.node_metadatas:
        raise Unanswerable("node_metadatas is not supported: clients are matched by node_id alone")
    by = matcher.node_id
    kind = by.WhichOneof("match_pattern")
    if kind is None:
        if matcher.HasField("node_id"):
            raise Unanswerable(f"node_id says nothing that is known here: give {', '.join(_MATCHES)}")
        return lambda _: True
    if kind not in _MATCHES:
        raise Unanswerable(f"node_id.{kind} is not supported; {', '.join(_MATCHES)} are")
    fold = str.lower if by.ignore_case else str
    wanted = fold(getattr(by, kind))
    return lambda name: _MATCHES[kind](fold(name), wanted)


_MATCHES: dict[str, Callable[[str, str], bool]] = {
    "exact": str.__eq__,
    "prefix": str.startswith,
    "suffix": str.endswith,
    "contains": str.__contains__,
}


def described() -> FileDescriptorProto:
    """The service and its messages under their public names, for reflection: tools need no file of Envoy's for it."""
    file = FileDescriptorProto()
    status_pb2.DESCRIPTOR.CopyToProto(file)
    package, _, service = NAME.rpartition(".")
    for message in file.message_type:
        _rename(message, f".{file.package}.", f".{package}.", {message.name for message in file.message_type})
    file.name, file.package = "envoy/service/status/v3/csds.proto", package
    ends = {"input_type": f".{package}.ClientStatusRequest", "output_type": f".{package}.ClientStatusResponse"}
    file.service.add(name=service).method.add(name="FetchClientStatus", **ends)
    streams = {"client_streaming": True, "server_streaming": True}
    file.service[0].method.add(name="StreamClientStatus", **ends, **streams)
    return file


def _rename(message: DescriptorProto, old: str, new: str, own: set[str]) -> None:
    for field in message.field:
        if field.type_name.removeprefix(old).partition(".")[0] in own:
            field.type_name = field.type_name.replace(old, new, 1)
    for nested in message.nested_type:
        _rename(nested, old, new, own)


async def _abort(context: Context, code: grpc.StatusCode, error: Exception) -> NoReturn:
    await context.abort(code, str(error))
    raise AssertionError("abort raises")
