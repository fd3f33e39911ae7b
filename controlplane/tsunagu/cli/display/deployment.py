"""A deployment in a line: its stage, the tasks of both revisions, their weights, how they answer, and the time that is left.

The one rule: what is not known is left out. A revision without samples has neither an error rate nor a latency.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tsunagu.controllers.deployments import stages
from tsunagu.model.deployments import alarms, lifecycle_hooks
from tsunagu.model.statuses import ENDING, AlarmsStatus, Status

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tsunagu.signals.windows import Seen
    from tsunagu.v1.deployments_pb2 import ServiceDeployment
    from tsunagu.v1.objects_pb2 import Object


@dataclass(frozen=True, slots=True)
class Side:
    """One revision of a deployment. `weight` in tenths of a percent; None: as many requests as its tasks get."""

    name: str
    running: int
    pending: int
    weight: int | None
    seen: Seen | None = None


def sides(service: Object, deployment: Object, tasks: Iterable[Object]) -> tuple[Side, Side]:
    """The source and the target; the counts are of tasks that are to run."""
    body, shares = deployment.service_deployment, service.service.status.traffic.weights
    weights = {one.revision: one.weight for one in shares}
    wanted = [
        task.task
        for task in tasks
        if task.task.spec.desired_status != Status.STOPPED and task.task.status.last_status not in ENDING
    ]
    made = []
    for name in (body.source_revision, body.target_revision):
        ours = [task for task in wanted if name and task.spec.service_revision == name]
        running = sum(task.status.last_status == Status.RUNNING for task in ours)
        made.append(Side(name, running, len(ours) - running, weights.get(name)))
    return made[0], made[1]


def line(deployment: Object, both: tuple[Side, Side], now: float, watched: Iterable[Object] = ()) -> str:
    """The deployment as it is now: the time, two spaces, and what is more than the time."""
    body = deployment.service_deployment
    words = [body.status if body.status != "IN_PROGRESS" else body.lifecycle_stage or "PENDING"]
    words += [f"{label} {_side(side)}" for label, side in zip(("source", "target"), both, strict=True) if side.name]
    if body.circuit_breaker.failure_count:
        words.append(f"{body.circuit_breaker.failure_count} of {body.circuit_breaker.threshold} failures")
    words += _alarms(body, watched, int(deployment.meta.name.rpartition("/")[2]))
    words += [lifecycle_hooks.waiting(body, hook) for hook in lifecycle_hooks.waited_for(body)]
    until = stages.bakes_until(body, now)
    left = f", {until - now:.0f} s of bakes left" if until is not None and until > now else ""
    if body.finished_at.seconds:
        now = body.finished_at.seconds
    return f"{max(0, now - body.created_at.seconds):.0f} s{left}  {'; '.join(words)}"


def _alarms(body: ServiceDeployment, known: Iterable[Object], number: int) -> list[str]:
    """The alarms by which it may go back, each with its state; that none is looked at, since one was in ALARM."""
    if body.alarms.ignored_alarm_names:
        names = ", ".join(body.alarms.ignored_alarm_names)
        return [f"no alarm is looked at: {names} was in ALARM when it began"]
    if body.alarms.status != AlarmsStatus.MONITORING:
        return []
    return [f"alarm {one.meta.name} {alarms.state(one.alarm, number)}" for one in known]


def _side(side: Side) -> str:
    words = [f"{side.running} RUNNING"]
    if side.pending:
        words.append(f"{side.pending} starting")
    if side.weight is not None:
        words.append(f"{side.weight / 10:g} %")
    if side.seen is not None and (errors := side.seen.error_rate) is not None:
        words.append(f"errors {errors * 100:.1f} %")
        if (median := side.seen.latency(0.5)) is not None:
            words.append(f"p50 {median * 1000:.1f} ms")
        if (slowest := side.seen.latency(0.99)) is not None:
            words.append(f"p99 {slowest * 1000:.1f} ms")
    return ", ".join(words)
