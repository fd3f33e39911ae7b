"""A task's status as the registry keeps it, from what the node agent knows. Pure but for the time of two of its steps."""

from collections.abc import Iterable, Mapping

from google.protobuf.timestamp_pb2 import Timestamp

from tsunagu.model.statuses import HealthStatus, Status
from tsunagu.v1 import objects_pb2
from tsunagu_node.task import containers
from tsunagu_node.task.containers import Container, State
from tsunagu_node.task.lifecycle import Stop, earlier


def report(
    before: objects_pb2.TaskStatus,
    status: Status,
    stop: Stop | None,
    container_group: tuple[Iterable[Container], Mapping[str, State]],
    proxy: objects_pb2.ProxyStatus | None,
) -> objects_pb2.TaskStatus:
    """The status after `before`; times of what has already happened stay."""
    plans, states = container_group
    told = objects_pb2.TaskStatus()
    told.CopyFrom(before)
    told.last_status = status.value
    _happened(told, "created_at")
    if status is Status.RUNNING:
        _happened(told, "started_at")
    if status is Status.STOPPED:
        _happened(told, "stopped_at")
    if stop is not None and not earlier(status, Status.DEACTIVATING):
        told.stop_code, told.stopped_reason = stop.code, stop.reason
    if states:
        told.health_status = containers.health(plans, states)
        del told.containers[:]
        told.containers.extend(_container(name, state) for name, state in states.items())
    told.health_status = told.health_status or HealthStatus.UNKNOWN
    if proxy is not None:
        told.proxy.CopyFrom(proxy)
    return told


def _container(name: str, state: State) -> objects_pb2.ContainerStatus:
    return objects_pb2.ContainerStatus(
        name=name,
        last_status=state.status,
        exit_code=state.exit_code,
        reason=state.reason,
        health_status=state.health,
        pid=state.pid,
        restarts=state.restarts,
    )


def _happened(status: objects_pb2.TaskStatus, field: str) -> None:
    if not status.HasField(field):  # type: ignore[arg-type]
        moment = Timestamp()
        moment.GetCurrentTime()
        getattr(status, field).CopyFrom(moment)
