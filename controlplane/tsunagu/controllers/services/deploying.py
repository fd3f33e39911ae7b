"""Where a service's deployment stands: begins one, moves it, and says which tasks and which traffic it asks for.

The one rule: what a deployment does goes into the commit of the service's plan, so a deployment costs no commit of its own and
is never ahead of the tasks or behind them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tsunagu.controllers import task_state
from tsunagu.controllers.actions import Action, Change, Create, Remove
from tsunagu.controllers.deployments import course, history, stages
from tsunagu.controllers.deployments.course import Fleet, Observed
from tsunagu.controllers.deployments.strategies import strategy_of
from tsunagu.controllers.services.revisions import DesiredRevision
from tsunagu.model.deployments import lifecycle_hooks
from tsunagu.model.statuses import FINISHED, DeploymentStatus, RolloutState, Stage
from tsunagu.v1 import deployments_pb2

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tsunagu.controllers.policy import Policy
    from tsunagu.controllers.services.state import ServiceState
    from tsunagu.v1 import objects_pb2
    from tsunagu.v1.deployments_pb2 import ServiceDeployment
    from tsunagu.v1.objects_pb2 import Object


@dataclass(frozen=True, slots=True)
class Course:
    """`state`: on its course. `deployment`: None only for a service that was never resolved, or from before there were any.

    `ended`: an earlier deployment that this one has overtaken. `wake_at`: seconds since the epoch, inf for never.
    """

    state: ServiceState
    deployment: Object | None
    asked: Object | None  # the revision that the service asks for
    ended: Object | None = None
    wake_at: float = math.inf

    @property
    def begins(self) -> bool:
        """Whether the deployment is new."""
        return self.deployment is not None and not self.deployment.meta.revision

    @property
    def fleets(self) -> tuple[Fleet, ...]:
        """What is to run."""
        if self.deployment is None:
            return (Fleet(self.state.desired.name, self.state.deployment),) if self.state.desired.revision else ()
        return course.fleets(self.deployment, self.state.limits.desired)

    def revision(self, name: str) -> Object | None:
        """The ServiceRevision of that name: one that the registry has, or will have with this plan."""
        return _revision(self.state, self.asked, name)

    def new_revisions(self) -> list[Action]:
        """The target's revision, if the registry has not got it."""
        body = self.deployment.service_deployment if self.deployment is not None else None
        target = self.revision(body.target_revision) if body is not None else None
        return [Create(target)] if target is not None and not target.meta.revision else []

    def actions(self) -> list[Action]:
        """What of the deployments is to be written."""
        known = {one.meta.name: one for one in self.state.deployments}
        written = [one for one in (self.ended, self.deployment) if one is not None and one != known.get(one.meta.name)]
        return [Change(one) if one.meta.revision else Create(one) for one in written]

    def outdated(self, policy: Policy) -> list[Action]:
        """The records of deployments that go."""
        earlier = [one for one in self.state.deployments if not self._is_ours(one)]
        return list(map(Remove, [*history.outdated(self._all, policy.deployments_kept), *earlier]))

    def kept_revisions(self) -> set[str]:
        """Names of the revisions that a deployment may still go to."""
        return {self.state.desired.name} | history.revisions_of(self._all)

    @property
    def _all(self) -> list[Object]:
        there = (*filter(self._is_ours, self.state.deployments), self.ended, self.deployment)
        return list({one.meta.name: one for one in there if one is not None}.values())

    def _is_ours(self, deployment: Object) -> bool:
        """Whether it is not one of an earlier service of the same name."""
        service = self.state.service
        return service is not None and deployment.meta.created_revision >= service.meta.created_revision


def on_course(observed: ServiceState, now: float, policy: Policy) -> Course:
    """Where the service of that state stands now: a deployment that is to begin has begun, and the present one moved."""
    service = observed.service
    assert service is not None
    ours = [one for one in observed.deployments if one.meta.created_revision >= service.meta.created_revision]
    asked, present = observed.desired, history.present(service.service, ours)
    ended = None
    if history.must_begin(service.service, present, asked.name):
        if present is not None and not history.is_over(present):
            ended = history.overtaken(present, observed.deployment, now)
        past = [ended if ended is not None and one is present else one for one in ours]
        source = history.completed(service.service, past)
        known = _revision(observed, asked.revision, source[0]) is not None
        present = history.begun(service, observed.deployment, asked.name, source if known else ("", 0), now)
    if present is None:
        return Course(replace(observed, deployment=service.service.status.deployment), None, asked.revision)
    live = [task for task in observed.tasks if task_state.is_live(task)]
    return _moved(Course(observed, present, asked.revision, ended), live, now, policy)


def concluded(before: Course, live: Iterable[Object], now: float, policy: Policy) -> Course:
    """The course once the plan is applied: with the last task that it had to stop, a deployment is over."""
    if before.deployment is None:
        return before
    return _moved(before, live, now, policy)


