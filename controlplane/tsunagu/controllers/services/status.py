"""A service's status: its counts, why it is not steady, and its events in ECS's words.

The one rule: the status follows from the tasks and from the plan's decisions, and is written only when it differs. Nothing
in it but an event's time depends on the clock, so writing a status never causes another one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tsunagu.controllers import task_state
from tsunagu.controllers.actions import Change, clone, stamp
from tsunagu.controllers.services.deploying import in_short, news, rollout_state, traffic
from tsunagu.controllers.services.restarts import Restart
from tsunagu.model import ids
from tsunagu.model.failures import why_ended
from tsunagu.model.statuses import RolloutState
from tsunagu.v1 import objects_pb2

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tsunagu.controllers.policy import Policy
    from tsunagu.controllers.services.deploying import Course
    from tsunagu.controllers.services.state import ServiceState
    from tsunagu.v1.objects_pb2 import Object, ServiceStatus

#: Failures in a row from which on an event says that the service cannot start its tasks.
INCONSISTENT = 3
_STUCK = "minimumHealthyPercent and maximumPercent leave no room to replace a task: lower the one or raise the other"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a plan has decided. `unplaced`: tasks for which there is no node; `stuck`: the percentages allow no replacement."""

    started: Sequence[Object] = ()
    stopped: Sequence[Object] = ()
    unhealthy: Sequence[Object] = ()
    unplaced: int = 0
    restart: Restart = field(default_factory=Restart)
    stuck: bool = False

    def live(self, tasks: Iterable[Object]) -> list[Object]:
        """The tasks that will be there once the plan is applied, of those that are there now."""
        stopped = {task.meta.name for task in self.stopped}
        there = (task for task in tasks if task_state.is_live(task) and task.meta.name not in stopped)
        return [*self.started, *there]


def updated(course: Course, outcome: Outcome, now: float, policy: Policy) -> list[Change]:
    """The service with its new status; empty when its status stays the same."""
    state = course.state
    assert state.service is not None
    before = state.service.service.status
    shares = traffic(course, before.traffic if before.HasField("traffic") else None)
    after = objects_pb2.ServiceStatus(
        revision=state.desired.name or before.revision, deployment=state.deployment, traffic=shares
    )
    _count(after, state, outcome)
    after.rollout_state = rollout_state(course, before.rollout_state)
    after.reason = _reason(after, course, outcome)
    after.events.extend(_events(before, after, course, outcome, now)[: policy.events_kept])
    if after == before:
        return []
    changed = clone(state.service)
    changed.service.status.CopyFrom(after)
    if course.begins:
        changed.service.ClearField("next_deployment")
    return [Change(changed)]


def _count(status: ServiceStatus, state: ServiceState, outcome: Outcome) -> None:
    assert state.service is not None
    live = outcome.live(state.tasks)
    running = [task for task in live if task_state.is_running(task)]
    status.desired_count = state.limits.desired
    status.running_count = len(running)
    status.pending_count = len(live) - len(running)
    status.updated_count = sum(task.task.spec.service_revision == state.desired.name for task in running)


def _reason(status: ServiceStatus, course: Course, outcome: Outcome) -> str:
    """Why it is not steady; a failure of its tasks stays beside whatever else keeps it from being so."""
    state = course.state
    obstacles = [state.desired.problem, _no_room(state, outcome), _STUCK if outcome.stuck else ""]
    if any(obstacles):
        return "; ".join([*filter(None, obstacles), *_failure(outcome.restart)])
    if short := in_short(course) or _short_of(status):
        return "; ".join([short, *_waiting_for(state, outcome), *_failure(outcome.restart)])
    return ""


def _short_of(status: ServiceStatus) -> str:
    """How far the tasks are from what is desired; empty when they are as desired."""
    desired = status.desired_count
    if status.rollout_state != RolloutState.COMPLETED and status.running_count > status.updated_count:
        return (
            f"tasks of an earlier revision are being replaced: {status.updated_count} of {desired} are of the new one"
        )
    if status.running_count < desired:
        return f"{status.running_count} of {desired} tasks are RUNNING"
    if status.running_count > desired:
        return f"{status.running_count} tasks are RUNNING, {desired} are wanted"
    if status.pending_count:
        return f"{status.pending_count} more than the {desired} wanted are starting"
    return "" if status.rollout_state == RolloutState.COMPLETED else "the rollout is not completed yet"


