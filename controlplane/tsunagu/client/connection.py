"""Connections to a running mesh: its APIs on the sockets in its home.

The one rule: what goes wrong leaves here as a `ClientError`; nobody above sees a gRPC status.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio

from tsunagu.client import lookup
from tsunagu.client.errors import (
    ClientError,
    Conflicting,
    InvalidRequest,
    NoMesh,
    NotConverged,
    RequestFailed,
    UnknownName,
    first,
)
from tsunagu.client.is_up import is_up
from tsunagu.client.limits import MESSAGE_BYTES
from tsunagu.client.registry import RegistryClient
from tsunagu.client.status_errors import ERRORS, NotSynced
from tsunagu.model.errors import ManifestError
from tsunagu.model.statuses import NodeState
from tsunagu.registry.objects import NotFound
from tsunagu.registry.store import Conflict
from tsunagu.v1 import inspector_pb2_grpc, node_pb2, node_pb2_grpc, signals_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from tsunagu.settings import Home
    from tsunagu.v1 import objects_pb2

_ERROR_STATUS = 400  # of HTTP, and above
_RESTART_SECONDS = 5.0
_AWAY = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
OPTIONS = (
    ("grpc.max_receive_message_length", MESSAGE_BYTES),
    ("grpc.enable_http_proxy", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
)


@dataclass(frozen=True, slots=True)
class Link:
    """The APIs of one mesh, while `connected` is open."""

    home: Home
    registry: RegistryClient
    inspector: Any  # the generated stubs for grpc.aio have no types of their own
    signals: Any

    async def find(self, kind: str, word: str, *, whole: bool = False) -> objects_pb2.Object:
        """The object that a word means; `whole`: the word is not a shortened name. Raises UnknownName, InvalidRequest."""
        found, _ = await self.registry.list(kind)
        by_name = {obj.meta.name: obj for obj in found}
        return by_name[lookup.find(kind, word, by_name, whole=whole)]


@asynccontextmanager
async def connected(home: Home) -> AsyncIterator[Link]:
    """The mesh of that home. Raises NoMesh; what goes wrong with it inside the block is a ClientError, too."""
    if not home.api_socket.exists() and not is_up(home):
        raise no_mesh(home)
    async with channel(home.api_socket) as opened:
        if is_up(home):
            await _until_there(opened)
        with client_errors(home):
            inspector, signals = inspector_pb2_grpc.InspectorStub(opened), signals_pb2_grpc.SignalsStub(opened)
            yield Link(home, RegistryClient(opened), inspector, signals)


async def _until_there(opened: grpc.aio.Channel) -> None:
    """Waits, for a few seconds at most, for a control plane that is being restarted."""
    with suppress(TimeoutError):
        async with asyncio.timeout(_RESTART_SECONDS):
            await opened.channel_ready()


def channel(socket: Path, *options: tuple[str, int]) -> grpc.aio.Channel:
    """A channel to a Unix socket, with more ``options`` of gRPC's."""
    return grpc.aio.insecure_channel(f"unix:{socket}", options=tuple({**dict(OPTIONS), **dict(options)}.items()))


@asynccontextmanager
async def node_agent(link: Link, task: objects_pb2.Object) -> AsyncIterator[Any]:
    """The NodeAgent API of the machine that runs a task. Raises RequestFailed when it is gone, or does not answer."""
    node = await link.registry.get("Node", task.task.spec.node)
    if node is None:
        raise RequestFailed(f"the node {task.task.spec.node!r} of task {short(task.meta.name)} is gone")
    if node.node.state == NodeState.NOT_READY:
        message = f"the node {node.meta.name!r} of task {short(task.meta.name)} is not ready: {node.node.reason}"
        raise RequestFailed(message, f"see {link.home.node_log(node.node.api)}")
    async with grpc.aio.insecure_channel(node.node.api, options=OPTIONS) as opened:
        try:
            yield node_pb2_grpc.NodeAgentStub(opened)
        except grpc.aio.AioRpcError as error:
            if error.code() not in _AWAY or not link.home.api_socket.exists():
                raise
            message = f"the node agent {node.meta.name!r} does not answer: {error.details() or 'it has ended'}"
            raise RequestFailed(message, f"see {link.home.node_log(node.node.api)}") from error


