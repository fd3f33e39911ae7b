"""The NodeAgent service: logs, commands, connections and Envoy's admin interface of this machine's tasks.

Rule: it never changes how a task goes on. Only the owner may connect to its socket (0600): whoever can may run commands.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import grpc
import grpc.aio

from tsunagu.client.limits import MESSAGE_BYTES
from tsunagu.v1 import node_pb2, node_pb2_grpc
from tsunagu_node.agent import NodeAgent
from tsunagu_node.runtime.contract import RuntimeFailed
from tsunagu_node.task.calls.dial import dial
from tsunagu_node.task.container_group import ContainerGroup
from tsunagu_node.task.dependencies import Dependencies
from tsunagu_node.task.exec import execute
from tsunagu_node.task.output import logs
from tsunagu_node.task.process_names import container_of
from tsunagu_node.task.spec import task_id
from tsunagu_sidecar.admin import AdminError, AdminUnreachable

Context = Any  # grpc.aio.ServicerContext


class Api(node_pb2_grpc.NodeAgentServicer):
    """The servicer. Answers for the tasks of `agent`."""

    def __init__(self, agent: NodeAgent, dependencies: Dependencies) -> None:
        self._agent = agent
        self._dependencies = dependencies
        self._server = grpc.aio.server(options=(("grpc.max_receive_message_length", MESSAGE_BYTES),))
        node_pb2_grpc.add_NodeAgentServicer_to_server(self, self._server)

    async def start(self, socket: Path) -> None:
        """Listen at `socket`, which is this process's alone: one node agent holds the lock of the directory."""
        socket.unlink(missing_ok=True)
        before = os.umask(0o177)
        try:
            self._server.add_insecure_port(f"unix:{socket}")
            await self._server.start()
        finally:
            os.umask(before)
        socket.chmod(0o600)

    async def stop(self) -> None:
        await self._server.stop(0.1)

    async def Info(self, request: node_pb2.NodeInfoRequest, context: Context) -> node_pb2.NodeInfoResponse:  # noqa: N802
        return node_pb2.NodeInfoResponse(
            name=self._agent.identity.name,
            pid=self._agent.identity.pid,
            runtime=self._dependencies.runtime.kind,
            tasks=sorted(self._agent.controllers),
        )

    async def Logs(self, request: node_pb2.LogsRequest, context: Context) -> AsyncIterator[node_pb2.LogsResponse]:  # noqa: N802
        directory = self._dependencies.runtime.log_directory(task_id(request.task))
        if not _plain(task_id(request.task)) or not directory.is_dir():
            await _abort(context, grpc.StatusCode.NOT_FOUND, f"there are no logs of a task {request.task!r} here")
        if request.container and not _plain(request.container):
            await _abort(context, grpc.StatusCode.INVALID_ARGUMENT, f"{request.container!r} is no container's name")
        if request.container and request.container not in (known := self._containers(request.task, directory)):
            words = f"{request.task} has no container {request.container!r}; it has {', '.join(sorted(known))}"
            await _abort(context, grpc.StatusCode.NOT_FOUND, words)
        tail = request.tail if request.HasField("tail") else None
        selection = logs.Selection(request.container, tail, request.since, request.rate)
        has_ended = partial(self._has_ended, request.task) if request.follow else None
        async for line in logs.read(directory, selection, has_ended):
            yield node_pb2.LogsResponse(
                container=line.container, stream=line.stream, line=line.text, time=line.time, left_out=line.left_out
            )

    async def Exec(  # type: ignore[override]  # noqa: N802 - grpc.aio's other form: answers go through the context
        self, requests: AsyncIterator[node_pb2.ExecRequest], context: Context
    ) -> None:
        try:
            start = (await anext(aiter(requests), node_pb2.ExecRequest())).start
            await execute(self._container_group(start), start, requests, context.write)
        except _Refused as refusal:
            await _refuse_exec(context, refusal.code, str(refusal))
        except RuntimeFailed as error:
            await _refuse_exec(context, grpc.StatusCode.FAILED_PRECONDITION, str(error))

    async def EnvoyAdmin(  # noqa: N802
        self, request: node_pb2.EnvoyAdminRequest, context: Context
    ) -> node_pb2.EnvoyAdminResponse:
        controller = self._agent.find(request.task)
        if controller is None:
            await _abort(context, grpc.StatusCode.NOT_FOUND, f"no task {request.task!r} runs here")
        if controller.proxy is None:
            await _abort(context, grpc.StatusCode.FAILED_PRECONDITION, f"{request.task} has no proxy")
        try:
            answer = await controller.proxy.admin.request(request.method or "GET", request.path)
        except AdminUnreachable as error:
            await _abort(context, grpc.StatusCode.UNAVAILABLE, str(error))
        except AdminError as error:
            await _abort(context, grpc.StatusCode.INVALID_ARGUMENT, str(error))
        return node_pb2.EnvoyAdminResponse(status=answer.status, content_type=answer.content_type, body=answer.body)

    async def TaskNetwork(  # noqa: N802
        self, request: node_pb2.TaskNetworkRequest, context: Context
    ) -> node_pb2.TaskNetworkResponse:
        controller = self._agent.find(request.task)
        if controller is None or controller.running is None:
            await _abort(context, grpc.StatusCode.NOT_FOUND, f"no task {request.task!r} runs here")
        found = sorted(await controller.running.listening())
        return node_pb2.TaskNetworkResponse(
            names=controller.running.hosts(),
            unknown_names=controller.discovery.unknown_names.counts,
            listening=[node_pb2.Listening(address=one.address, port=one.port) for one in found],
            outside=await self._dependencies.outside.counts(controller.spec.id),
        )

    async def Dial(  # type: ignore[override]  # noqa: N802 - grpc.aio's other form, as Exec's
        self, requests: AsyncIterator[node_pb2.DialRequest], context: Context
    ) -> None:
        start = (await anext(aiter(requests), node_pb2.DialRequest())).start
        controller = self._agent.find(start.task)
        if controller is None or controller.running is None:
            words = f"no task {start.task!r} runs here"
            await context.write(node_pb2.DialResponse(refused=words))
            await _abort(context, grpc.StatusCode.NOT_FOUND, words)
        try:
            await dial(controller.running, start, requests, context.write)
        except RuntimeFailed as error:
            await context.write(node_pb2.DialResponse(refused=str(error)))

    def _has_ended(self, task: str) -> bool:
        """Return whether nothing of the task runs here any more, so that nobody writes to its logs."""
        return not self._agent.attends(task)

    def _containers(self, task: str, directory: Path) -> set[str]:
        """Return the containers that have written something or may still do so."""
        controller = self._agent.find(task)
        plans = (
            controller.container_group.plans
            if controller is not None and controller.container_group is not None
            else ()
        )
        return {
            logs.PROXY,
            *(plan.name for plan in plans),
            *(container_of(path.stem) for path in directory.glob("*.log")),
        }

    def _container_group(self, start: node_pb2.ExecStart) -> ContainerGroup:
        if not start.command:
            raise _Refused(grpc.StatusCode.INVALID_ARGUMENT, "the first request must be `start`, with a command")
        controller = self._agent.find(start.task)
        if controller is None:
            raise _Refused(grpc.StatusCode.NOT_FOUND, f"no task {start.task!r} runs here")
        if controller.spec.task.spec.gateway:
            words = f"{start.task} is a gateway's task, which has no container; 'tsunagu envoy' looks into its Envoy"
            raise _Refused(grpc.StatusCode.FAILED_PRECONDITION, words)
        if controller.container_group is None or not controller.container_group.plans:
            raise _Refused(grpc.StatusCode.FAILED_PRECONDITION, f"{start.task} has no containers yet")
        return controller.container_group


class _Refused(Exception):
    """The request cannot be done. `code` is the status for the caller."""

    def __init__(self, code: grpc.StatusCode, words: str) -> None:
        super().__init__(words)
        self.code = code


async def _refuse_exec(context: Context, code: grpc.StatusCode, words: str) -> NoReturn:
    """Refuse by a message as well: a caller that is writing may miss the status (grpc.aio loses it)."""
    await context.write(node_pb2.ExecResponse(refused=words))
    await _abort(context, code, words)


async def _abort(context: Context, code: grpc.StatusCode, words: str) -> NoReturn:
    await context.abort(code, words)
    raise asyncio.CancelledError  # abort has raised already


def _plain(name: str) -> bool:
    """Return whether a file of this name lies in its directory, and the name as a pattern matches that file alone."""
    return bool(name) and name not in (".", "..") and not set(name) & set("/*?[]\0")
