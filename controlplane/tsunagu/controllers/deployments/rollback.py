"""The way back of a deployment: when it is over, and when it has failed.

The one rule: a rollback counts the failures of the source's tasks from its own begin on, by the same circuit breaker as the way
forward. AWS has the status ROLLBACK_FAILED and does not say when it sets it. Here it means that the source does not start any more,
or that it took longer than a stage may; its tasks go on to be tried, since there is nothing better to go to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tsunagu.controllers import task_state
from tsunagu.controllers.actions import stamp
from tsunagu.controllers.deployments import breaker, stages
from tsunagu.controllers.deployments.facts import facts_of
from tsunagu.model import ids
from tsunagu.model.failures import why_ended
from tsunagu.model.statuses import BreakerStatus, DeploymentStatus

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tsunagu.v1.deployments_pb2 import ServiceDeployment
    from tsunagu.v1.objects_pb2 import Object


def go_on(
    body: ServiceDeployment, tasks: Iterable[Object], live: Iterable[Object], desired: int, limits: tuple[float, float]
) -> float:
    """Look at a deployment that is going back (it is changed); return when it will have taken too long. `limits`: now, and the seconds
    that it may take.
    """
    now, longest = limits
    ours = [task for task in tasks if task.task.spec.service_revision == body.source_revision]
    if not body.HasField("rollback"):
        stamp(body.rollback.started_at, now)
        revisions = (task.meta.revision for task in breaker.failed(ours))
        body.rollback.failures.counted_until = max(revisions, default=0)
    facts = facts_of(body, live, desired)
    if not facts.source_others and facts.source_admitted >= facts.desired:
        stages.finish(body, DeploymentStatus.ROLLBACK_SUCCESSFUL, "", now)
        return stages.NOT_YET
    config = body.configuration.deployment_circuit_breaker
    body.rollback.failures.CopyFrom(breaker.counted(body.rollback.failures, config, ours, desired))
    overdue = task_state.seconds(body.rollback.started_at) + longest
    if body.rollback.failures.status == BreakerStatus.TRIGGERED:
        _fail(body, _last_failure(body, ours), now)
    elif overdue <= now:
        _fail(body, "the way back took too long", now)
    return overdue if body.status == DeploymentStatus.ROLLBACK_IN_PROGRESS else stages.NOT_YET


def _last_failure(body: ServiceDeployment, tasks: Iterable[Object]) -> str:
    newest = max(breaker.failed(tasks), key=lambda task: task.meta.revision)
    why = why_ended(newest.task) or "it ended by itself"
    count = body.rollback.failures.failure_count
    return f"{count} tasks of the revision to go back to failed in a row, {ids.task_id(newest)} last: {why}"


def _fail(body: ServiceDeployment, reason: str, now: float) -> None:
    stages.finish(
        body, DeploymentStatus.ROLLBACK_FAILED, f"{body.status_reason}; and the rollback failed: {reason}", now
    )
