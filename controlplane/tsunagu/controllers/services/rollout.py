"""How many tasks of a service to start, and which to stop, so that what runs becomes what is desired.

ECS's rolling update: never more than maximumPercent of desiredCount tasks before they end, and what we stop never takes
the healthy ones below minimumHealthyPercent. The one rule: start the new, admit it, then drain the old; an old task is
stopped before its successor is admitted only when maximumPercent leaves no room to start it, and only down to the minimum.

Source: ECS API Reference, DeploymentConfiguration (defaults 100 and 200; the minimum rounds up, the maximum down).
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tsunagu.controllers import task_state

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tsunagu.v1.ecs_pb2 import CreateServiceRequest
    from tsunagu.v1.objects_pb2 import Object

DEFAULT_DESIRED = 1
DEFAULT_MINIMUM_PERCENT = 100
DEFAULT_MAXIMUM_PERCENT = 200


@dataclass(frozen=True, slots=True)
class Limits:
    """Counts of tasks. `maximum` is at least `desired`, else desiredCount could never be reached.

    `needed`: admitted tasks with which the old ones are of no more use; None: all that are desired.
    """

    desired: int
    minimum: int
    maximum: int
    needed: int | None = None

    @property
    def enough(self) -> int:
        """How many admitted tasks make the old ones superfluous."""
        return self.desired if self.needed is None else self.needed


@dataclass(frozen=True, slots=True)
class ScalingDecision:
    """`start` tasks of the desired revision are to be made; `replaced` and `surplus` are to stop."""

    start: int = 0
    replaced: tuple[Object, ...] = ()
    surplus: tuple[Object, ...] = ()

    @property
    def stop(self) -> tuple[Object, ...]:
        return self.replaced + self.surplus


def limits(spec: CreateServiceRequest, nodes: int = 1) -> Limits:
    """The counts of tasks that a service's percentages amount to. ``nodes``: on how many nodes a DAEMON has a task each.

    As in AWS, a DAEMON's percentages are 0 and 100: a node never has two of its tasks.
    """
    daemon = is_daemon(spec)
    desired = nodes if daemon else spec.desired_count if spec.HasField("desired_count") else DEFAULT_DESIRED
    config = spec.deployment_configuration
    low = 0 if daemon else DEFAULT_MINIMUM_PERCENT
    high = 100 if daemon else DEFAULT_MAXIMUM_PERCENT
    low = config.minimum_healthy_percent if config.HasField("minimum_healthy_percent") else low
    high = config.maximum_percent if config.HasField("maximum_percent") and not daemon else high
    minimum = min(desired, -(-desired * low // 100))
    return Limits(desired, minimum, maximum=max(desired, desired * high // 100))


def is_daemon(spec: CreateServiceRequest) -> bool:
    """Whether the service has one task on each node."""
    return spec.scheduling_strategy == "DAEMON"


def roll(
    limit: Limits,
    revision: str,
    live: Iterable[Object],
    *,
    ending: int = 0,
    may_start: bool = True,
    vacancies: float = math.inf,
) -> ScalingDecision:
    """The next step of a service whose tasks are to be of the revision of that name.

    `ending`: how many tasks besides `live` were told to stop and still run. `may_start`: whether a task may start now.
    `vacancies`: how many more tasks the nodes have room for.
    """
    live = list(live)
    current = [task for task in live if task.task.spec.service_revision == revision]
    old = _termination_order([task for task in live if task.task.spec.service_revision != revision])
    missing = max(0, limit.desired - len(current)) if may_start else 0
    room = max(0, limit.maximum - len(live) - ending)
    replaced = _to_replace(limit, current, old, shortage=int(missing - min(room, vacancies)))
    surplus = _termination_order(current)[: max(0, len(current) - limit.desired)]
    return ScalingDecision(min(missing, room), tuple(replaced), tuple(surplus))


def _to_replace(limit: Limits, current: Sequence[Object], old: Sequence[Object], shortage: int) -> list[Object]:
    """The old tasks to stop now: those that serve nobody, those whose successors are admitted, and those that make room."""
    admitted = sum(map(task_state.is_healthy, current))
    serving = sum(map(task_state.is_healthy, old))
    healthy = admitted + serving
    count = max(shortage, len(old) - min(serving, max(0, limit.enough - admitted)))
    chosen: list[Object] = []
    for task in old[:count]:
        if task_state.is_healthy(task):
            if healthy <= limit.minimum:
                break
            healthy -= 1
        chosen.append(task)
    return chosen


def _termination_order(tasks: list[Object]) -> list[Object]:
    """The order in which tasks are stopped: unhealthy first, then from the zone with the most tasks of the service, there
    from the node with the most, then newest.
    """
    per_zone = Counter(task.task.spec.zone for task in tasks)
    per_node = Counter(task.task.spec.node for task in tasks)
    left = sorted(tasks, key=lambda task: (-task.meta.created_revision, task.meta.name))
    ordered: list[Object] = []
    while left:
        pick = min(
            left,
            key=lambda task: (
                task_state.is_healthy(task),
                -per_zone[task.task.spec.zone],
                -per_node[task.task.spec.node],
            ),
        )
        left.remove(pick)
        per_zone[pick.task.spec.zone] -= 1
        per_node[pick.task.spec.node] -= 1
        ordered.append(pick)
    return ordered
