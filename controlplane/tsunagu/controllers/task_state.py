"""What a controller may conclude from a Task object.

The one rule: `spec.desired_status` is what controllers and users ask for, `status.last_status` what the node agent saw;
every question that combines the two is answered here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tsunagu.model.statuses import ENDING, HealthStatus, Status, StopCode

if TYPE_CHECKING:
    from google.protobuf.timestamp_pb2 import Timestamp

    from tsunagu.v1.objects_pb2 import Object

#: Codes of a task that ended by its own fault.
FAILURES = frozenset({StopCode.FAILED_TO_START, StopCode.CONTAINER_EXITED})

FAILED_HEALTH_CHECKS = "Task failed container health checks"


def is_desired(task: Object) -> bool:
    """Whether it is to run: nobody has told it to stop."""
    return task.task.spec.desired_status != Status.STOPPED


def is_ending(task: Object) -> bool:
    """Whether it no longer serves and never will again."""
    return task.task.status.last_status in ENDING


def is_live(task: Object) -> bool:
    """Whether it serves, or will."""
    return is_desired(task) and not is_ending(task)


def is_stopped(task: Object) -> bool:
    """Whether nothing of it is left but this record."""
    return task.task.status.last_status == Status.STOPPED


def is_running(task: Object) -> bool:
    """Whether it is RUNNING and to stay so."""
    return is_desired(task) and task.task.status.last_status == Status.RUNNING


def is_unhealthy(task: Object) -> bool:
    """Whether its health checks have failed."""
    return task.task.status.health_status == HealthStatus.UNHEALTHY


def is_healthy(task: Object) -> bool:
    """Whether it is admitted and may have traffic."""
    return is_running(task) and not is_unhealthy(task)


def failed_health_checks(task: Object) -> bool:
    """Whether it was told to stop because it was UNHEALTHY."""
    return task.task.spec.stop_reason == FAILED_HEALTH_CHECKS


def has_failed(task: Object) -> bool:
    """Whether it ended, or is ending, by its own fault."""
    spec, status = task.task.spec, task.task.status
    if failed_health_checks(task):
        return True
    if is_desired(task) and is_ending(task):  # nobody told it to; while it is ending there is no stop code yet
        return True
    return not spec.stop_code and status.stop_code in FAILURES


def seconds(stamp: Timestamp) -> float:
    """Seconds since the epoch; 0.0 when it was never set."""
    return float(stamp.seconds + stamp.nanos / 1e9)


def started_at(task: Object) -> float | None:
    """When it became RUNNING, if it ever did."""
    status = task.task.status
    return seconds(status.started_at) if status.HasField("started_at") else None


def stopped_at(task: Object, now: float) -> float:
    """When it ended: now, while it is still ending. Never in the future, whatever a node's clock says."""
    status = task.task.status
    return min(now, seconds(status.stopped_at)) if status.HasField("stopped_at") else now


def created_at(task: Object) -> float:
    """When its object was created."""
    return seconds(task.task.status.created_at)
