"""The server of the mesh's APIs (Registry, Inspector) on a Unix socket, with health and reflection for public tools.

The registry starts processes, so whoever reaches it can run anything as this user. The one rule: it listens on a socket of
mode 0600 and nowhere else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
from google.protobuf.descriptor_pool import Default, DescriptorPool
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2

from tsunagu.client.limits import MESSAGE_BYTES
from tsunagu.serve.sockets import OwnedSocket

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from google.protobuf.descriptor import FileDescriptor
    from google.protobuf.descriptor_pb2 import FileDescriptorProto

OPTIONS = (
    ("grpc.max_receive_message_length", MESSAGE_BYTES),
    ("grpc.max_send_message_length", -1),
    ("grpc.so_reuseport", 0),
    ("grpc.http2.max_ping_strikes", 0),  # or a client that pings its quiet watch is sent away: too_many_pings
    ("grpc.keepalive_permit_without_calls", 1),
)

_V1 = "grpc.reflection.v1.ServerReflection"


class ApiServer:
    """Serves at one Unix socket. `add` services, `start`, `mark_serving`, `stop`."""

    def __init__(self, path: Path, mode: int = 0o600) -> None:
        self._socket = OwnedSocket(path, mode)
        self._server = grpc.aio.server(options=OPTIONS)
        self._health: Any = health.aio.HealthServicer()  # type: ignore[attr-defined]  # its library is not typed
        self._names: list[str] = []
        self._closers: list[Callable[[], None]] = []
        self._files: list[FileDescriptorProto] = []

    def add(
        self,
        name: str,
        register: Callable[[grpc.aio.Server], None],
        close: Callable[[], None] | None = None,
        file: FileDescriptorProto | None = None,
    ) -> None:
        """A service by its full name (``tsunagu.v1.Registry``); ``register`` adds its servicer to the server.

        ``close`` is called when the server stops, and ends the service's long calls. ``file`` describes a service for
        reflection that has no generated stubs here.
        """
        register(self._server)
        self._files += [file] if file else []
        self._names.append(name)
        if close:
            self._closers.append(close)

    async def start(self) -> None:
        """Binds and serves; health says NOT_SERVING until `mark_serving`. Raises SocketInUseError, SocketPathError."""
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)  # type: ignore[no-untyped-call]
        names = (*self._names, health_pb2.DESCRIPTOR.services_by_name["Health"].full_name, reflection.SERVICE_NAME)
        _reflect(self._server, names, _described(names, self._files))
        try:
            self._socket.bind(self._server.add_insecure_port)
        except BaseException:
            await self._server.stop(None)
            raise
        await self.mark_serving(serving=False)
        await self._server.start()

    async def mark_serving(self, *, serving: bool = True) -> None:
        """What health answers, for the whole server and for each service."""
        status = health_pb2.HealthCheckResponse.SERVING if serving else health_pb2.HealthCheckResponse.NOT_SERVING
        for name in ("", *self._names):
            await self._health.set(name, status)

    async def stop(self, grace: float) -> None:
        """Ends watches at once and other calls within ``grace`` seconds; then the socket is gone."""
        await self._health.enter_graceful_shutdown()
        for close in self._closers:
            close()
        await self._server.stop(grace)
        self._socket.release()


def _reflect(server: grpc.aio.Server, names: tuple[str, ...], pool: DescriptorPool) -> None:
    """Reflection as v1alpha, which every tool speaks, and as v1: the same messages under another name."""
    reflection.enable_server_reflection(names, server, pool)  # type: ignore[no-untyped-call]
    servicer = reflection.aio.ReflectionServicer(names, pool)  # type: ignore[no-untyped-call]
    handler = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_V1, {"ServerReflectionInfo": handler}),))


def _described(names: tuple[str, ...], files: list[FileDescriptorProto]) -> DescriptorPool:
    """A pool of the services' own: names of others (Envoy's) in the process's pool would shut out any other copy."""
    pool, known = DescriptorPool(), Default()
    own = {f"{file.package}.{service.name}" for file in files for service in file.service}
    seen: set[str] = set()
    for name in names:
        if name not in own:
            _copy(known.FindFileContainingSymbol(name), pool, seen)
    for file in files:
        for dependency in file.dependency:
            _copy(known.FindFileByName(dependency), pool, seen)
        pool.AddSerializedFile(file.SerializeToString())
    return pool


def _copy(file: FileDescriptor, pool: DescriptorPool, seen: set[str]) -> None:
    if file.name in seen:
        return
    seen.add(file.name)
    for dependency in file.dependencies:
        _copy(dependency, pool, seen)
    pool.AddSerializedFile(file.serialized_pb)
