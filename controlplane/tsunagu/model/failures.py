"""Why a task failed, in the one sentence that status, events and every listing show.

The one rule: it is made from the task alone, so that all of them say the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tsunagu.model.statuses import HealthStatus, StopCode

if TYPE_CHECKING:
    from tsunagu.v1 import objects_pb2

#: Stops that somebody asked for: what a container wrote last is no reason for them.
_ASKED = frozenset({StopCode.USER, StopCode.SCHEDULER})


def why_ended(task: objects_pb2.Task) -> str:
    """Why it has stopped or is stopping, with the last line of the container that failed; empty when nothing says it."""
    reason = task.status.stopped_reason or task.spec.stop_reason
    return "; ".join(filter(None, (reason, _last_words(task))))


def why_not_running(task: objects_pb2.Task) -> str:
    """What keeps a task from being RUNNING, or from ending when it is to; empty when nothing does."""
    waits = f"waits: {task.status.waits_for}" if task.status.waits_for else ""
    return "; ".join(filter(None, (why_ended(task), waits)))


def _last_words(task: objects_pb2.Task) -> str:
    """The last line of the first container that failed, unless the task was asked to stop while it was well."""
    failed = [one for one in task.status.containers if one.last_line]
    unhealthy = [one for one in failed if one.health_status == HealthStatus.UNHEALTHY]
    if (task.status.stop_code or task.spec.stop_code) in _ASKED:
        failed = unhealthy
    checked = next(
        (
            one
            for one in task.status.containers
            if one.health_status == HealthStatus.UNHEALTHY and one.HasField("health_output")
        ),
        None,
    )
    words = [f"last line of {failed[0].name}: {failed[0].last_line}"] if failed else []
    return "; ".join([*([_check(checked)] if checked is not None else []), *words])


def _check(container: objects_pb2.ContainerStatus) -> str:
    """What the failed health check of a container said."""
    result = container.health_output
    how = "did not end in time" if result.timed_out else f"ended with {result.exit_code}"
    return f"health check of {container.name} {how}" + (f": {result.output}" if result.output else "")
