"""What the course of a deployment depends on besides itself: how many tasks of which revision there are, and what they did.

The one rule: counts are of live tasks, and admitted is who is healthy: RUNNING and not UNHEALTHY.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tsunagu.controllers import task_state

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tsunagu.v1.deployments_pb2 import ServiceDeployment
    from tsunagu.v1.objects_pb2 import Object


@dataclass(frozen=True, slots=True)
class Facts:
    """`needed`: admitted tasks of the target that are enough; less than `desired` only by earlySuccessCriteria.

    `target_others`, `source_others`: live tasks of any other revision than the target, the source.
    """

    desired: int
    needed: int
    target_admitted: int = 0
    source_admitted: int = 0
    target_others: int = 0
    source_others: int = 0


def facts_of(body: ServiceDeployment, live: Iterable[Object], desired: int) -> Facts:
    """Count the live tasks of a service by what they are to its deployment."""
    live = list(live)
    target = [task for task in live if task.task.spec.service_revision == body.target_revision]
    source = [task for task in live if task.task.spec.service_revision == body.source_revision]
    return Facts(
        desired=desired,
        needed=needed(body, desired),
        target_admitted=sum(map(task_state.is_healthy, target)),
        source_admitted=sum(map(task_state.is_healthy, source)),
        target_others=len(live) - len(target),
        source_others=len(live) - len(source),
    )


def needed(body: ServiceDeployment, desired: int) -> int:
    """How many admitted tasks of the target are a success: `healthyPercent` (rounded up) of desiredCount, or all."""
    early = body.configuration.early_success_criteria
    percent = early.healthy_percent if early.enable and early.HasField("healthy_percent") else 100
    return min(desired, -(-desired * percent // 100))
