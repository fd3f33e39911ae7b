"""The APIs of a running mesh, called from ordinary (not asynchronous) code.

Rule: every call has a deadline, and an error says which mesh did not do what.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import grpc

from tsunagu.client.limits import MESSAGE_BYTES
from tsunagu.kit.http import Response
from tsunagu.kit.spelling import did_you_mean
from tsunagu.model import ids
from tsunagu.model.statuses import Status
from tsunagu.testing.call import Executed
from tsunagu.testing.errors import MeshError, RequestRefused, UnknownName, refusals
from tsunagu.v1 import (
    inspector_pb2,
    inspector_pb2_grpc,
    node_pb2,
    node_pb2_grpc,
    objects_pb2,
    registry_pb2,
    registry_pb2_grpc,
    signals_pb2,
    signals_pb2_grpc,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from tsunagu.model.plan import Change

DEADLINE = 30.0
#: A process that was killed is connected to again as soon as the next one listens: gRPC's own pause grows to two minutes.
_OPTIONS = (
    ("grpc.max_receive_message_length", MESSAGE_BYTES),
    ("grpc.enable_http_proxy", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
)
_WRITES = 20


class Apis:
    """Registry and Inspector at `socket`, and the node agents that the registry names."""

    def __init__(self, socket: Path) -> None:
        self._channels: dict[str, grpc.Channel] = {}
        channel = self._channel(f"unix:{socket}")
        self._registry = registry_pb2_grpc.RegistryStub(channel)
        self._inspector = inspector_pb2_grpc.InspectorStub(channel)
        self._signals = signals_pb2_grpc.SignalsStub(channel)

    def close(self) -> None:
        """Ends every connection."""
        for channel in self._channels.values():
            channel.close()
        self._channels.clear()

    # -- signals ----------------------------------------------------------------------------------------------------

    @refusals()
    def windows(self, since: float = 3600.0, **fields: Any) -> list[signals_pb2.Window]:
        """What was counted in the last `since` seconds (at most 3600); `fields`: the others of a WindowsRequest."""
        request = signals_pb2.WindowsRequest(since=since, **fields)
        return list(self._signals.Windows(request, timeout=DEADLINE).windows)

    # -- registry ---------------------------------------------------------------------------------------------------

    @refusals()
    def objects(self, kind: str = "", prefix: str = "") -> list[objects_pb2.Object]:
        """Objects of a kind (all kinds when empty), sorted by name. A long list comes in pages."""
        request = registry_pb2.ListRequest(kind=kind, name_prefix=prefix)
        page = self._registry.List(request, timeout=DEADLINE)
        found = list(page.objects)
        while page.next_page_token:
            request.page_token = page.next_page_token
            page = self._registry.List(request, timeout=DEADLINE)
            found += page.objects
        return found

    def state(self) -> dict[str, dict[str, objects_pb2.Object]]:
        """All objects by kind and name; a kind without objects is there, too."""
        found: dict[str, dict[str, objects_pb2.Object]] = {kind: {} for kind in ids.KINDS}
        for obj in self.objects():
            found[ids.kind_of(obj)][obj.meta.name] = obj
        return found

    def get(self, kind: str, name: str) -> objects_pb2.Object | None:
        """One object, or None."""
        try:
            with refusals():
                return self._registry.Get(registry_pb2.GetRequest(kind=kind, name=name), timeout=DEADLINE)
        except RequestRefused as error:
            if error.status is grpc.StatusCode.NOT_FOUND:
                return None
            raise

    @refusals()
    def put(self, obj: objects_pb2.Object, expected: int | None = None) -> int:
        """Writes one object; the revision."""
        return self._registry.Put(registry_pb2.PutRequest(object=obj, expected=expected), timeout=DEADLINE).revision

    def batch(self, objects: Iterable[objects_pb2.Object]) -> int:
        """Writes objects, all or none; the revision."""
        return self._batch(registry_pb2.Change(put=registry_pb2.PutRequest(object=obj)) for obj in objects)

    def commit(self, changes: Iterable[Change]) -> int:
        """Carries out a plan's changes, all or none, if nobody was faster; the revision."""
        return self._batch(_operation(change) for change in changes)

    @refusals()
    def _batch(self, changes: Iterable[registry_pb2.Change]) -> int:
        return self._registry.Batch(registry_pb2.BatchRequest(changes=changes), timeout=DEADLINE).revision

    @refusals()
    def delete(self, kind: str, name: str) -> int:
        """Deletes one object; the revision."""
        return self._registry.Delete(registry_pb2.DeleteRequest(kind=kind, name=name), timeout=DEADLINE).revision

    def update(self, kind: str, name: str, change: Callable[[objects_pb2.Object], None]) -> int:
        """Reads, changes and writes one object, again when someone else was faster. Raises UnknownName."""
        for _ in range(_WRITES):
            obj = self.get(kind, name)
            if obj is None:
                known = [one.meta.name for one in self.objects(kind)]
                raise UnknownName(
                    f"there is no {kind} {name!r}; {did_you_mean(name, known, f'there are: {_list(known)}')}"
                )
            change(obj)
            try:
                return self.put(obj, obj.meta.revision)
            except RequestRefused as error:
                if error.status is not grpc.StatusCode.FAILED_PRECONDITION:
                    raise
        raise MeshError(f"{kind} {name!r} was changed by others {_WRITES} times in a row")

    # -- inspector --------------------------------------------------------------------------------------------------

    @refusals()
    def info(self) -> inspector_pb2.InfoResponse:
        return self._inspector.Info(inspector_pb2.InfoRequest(), timeout=DEADLINE)

    @refusals()
    def proxies(self, proxy: str = "") -> list[inspector_pb2.Proxy]:
        return list(self._inspector.Proxies(inspector_pb2.ProxiesRequest(proxy=proxy), timeout=DEADLINE).proxies)

    def metrics(self) -> list[inspector_pb2.Metric]:
        """What the control plane counts of itself."""
        return list(self._inspector.Metrics(inspector_pb2.MetricsRequest(), timeout=DEADLINE).metrics)

    @refusals()
    def wait(self, revision: int, timeout: float, namespace: str) -> inspector_pb2.WaitResponse:
        """The barrier; answers at `timeout` (seconds) at the latest."""
        request = inspector_pb2.WaitRequest(revision=revision, timeout_seconds=timeout, namespace=namespace)
        return self._inspector.Wait(request, timeout=timeout + DEADLINE)

    def timeline(self, request: inspector_pb2.TimelineRequest) -> Iterator[inspector_pb2.TimelineEvent]:
        """Events of the ring; with `follow` until the reader has enough, else to the newest."""
        call = self._inspector.Timeline(request, timeout=None if request.follow else DEADLINE)
        try:
            with refusals():
                yield from call
        finally:
            cast("grpc.RpcContext", call).cancel()

    @refusals()
    def override(self, request: inspector_pb2.OverrideRequest) -> int:
        return self._inspector.Override(request, timeout=DEADLINE).revision

    # -- node agents ------------------------------------------------------------------------------------------------

    @refusals()
    def agent(self, node: objects_pb2.Object) -> node_pb2.NodeInfoResponse:
        """What the agent of a Node says of itself, with the names of the tasks that it looks after."""
        return self._agent_at(node).Info(node_pb2.NodeInfoRequest(), timeout=DEADLINE)

    @refusals()
    def envoy(self, task: objects_pb2.Object, path: str, method: str) -> Response:
        """One request to the admin interface of a task's Envoy."""
        request = node_pb2.EnvoyAdminRequest(task=task.meta.name, path=path, method=method)
        answer = self._agent(task).EnvoyAdmin(request, timeout=DEADLINE)
        return Response(answer.status, {"content-type": answer.content_type}, answer.body)

    @refusals()
    def logs(self, task: objects_pb2.Object, container: str, tail: int | None) -> list[node_pb2.LogsResponse]:
        """What containers have written until now."""
        request = node_pb2.LogsRequest(task=task.meta.name, container=container, tail=tail)
        return list(self._agent(task).Logs(request, timeout=DEADLINE))

    @refusals()
    def execute(self, task: objects_pb2.Object, start: node_pb2.ExecStart, stdin: bytes, timeout: float) -> Executed:
        """Runs a command to its end. Raises MeshError, also when it takes longer than `timeout` seconds."""
        requests = [
            node_pb2.ExecRequest(start=start),
            *([node_pb2.ExecRequest(stdin=stdin)] if stdin else []),
            node_pb2.ExecRequest(stdin_eof=True),
        ]
        written: dict[str, list[bytes]] = {"stdout": [], "stderr": []}
        for answer in self._agent(task).Exec(iter(requests), timeout=timeout):
            kind = answer.WhichOneof("response")
            if kind == "exit_code":
                return Executed(answer.exit_code, b"".join(written["stdout"]), b"".join(written["stderr"]))
            if kind in written:
                written[kind].append(getattr(answer, kind))
        raise MeshError(f"the node agent ended {list(start.command)} without an exit code")

    def _agent(self, task: objects_pb2.Object) -> node_pb2_grpc.NodeAgentStub:
        node = self.get("Node", task.task.spec.node)
        if node is None:
            raise UnknownName(f"the node {task.task.spec.node!r} of the task {task.meta.name!r} is gone")
        return self._agent_at(node)

    def _agent_at(self, node: objects_pb2.Object) -> node_pb2_grpc.NodeAgentStub:
        return node_pb2_grpc.NodeAgentStub(self._channel(node.node.api))

    def _channel(self, target: str) -> grpc.Channel:
        if target not in self._channels:
            self._channels[target] = grpc.insecure_channel(target, options=_OPTIONS)
        return self._channels[target]


def _operation(change: Change) -> registry_pb2.Change:
    if change.object is None:
        name = {"kind": change.kind, "name": change.name}
        return registry_pb2.Change(delete=registry_pb2.DeleteRequest(**name, expected=change.expected))
    return registry_pb2.Change(put=registry_pb2.PutRequest(object=change.object, expected=change.expected))


def _list(names: list[str]) -> str:
    return ", ".join(names[:8]) + (", ..." if len(names) > 8 else "") or "none"


def qualified(service: str) -> str:
    """The whole name of a service: in the cluster `default` unless it says another."""
    return service if "/" in service else ids.service_name("default", service)


def in_service(task: objects_pb2.Object) -> bool:
    """Whether a task runs and is wanted."""
    return task.task.status.last_status == Status.RUNNING and task.task.spec.desired_status == Status.RUNNING