async def ask_envoy(link: Link, task: objects_pb2.Object, path: str, method: str = "GET") -> bytes:
    """Reads a page of the admin interface of a task's Envoy. Raises RequestFailed when it does not answer, or with an error."""
    whose = f"the Envoy of {short(task.meta.name)}"
    request = node_pb2.EnvoyAdminRequest(task=task.meta.name, path=path, method=method)
    with client_errors(link.home):
        async with node_agent(link, task) as agent:
            try:
                answer = await agent.EnvoyAdmin(request)
            except grpc.aio.AioRpcError as error:
                if error.code() is grpc.StatusCode.UNAVAILABLE:
                    raise RequestFailed(f"{whose} does not answer: {error.details()}") from error
                raise
    if answer.status >= _ERROR_STATUS:
        words = answer.body.decode(errors="replace").strip().partition("\n")[0].partition(". admin commands")[0]
        raise RequestFailed(
            f"{whose} answers {path} with {answer.status}: {words}",
            "its pages are listed by 'tsunagu envoy TASK /help'",
        )
    return bytes(answer.body)


def short(task: str) -> str:
    """A task's name without its cluster."""
    return task.rpartition("/")[2]


_CAUGHT: tuple[type[BaseException], ...] = (*ERRORS, grpc.aio.AioRpcError, BaseExceptionGroup)
_BY_ERROR: dict[type[BaseException], type[ClientError]] = {
    Conflict: Conflicting,
    NotFound: UnknownName,
    NotSynced: NoMesh,
}
#: Of the inspector and the node agents; what the registry refuses has been made an error of `ERRORS` by its client.
_BY_STATUS: dict[grpc.StatusCode, type[ClientError]] = {
    grpc.StatusCode.NOT_FOUND: UnknownName,
    grpc.StatusCode.INVALID_ARGUMENT: InvalidRequest,
    grpc.StatusCode.DEADLINE_EXCEEDED: NotConverged,
}


@contextmanager
def client_errors(home: Home) -> Iterator[None]:
    """Makes ClientErrors of gRPC's and the registry's errors; a ManifestError stays one."""
    try:
        yield
    except _CAUGHT as error:
        cause = first(error)
        if isinstance(cause, grpc.aio.AioRpcError):
            raise from_status(cause, home) from error
        if isinstance(cause, ERRORS) and not isinstance(cause, ManifestError):
            raise _BY_ERROR.get(type(cause), RequestFailed)(str(cause)) from error
        raise


def from_status(error: grpc.aio.AioRpcError, home: Home) -> ClientError:
    """What a gRPC status of the control plane, or of a node agent that answers, means to whoever called it."""
    status, details = error.code(), error.details() or ""
    away = status in _AWAY
    if away and not home.api_socket.exists():
        return no_mesh(home)
    if away:
        return NoMesh(f"the mesh in {home.root} does not answer{_last_words(home)}", f"see {home.log('serve')}")
    return _BY_STATUS.get(status, RequestFailed)(details or status.name.lower().replace("_", " "))


def _last_words(home: Home) -> str:
    """What its control plane has said last on standard error, where it says why it ends; empty when it said nothing."""
    file = home.log("serve").with_suffix(".err")
    try:
        words = [line for line in file.read_text(errors="replace").splitlines() if line.strip()]
        ago = time.time() - file.stat().st_mtime
    except OSError:
        return ""
    return f"; its control plane said {ago:.0f} s ago: {words[-1].strip()[:300]}" if words else ""


def no_mesh(home: Home) -> NoMesh:
    """The error that says that nothing runs in this home."""
    return NoMesh(
        f"no mesh is running in {home.root}", "start one with 'tsunagu up PATH...', or say which with --home or --name"
    )
