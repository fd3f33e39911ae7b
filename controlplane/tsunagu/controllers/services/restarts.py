"""When a task may take the place of one that failed.

A task that never becomes RUNNING must not be started in a tight loop, and one that ran well and was killed must be
replaced at once. The one rule: the delay follows from the tasks alone. Each carries how many failures in a row came
before it (`spec.attempt`), so no counter can be lost by a restart or counted twice.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tsunagu.controllers import task_state

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tsunagu.controllers.policy import Policy
    from tsunagu.v1.objects_pb2 import Object


@dataclass(frozen=True, slots=True)
class Restart:
    """When the next task may start. `failure` is the newest of the failures in a row, None when there is none.

    `ready_at` and `wake_at` are seconds since the epoch; at `wake_at` this would change though nothing else has.
    """

    attempt: int = 0
    ready_at: float = 0.0
    failure: Object | None = None
    wake_at: float | None = None


def restart(peers: Iterable[Object], now: float, policy: Policy) -> Restart:
    """When a successor may start. `peers`: every task, dead or alive, made from the same revision as the successor."""
    peers = list(peers)
    proven = max((task.meta.created_revision for task in peers if _is_proven(task, now, policy)), default=0)
    streak = [task for task in peers if _counts(task, now, policy) and task.meta.created_revision >= proven]
    if not streak:
        return Restart()
    ready_at = max(task_state.stopped_at(task, now) + policy.restart.delay(task.task.spec.attempt) for task in streak)
    turns = [ready_at, *(_needed_until(task, policy) or 0.0 for task in peers if not task_state.is_stopped(task))]
    return Restart(
        attempt=1 + max(task.task.spec.attempt for task in streak),
        ready_at=ready_at,
        # A task that is still ending is the newest, whatever the time: a status must not depend on the clock.
        failure=max(streak, key=lambda task: (task_state.stopped_at(task, math.inf), task.meta.name)),
        wake_at=min((turn for turn in turns if turn > now), default=None),
    )


def _counts(task: Object, now: float, policy: Policy) -> bool:
    return not task_state.is_live(task) and task_state.has_failed(task) and not _is_proven(task, now, policy)


def _is_proven(task: Object, now: float, policy: Policy) -> bool:
    """Whether it was RUNNING for long enough. Such a task ends the row of failures of those made before it."""
    needed = _needed_until(task, policy)
    until = now if task_state.is_live(task) else task_state.stopped_at(task, now)
    return needed is not None and until >= needed


def _needed_until(task: Object, policy: Policy) -> float | None:
    """The time until which it must be RUNNING to be proven; None when it never was RUNNING."""
    started = task_state.started_at(task)
    if started is None:
        return None
    return started + (policy.stable_after_unhealthy if task_state.failed_health_checks(task) else policy.stable_after)
