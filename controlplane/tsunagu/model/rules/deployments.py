"""The rules for a service's deploymentConfiguration that need more than one field.

The one rule: what AWS refuses is refused, before a deployment stands still for want of it.

Source: ECS API Reference, DeploymentLifecycleHook; ECS Developer Guide, pause hooks for service deployments.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tsunagu.model.deployments.lifecycle_hooks import LAMBDA, PAUSE
from tsunagu.model.rules.constraints import issue
from tsunagu.model.statuses import Stage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tsunagu.model.errors import Issue
    from tsunagu.model.rules.subject import Subject
    from tsunagu.v1 import ecs_pb2

_HOOKS = "deploymentConfiguration.lifecycleHooks"
_INSTEAD = {
    Stage.TEST_TRAFFIC_SHIFT: "pause at POST_TEST_TRAFFIC_SHIFT",
    Stage.PRODUCTION_TRAFFIC_SHIFT: "pause at PRE_PRODUCTION_TRAFFIC_SHIFT or POST_PRODUCTION_TRAFFIC_SHIFT",
}
"""Stages that nothing can pause, and what would be right."""
_SHIFTING = frozenset({"BLUE_GREEN", "LINEAR", "CANARY"})


def lifecycle_hooks(subject: Subject) -> Iterator[Issue]:
    """A hook has stages; one of a function has its ARN; one that pauses has stages that wait for somebody."""
    for index, hook in enumerate(subject.obj.service.spec.deployment_configuration.lifecycle_hooks):
        path = f"{_HOOKS}[{index}]"
        if not hook.lifecycle_stages:
            yield issue(f"{path}.lifecycleStages", "is empty", "write the stages at which it is called")
        if hook.target_type == PAUSE:
            yield from _pause(hook, path)
        elif not hook.hook_target_arn:
            kind = hook.target_type or f"{LAMBDA}, the default of targetType,"
            yield issue(f"{path}.hookTargetArn", f"{kind} has a function", "write its ARN, or targetType: PAUSE")


def _pause(hook: ecs_pb2.DeploymentLifecycleHook, path: str) -> Iterator[Issue]:
    if hook.hook_target_arn:
        yield issue(f"{path}.hookTargetArn", "PAUSE calls no function", "leave it out, or targetType: PAUSE")
    for place, stage in enumerate(hook.lifecycle_stages):
        if stage in _INSTEAD:
            reason = f"{stage} takes AWS_LAMBDA hooks only"
            yield issue(f"{path}.lifecycleStages[{place}]", reason, _INSTEAD[Stage(stage)])


def hooks_without_stages(spec: ecs_pb2.CreateServiceRequest) -> Iterator[Issue]:
    """A warning: a deployment that replaces tasks has none of the stages that have hooks."""
    config = spec.deployment_configuration
    if config.lifecycle_hooks and config.strategy not in _SHIFTING:
        reason = "ROLLING has no stage with hooks: none is called, but with `deploy --strategy`"
        yield issue(_HOOKS, reason, "write strategy: BLUE_GREEN, LINEAR or CANARY")


RULES = (lifecycle_hooks,)
