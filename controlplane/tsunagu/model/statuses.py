"""ECS's words for how tasks and services are: `lastStatus`, `desiredStatus`, `healthStatus`, `stopCode`, `rolloutState`,
and for how deployments are.

The one rule: they are spelled here and nowhere else. Members are strings, so they stand in messages as they are.
Source: ECS Developer Guide, task lifecycle; ECS API Reference, Task, Deployment and
ServiceDeployment.
"""

from __future__ import annotations

from enum import StrEnum


class Status(StrEnum):
    """`TaskStatus.last_status`, in order, and a container's (PENDING, RUNNING, STOPPED). Wanted are RUNNING and STOPPED."""

    PROVISIONING = "PROVISIONING"  # its network is made
    PENDING = "PENDING"  # its proxy starts, then its containers
    ACTIVATING = "ACTIVATING"  # all containers are started; does it listen, is it well?
    RUNNING = "RUNNING"  # it is called
    DEACTIVATING = "DEACTIVATING"  # it has left the endpoints; those who still call it are waited for
    STOPPING = "STOPPING"  # its containers end, then its proxy
    DEPROVISIONING = "DEPROVISIONING"  # its network is taken away
    STOPPED = "STOPPED"


#: A task in one of these no longer serves and will never again.
ENDING = frozenset({Status.DEACTIVATING, Status.STOPPING, Status.DEPROVISIONING, Status.STOPPED})


class HealthStatus(StrEnum):
    """`TaskStatus.health_status` and a container's: UNKNOWN without a health check, and before its first result."""

    UNKNOWN = "UNKNOWN"
    HEALTHY = "HEALTHY"
    UNHEALTHY = "UNHEALTHY"


class StopCode(StrEnum):
    """`TaskStatus.stop_code` and `TaskSpec.stop_code`: why a task has stopped or is to stop."""

    SCHEDULER = "ServiceSchedulerInitiated"
    USER = "UserInitiated"
    NODE_GONE = "TerminationNotice"
    FAILED_TO_START = "TaskFailedToStart"
    CONTAINER_EXITED = "EssentialContainerExited"


class NodeState(StrEnum):
    """`Node.state`: whether its agent answers. A NOT_READY node gets no new task; those that it has stay."""

    READY = "READY"
    NOT_READY = "NOT_READY"


class RolloutState(StrEnum):
    """`ServiceStatus.rollout_state`."""

    IN_PROGRESS = "IN_PROGRESS"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"


class DeploymentStatus(StrEnum):
    """`ServiceDeployment.status`, and AWS's."""

    PENDING = "PENDING"
    IN_PROGRESS = "IN_PROGRESS"
    SUCCESSFUL = "SUCCESSFUL"
    STOPPED = "STOPPED"
    STOP_REQUESTED = "STOP_REQUESTED"
    ROLLBACK_REQUESTED = "ROLLBACK_REQUESTED"
    ROLLBACK_IN_PROGRESS = "ROLLBACK_IN_PROGRESS"
    ROLLBACK_SUCCESSFUL = "ROLLBACK_SUCCESSFUL"
    ROLLBACK_FAILED = "ROLLBACK_FAILED"


#: A deployment in one of these does nothing more.
FINISHED = frozenset(
    {
        DeploymentStatus.SUCCESSFUL,
        DeploymentStatus.STOPPED,
        DeploymentStatus.ROLLBACK_SUCCESSFUL,
        DeploymentStatus.ROLLBACK_FAILED,
    }
)


class Stage(StrEnum):
    """`ServiceDeployment.lifecycle_stage`, in order."""

    RECONCILE_SERVICE = "RECONCILE_SERVICE"
    PRE_SCALE_UP = "PRE_SCALE_UP"
    SCALE_UP = "SCALE_UP"
    POST_SCALE_UP = "POST_SCALE_UP"
    TEST_TRAFFIC_SHIFT = "TEST_TRAFFIC_SHIFT"
    POST_TEST_TRAFFIC_SHIFT = "POST_TEST_TRAFFIC_SHIFT"
    PRE_PRODUCTION_TRAFFIC_SHIFT = "PRE_PRODUCTION_TRAFFIC_SHIFT"
    PRODUCTION_TRAFFIC_SHIFT = "PRODUCTION_TRAFFIC_SHIFT"
    POST_PRODUCTION_TRAFFIC_SHIFT = "POST_PRODUCTION_TRAFFIC_SHIFT"
    BAKE_TIME = "BAKE_TIME"
    CLEAN_UP = "CLEAN_UP"


class BreakerStatus(StrEnum):
    """`CircuitBreakerState.status`: ECS's ServiceDeploymentCircuitBreaker."""

    DISABLED = "DISABLED"
    MONITORING = "MONITORING"
    MONITORING_COMPLETE = "MONITORING_COMPLETE"
    TRIGGERED = "TRIGGERED"


class HookStatus(StrEnum):
    """`LifecycleHookState.status`, and AWS's; `HookAnswer.status` is one of the three in the middle."""

    AWAITING_ACTION = "AWAITING_ACTION"
    IN_PROGRESS = "IN_PROGRESS"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    TIMED_OUT = "TIMED_OUT"


class AlarmsStatus(StrEnum):
    """`AlarmsState.status`: ECS's ServiceDeploymentAlarms."""

    DISABLED = "DISABLED"
    MONITORING = "MONITORING"
    MONITORING_COMPLETE = "MONITORING_COMPLETE"
    TRIGGERED = "TRIGGERED"


class AlarmState(StrEnum):
    """`AlarmStatus.state_value`: CloudWatch's StateValue."""

    OK = "OK"
    ALARM = "ALARM"
    INSUFFICIENT_DATA = "INSUFFICIENT_DATA"
