"""The lifecycle hooks of a deployment: when each is to be called, what an answer to it means, and when it times out.

The one rule: a stage with hooks begins all of them at once and is not over before each of them has ended. Who calls a function
(`serve.hooks`) or continues a pause (the user) only leaves an answer in the deployment; what follows from it is decided here.

Source: ECS API Reference, DeploymentLifecycleHook (defaults of timeoutConfiguration) and DeploymentLifecycleHookDetail (states);
ECS Developer Guide, Lambda hooks and pause hooks for service deployments (answers, callBackDelay, hookDetails).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from tsunagu.controllers import task_state
from tsunagu.controllers.actions import stamp
from tsunagu.model.deployments.lifecycle_hooks import LAMBDA, PAUSE, is_waited_for, title, waited_for
from tsunagu.model.statuses import HookStatus, Stage

if TYPE_CHECKING:
    from tsunagu.v1.deployments_pb2 import LifecycleHookState, ServiceDeployment
    from tsunagu.v1.ecs_pb2 import DeploymentLifecycleHook

TIMEOUT_MINUTES: Final = 1440
TIMEOUT_ACTION: Final = "ROLLBACK"
CALL_BACK_SECONDS: Final = 30.0
LEAST_CALL_BACK: Final = 1.0
"""A function that asks to be called back at once is not called in a loop."""
KEPT: Final = 50
"""Hooks that have ended stay in the record, the newest of them: LINEAR may have dozens of steps, each with its own."""

_FIRST_CALL: Final = {PAUSE: HookStatus.AWAITING_ACTION, LAMBDA: HookStatus.IN_PROGRESS}


def begin(body: ServiceDeployment, now: float, *, several: bool) -> None:
    """Begin the hooks of the stage that the deployment has just entered. `several`: tasks of more than one revision run, without
    which AWS has no RECONCILE_SERVICE.
    """
    if body.lifecycle_stage == Stage.RECONCILE_SERVICE and not several:
        return
    for index, hook in enumerate(body.configuration.lifecycle_hooks):
        if body.lifecycle_stage in hook.lifecycle_stages:
            _begin(body.lifecycle_hooks.add(), hook, f"{_prefix(body)}{index}", body.lifecycle_stage, now)
    ended = [place for place, hook in enumerate(body.lifecycle_hooks) if not is_waited_for(hook)]
    for place in reversed(ended[: max(0, len(ended) - KEPT)]):
        del body.lifecycle_hooks[place]


def _begin(state: LifecycleHookState, hook: DeploymentLifecycleHook, name: str, stage: str, now: float) -> None:
    limit = hook.timeout_configuration
    minutes = limit.timeout_in_minutes if limit.HasField("timeout_in_minutes") else TIMEOUT_MINUTES
    state.hook_id, state.lifecycle_stage = name, stage
    state.target_type = hook.target_type or LAMBDA
    state.status = _FIRST_CALL[state.target_type]
    state.timeout_action = limit.action or TIMEOUT_ACTION
    stamp(state.started_at, now)
    stamp(state.expires_at, now + minutes * 60)
    if state.target_type == LAMBDA:
        state.target_arn = hook.hook_target_arn
        stamp(state.call_at, now)
        if hook.HasField("hook_details"):
            state.hook_details.CopyFrom(hook.hook_details)


def heed(body: ServiceDeployment, now: float) -> str:
    """Take in the answers, and end what has timed out. Return why the deployment is to go back; empty: it is not."""
    for hook in waited_for(body):
        if hook.HasField("answer"):
            _take_in(hook, now)
        if is_waited_for(hook) and task_state.seconds(hook.expires_at) <= now:
            _end(hook, HookStatus.TIMED_OUT, f"it was not answered within {_minutes(hook)} minutes", now)
    return next((_why(hook) for hook in body.lifecycle_hooks if _turns_back(hook)), "")


def _take_in(hook: LifecycleHookState, now: float) -> None:
    answer = hook.answer
    hook.calls += 1
    if answer.HasField("hook_details"):
        hook.hook_details.CopyFrom(answer.hook_details)
    if answer.status == HookStatus.IN_PROGRESS:
        delay = answer.call_back_delay if answer.HasField("call_back_delay") else CALL_BACK_SECONDS
        stamp(hook.call_at, now + max(LEAST_CALL_BACK, delay))
        hook.reason = answer.reason
    else:
        _end(hook, HookStatus(answer.status), answer.reason, now)
    hook.ClearField("answer")


def _end(hook: LifecycleHookState, status: HookStatus, reason: str, now: float) -> None:
    hook.status, hook.reason = status, reason
    hook.ClearField("call_at")
    stamp(hook.ended_at, now)


def _turns_back(hook: LifecycleHookState) -> bool:
    if hook.status == HookStatus.TIMED_OUT:
        return hook.timeout_action == TIMEOUT_ACTION
    return hook.status == HookStatus.FAILED


def _why(hook: LifecycleHookState) -> str:
    failed = "timed out" if hook.status == HookStatus.TIMED_OUT else "failed"
    return f"{title(hook)} {failed}: {hook.reason}" if hook.reason else f"{title(hook)} {failed}"


def _minutes(hook: LifecycleHookState) -> int:
    return round((task_state.seconds(hook.expires_at) - task_state.seconds(hook.started_at)) / 60)


def close(body: ServiceDeployment, now: float) -> None:
    """End the hooks that nobody waits for any more, since the deployment goes back or is over."""
    for hook in waited_for(body):
        hook.ClearField("answer")
        _end(hook, HookStatus.FAILED, "the deployment did not wait for it any longer", now)


def expires_at(body: ServiceDeployment) -> float:
    """When the first of the hooks that are waited for times out; inf: none is."""
    return min((task_state.seconds(hook.expires_at) for hook in waited_for(body)), default=math.inf)


def held_until(body: ServiceDeployment) -> float:
    """Up to when the hooks have held up the present step of the stage: inf: they still do, -inf: they did not."""
    ours = [hook for hook in body.lifecycle_hooks if hook.hook_id.startswith(_prefix(body))]
    if any(map(is_waited_for, ours)):
        return math.inf
    return max((task_state.seconds(hook.ended_at) for hook in ours), default=-math.inf)


def _prefix(body: ServiceDeployment) -> str:
    return f"{body.lifecycle_stage}-{body.step}-"
