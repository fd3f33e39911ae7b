"""A task's status as the registry keeps it, from what the node agent knows. Pure but for the times, which are now."""

from collections.abc import Callable, Iterable, Mapping

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
    containers_and_states: tuple[Iterable[Container], Mapping[str, State]],
    proxy: objects_pb2.ProxyStatus | None,
    last_line: Callable[[str], str] = lambda _: "",
) -> objects_pb2.TaskStatus:
    """Return the status that follows `before`; times that are set stay. `last_line` reads what a container wrote last."""
    plans, states = containers_and_states
    reported = objects_pb2.TaskStatus()
    reported.CopyFrom(before)
    reported.last_status = status.value
    _set_now(reported, "created_at")
    if status is Status.RUNNING:
        _set_now(reported, "started_at")
    if status is Status.STOPPED:
        _set_now(reported, "stopped_at")
    if stop is not None and not earlier(status, Status.DEACTIVATING):
        reported.stop_code, reported.stopped_reason = stop.code, stop.reason
    if states:
        reported.health_status = containers.health(plans, states)
        known = {one.name: one for one in before.containers}
        final = not earlier(status, Status.DEPROVISIONING)
        del reported.containers[:]
        for name, state in states.items():
            shown = _container(name, state)
            if containers.has_failed(state):
                shown.last_line = _last_line(known.get(name), shown, last_line, final=final)
            reported.containers.append(shown)
    reported.health_status = reported.health_status or HealthStatus.UNKNOWN
    if proxy is not None:
        if proxy.restarts and proxy.restarts == before.proxy.restarts and not proxy.HasField("exit_code"):
            proxy.exit_code = (
                before.proxy.exit_code
            )  # an agent that has adopted it knows no more than the report before
        reported.proxy.CopyFrom(proxy)
    return reported


def _last_line(
    before: objects_pb2.ContainerStatus | None,
    now: objects_pb2.ContainerStatus,
    read: Callable[[str], str],
    *,
    final: bool,
) -> str:
    """Read it when the container has failed anew, and when the task is over: a status must not follow a log."""
    same = before is not None and (before.last_status, before.health_status, before.restarts) == (
        now.last_status,
        now.health_status,
        now.restarts,
    )
    return before.last_line if same and before is not None and not final else read(now.name)


def _container(name: str, state: State) -> objects_pb2.ContainerStatus:
    check = state.check
    return objects_pb2.ContainerStatus(
        name=name,
        last_status=state.status,
        exit_code=state.exit_code,
        reason=state.reason,
        health_status=state.health,
        pid=state.pid,
        restarts=state.restarts,
        health_output=objects_pb2.HealthOutput(exit_code=check.code, output=check.output, timed_out=check.timed_out)
        if check
        else None,
    )


def _set_now(status: objects_pb2.TaskStatus, field: str) -> None:
    if not status.HasField(field):  # type: ignore[arg-type]
        moment = Timestamp()
        moment.GetCurrentTime()
        getattr(status, field).CopyFrom(moment)


def stop_of(status: objects_pb2.TaskStatus) -> Stop | None:
    """Return why an adopted task was stopping already: what has ended since ended because of that."""
    return Stop(status.stop_code, status.stopped_reason) if status.stop_code else None