def _no_room(state: ServiceState, outcome: Outcome) -> str:
    """That tasks could not be placed, and why; empty when all were."""
    if not outcome.unplaced:
        return ""
    why = "every node is full" if state.nodes else f"{state.kind} is READY; `tsunagu get nodes` says why"
    return f"was unable to place {outcome.unplaced} tasks: {why}"


def _waiting_for(state: ServiceState, outcome: Outcome) -> list[str]:
    """What the first waiting task waits for; the others mostly wait for the same."""
    waiting = sorted(
        (ids.task_id(task), task.task.status.waits_for)
        for task in outcome.live(state.tasks)
        if task.task.status.waits_for
    )
    return [f"task {name} waits: {reason}" for name, reason in waiting[:1]]


def _failure(restart: Restart) -> list[str]:
    if restart.failure is None:
        return []
    task = restart.failure
    why = why_ended(task.task) or "it is ending by itself"
    return [f"task {ids.task_id(task)} failed ({restart.attempt} in a row): {why}"]


def _events(
    before: ServiceStatus, after: ServiceStatus, course: Course, outcome: Outcome, now: float
) -> list[objects_pb2.Event]:
    """The events of the new status, newest first."""
    state = course.state
    service = f"(service {state.name.rpartition('/')[2]})"
    told = (
        *_failures(before, state, now),
        *_done(outcome),
        *news(course),
        *_transitions(before, after, _no_room(state, outcome)),
    )
    messages = [f"{service} {text}" for text in told if text]
    events = [objects_pb2.Event(message=text) for text in reversed(messages)]
    for event in events:
        stamp(event.time, now)
    return [*events, *before.events]


def _failures(before: ServiceStatus, state: ServiceState, now: float) -> list[str]:
    """Messages for the tasks that have failed and stopped, oldest first, each once.

    One that stopped before the oldest event that is kept has been told: its event was dropped since.
    """
    known = " ".join(event.message for event in before.events)
    oldest = task_state.seconds(before.events[-1].time) if before.events else 0.0
    failed = [task for task in state.tasks if task_state.is_stopped(task) and task_state.has_failed(task)]
    new = [
        task
        for task in sorted(failed, key=lambda task: task_state.stopped_at(task, now))
        if task_state.stopped_at(task, now) >= oldest and f"(task {ids.task_id(task)}) failed:" not in known
    ]
    return [f"(task {ids.task_id(task)}) failed: {why_ended(task.task) or 'it ended by itself'}." for task in new]


def _done(outcome: Outcome) -> list[str]:
    """Messages for what this plan does, oldest first."""
    messages = [f"(task {ids.task_id(task)}) failed container health checks." for task in outcome.unhealthy]
    if outcome.stopped:
        messages.append(f"has stopped {len(outcome.stopped)} running tasks: {_listed(outcome.stopped)}.")
    if outcome.started:
        messages.append(f"has started {len(outcome.started)} tasks: {_listed(outcome.started)}.")
        if outcome.restart.attempt >= INCONSISTENT:
            messages.append("is unable to consistently start tasks successfully.")
    return messages


def _listed(tasks: Sequence[Object]) -> str:
    return " ".join(f"(task {ids.task_id(task)})" for task in tasks)


def _transitions(before: ServiceStatus, after: ServiceStatus, no_room: str) -> list[str]:
    """Messages for what holds now and did not before. A state that merely goes on gives none, or there would be no end."""
    messages = []
    if no_room and no_room not in before.reason:
        messages.append(f"{no_room}.")
    if after.rollout_state == RolloutState.COMPLETED and (
        before.rollout_state != RolloutState.COMPLETED or before.revision != after.revision
    ):
        messages.append(f"(revision {after.revision.rpartition('/')[2]}) deployment completed.")
    if not after.reason and (before.reason or not before.events):
        messages.append("has reached a steady state.")
    return messages