def _moved(before: Course, live: Iterable[Object], now: float, policy: Policy) -> Course:
    state, present = before.state, before.deployment
    assert present is not None
    there = Observed(state.tasks, tuple(live), state.limits.desired, state.alarms)
    moved, wake_at = course.moved(present, there, now, policy)
    desired = DesiredRevision(before.revision(course.in_force(moved)), state.desired.problem)
    state = replace(state, desired=desired, deployment=history.number_of(moved))
    return replace(before, state=state, deployment=moved, wake_at=wake_at)


def _revision(state: ServiceState, asked: Object | None, name: str) -> Object | None:
    if asked is not None and asked.meta.name == name:
        return asked
    return next((one for one in state.revisions if one.meta.name == name), None)


def traffic(found: Course, before: objects_pb2.ServiceTraffic | None) -> objects_pb2.ServiceTraffic | None:
    """How the service's revisions share the requests; None: each by its tasks. What another one than a deployment has written
    since the last one began stays.
    """
    if found.deployment is None:
        return before
    if not strategy_of(found.deployment.service_deployment).shifts and not found.begins:
        return before
    target = found.revision(found.deployment.service_deployment.target_revision)
    requests = target is not None and any(port.app_protocol != "tcp" for port in target.service_revision.ports)
    return course.traffic(found.deployment, requests=requests)


def rollout_state(found: Course, before: str) -> RolloutState:
    """The service's `rolloutState`; FAILED: the deployment was stopped, and nothing follows it."""
    if found.deployment is None:
        return RolloutState(before) if before else RolloutState.IN_PROGRESS
    body = found.deployment.service_deployment
    if body.status not in FINISHED:
        return RolloutState.IN_PROGRESS
    return RolloutState.FAILED if body.status in _FAILED else RolloutState.COMPLETED


def in_short(found: Course) -> str:
    """Why the service is not steady, as far as its deployment tells it and its tasks do not; empty: it is, or they do."""
    if found.deployment is None:
        return ""
    body = found.deployment.service_deployment
    if body.status == DeploymentStatus.STOPPED:
        return f"deployment {history.number_of(found.deployment)} was stopped: {body.status_reason}"
    if body.status == DeploymentStatus.ROLLBACK_FAILED:
        return f"deployment {history.number_of(found.deployment)} could not be rolled back: {body.status_reason}"
    if body.status == DeploymentStatus.ROLLBACK_IN_PROGRESS:
        return f"deployment {history.number_of(found.deployment)} is rolled back: {body.status_reason}"
    if body.status == DeploymentStatus.IN_PROGRESS and (
        strategy_of(body).shifts or body.lifecycle_stage == Stage.BAKE_TIME
    ):
        waits = [f"it {lifecycle_hooks.waiting(body, hook)}" for hook in lifecycle_hooks.waited_for(body)]
        if stages.bakes(body) and body.alarms.awaited_alarm_names:
            waits.append(f"it waits for data of alarm {', '.join(body.alarms.awaited_alarm_names)}")
        return "; ".join([f"deployment {history.number_of(found.deployment)} is in {body.lifecycle_stage}", *waits])
    return ""


def news(found: Course) -> list[str]:
    """Messages for what has just become of the deployment, oldest first. That it was completed is told by `rolloutState`."""
    if found.deployment is None:
        return []
    before = next((one for one in found.state.deployments if one.meta.name == found.deployment.meta.name), None)
    told = before.service_deployment if before is not None else deployments_pb2.ServiceDeployment()
    body, messages = found.deployment.service_deployment, _news_of_hooks(found.deployment.service_deployment, told)
    if body.status != told.status and body.status in _NEWS:
        messages.append(f"{_NEWS[DeploymentStatus(body.status)]}: {body.status_reason}")
    return [f"(deployment {history.number_of(found.deployment)}) {message}." for message in messages]


def _news_of_hooks(body: ServiceDeployment, told: ServiceDeployment) -> list[str]:
    """Sentences for the hooks that have begun or ended."""
    before = {hook.hook_id: hook for hook in told.lifecycle_hooks}
    messages = []
    for hook in body.lifecycle_hooks:
        waits, known = lifecycle_hooks.is_waited_for(hook), before.get(hook.hook_id)
        if known is None:
            messages.append(lifecycle_hooks.waiting(body, hook))
        if not waits and (known is None or lifecycle_hooks.is_waited_for(known)):
            messages.append(lifecycle_hooks.ending(hook))
    return messages


_NEWS = {
    DeploymentStatus.STOPPED: "deployment failed",
    DeploymentStatus.ROLLBACK_IN_PROGRESS: "rolling back",
    DeploymentStatus.ROLLBACK_SUCCESSFUL: "rolled back",
    DeploymentStatus.ROLLBACK_FAILED: "rollback failed",
}
_FAILED = frozenset({DeploymentStatus.STOPPED, DeploymentStatus.ROLLBACK_FAILED})
