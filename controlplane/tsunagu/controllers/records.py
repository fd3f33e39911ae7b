"""How long the record of a STOPPED task is kept.

ECS shows a stopped task for at least an hour; here it is an hour at most, and of each owner only the newest few. The one
rule: the newest failures stay long enough to know the delay of the next start (the cap of the delay is below an hour).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tsunagu.controllers import task_state

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tsunagu.controllers.policy import Policy
    from tsunagu.v1.objects_pb2 import Object


def outdated(tasks: Iterable[Object], now: float, policy: Policy) -> list[Object]:
    """Records that can go."""
    newest = _stopped(tasks, now)
    kept = newest[: policy.records_kept]
    aged = [task for task in kept if task_state.stopped_at(task, now) + policy.record_age <= now]
    return newest[policy.records_kept :] + aged


def next_outdated(tasks: Iterable[Object], now: float, policy: Policy) -> float | None:
    """When the oldest of the records that stay will be an hour old."""
    ages = (task_state.stopped_at(task, now) + policy.record_age for task in _stopped(tasks, now))
    return min((at for at in ages if at > now), default=None)


def _stopped(tasks: Iterable[Object], now: float) -> list[Object]:
    stopped = [task for task in tasks if task_state.is_stopped(task)]
    return sorted(stopped, key=lambda task: (-task_state.stopped_at(task, now), -task.meta.revision, task.meta.name))
