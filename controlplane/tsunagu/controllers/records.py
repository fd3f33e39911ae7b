"""How long the record of a STOPPED task is kept.

ECS shows a stopped task for at least an hour; here it is an hour at most, and of each owner only the newest few. The one
rule: the newest failures stay long enough to know the delay of the next start (which is at most 15 minutes).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tsunagu.controllers import task_state

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tsunagu.controllers.policy import Policy
    from tsunagu.v1.objects_pb2 import Object


def outdated(tasks: Iterable[Object], now: float, policy: Policy) -> list[Object]:
    """The records to remove."""
    newest = _stopped(tasks, now)
    kept = newest[: policy.records_kept]
    aged = [task for task in kept if task_state.stopped_at(task, now) + policy.record_age <= now]
    return newest[policy.records_kept :] + aged


def next_outdated(tasks: Iterable[Object], now: float, policy: Policy) -> float | None:
    """When the next of the remaining records is due to go, in seconds since the epoch; None when there is none."""
    ages = (task_state.stopped_at(task, now) + policy.record_age for task in _stopped(tasks, now))
    return min((at for at in ages if at > now), default=None)


def _stopped(tasks: Iterable[Object], now: float) -> list[Object]:
    stopped = [task for task in tasks if task_state.is_stopped(task)]
    return sorted(stopped, key=lambda task: (-task_state.stopped_at(task, now), -task.meta.revision, task.meta.name))
