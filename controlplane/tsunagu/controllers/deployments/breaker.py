"""ECS's deployment circuit breaker: counts the tasks of a deployment that fail one after the other.

The one rule: a failure is counted once. Every task's last change has a registry revision, and `counted_until` says up to which
of them the failures are counted; so neither a restart nor a plan that is made again counts one twice.

Source: ECS Developer Guide, deployment circuit breaker (both stages: tasks that do not reach RUNNING, and tasks that fail their
health checks); ECS API Reference, DeploymentCircuitBreaker and ThresholdConfiguration.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from tsunagu.controllers import task_state
from tsunagu.model import ids
from tsunagu.model.failures import why_ended
from tsunagu.model.statuses import BreakerStatus
from tsunagu.v1.deployments_pb2 import CircuitBreakerState

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tsunagu.v1.deployments_pb2 import ServiceDeployment
    from tsunagu.v1.ecs_pb2 import DeploymentCircuitBreaker
    from tsunagu.v1.objects_pb2 import Object

PERCENT: Final = 50
LEAST, MOST = 3, 200
_TYPE: Final = "BOUNDED_PERCENT"


def threshold(config: DeploymentCircuitBreaker, desired: int) -> int:
    """Return how many failures in a row trip it."""
    given = config.threshold_configuration
    value = given.value if given.HasField("value") else PERCENT
    kind = given.type or _TYPE
    if kind == "COUNT":
        return max(1, value)
    part = math.ceil(desired * value / 100)
    return min(MOST, max(LEAST, part)) if kind == _TYPE else max(1, part)


def observed(body: ServiceDeployment, number: int, tasks: Iterable[Object], desired: int) -> CircuitBreakerState:
    """Return its state after a look at all tasks of the service. `number`: of the deployment, which its tasks bear."""
    ours = [task for task in tasks if _is_of(task, body, number)]
    return counted(body.circuit_breaker, body.configuration.deployment_circuit_breaker, ours, desired)


def counted(
    before: CircuitBreakerState, config: DeploymentCircuitBreaker, tasks: list[Object], desired: int
) -> CircuitBreakerState:
    """Return the state after a look at the tasks that count."""
    state = CircuitBreakerState()
    state.CopyFrom(before)
    if not config.enable:
        state.status = BreakerStatus.DISABLED
        return state
    state.status, state.threshold = BreakerStatus.MONITORING, threshold(config, desired)
    _reset(state, tasks, again=not config.HasField("reset_on_healthy_task") or config.reset_on_healthy_task)
    new = [task for task in failed(tasks) if task.meta.revision > state.counted_until]
    state.failure_count += len(new)
    state.counted_until = max((task.meta.revision for task in new), default=state.counted_until)
    if state.failure_count >= state.threshold:
        state.status = BreakerStatus.TRIGGERED
    return state


def why(body: ServiceDeployment, number: int, tasks: Iterable[Object]) -> str:
    """Return in one sentence why it has tripped, with the last line of the newest task that failed."""
    count = body.circuit_breaker.failure_count
    newest = newest_failed(body, number, tasks)
    assert newest is not None
    reason = why_ended(newest.task) or "it ended by itself"
    return f"the deployment circuit breaker was triggered: {count} tasks in a row failed, {ids.task_id(newest)} last: {reason}"


def newest_failed(body: ServiceDeployment, number: int, tasks: Iterable[Object]) -> Object | None:
    """The task of a deployment that has failed last."""
    ours = failed(task for task in tasks if _is_of(task, body, number))
    return max(ours, key=lambda task: task.meta.revision, default=None)


def failed(tasks: Iterable[Object]) -> list[Object]:
    """The tasks that have failed and are STOPPED: they change no more."""
    return [task for task in tasks if task_state.is_stopped(task) and task_state.has_failed(task)]


def _is_of(task: Object, body: ServiceDeployment, number: int) -> bool:
    spec = task.task.spec
    return spec.service_revision == body.target_revision and spec.deployment == number


def _reset(state: CircuitBreakerState, tasks: list[Object], *, again: bool) -> None:
    """A task that is seen healthy ends the row of failures: the first one, and with `again` every later one, too."""
    healthy = [task.task.status.started_at for task in tasks if task_state.is_healthy(task)]
    newest = max(healthy, key=task_state.seconds, default=None)
    if newest is None or (state.HasField("reset_at") and not again):
        return
    if task_state.seconds(newest) > task_state.seconds(state.reset_at):
        state.failure_count = 0
        state.reset_at.CopyFrom(newest)
