"""A task's way from PROVISIONING to STOPPED, as a table: ECS's statuses, and what moves a task from one to the next. Pure.

Rule: a task goes only forward, one row at a time; of a status the first row whose condition holds decides. The work of a
status is the controller's; the table says only when it is done.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from tsunagu.model.statuses import Status, StopCode


@dataclass(frozen=True, slots=True)
class Stop:
    """Why a task is to stop: ECS's stopCode, the reason for people, and whether it drains first (`drain`)."""

    code: str
    reason: str
    drain: bool = True


TASK_GONE: Final = Stop(
    StopCode.CONTAINER_EXITED, "The task's init was killed, and all of its processes with it", drain=False
)


def merged(before: Stop | None, stop: Stop) -> Stop:
    """Return what counts of two reasons: the first, but the second may end the draining."""
    if before is None:
        return stop
    return before if stop.drain or not before.drain else replace(before, drain=False)


@dataclass(frozen=True, slots=True)
class Conditions:
    """What has been reached in a task's life.

    `network`: it is created. `started`: so are its containers. `admitted`: its ports listen and its health is not
    UNHEALTHY. `drained`: no calls are left. `ended`: no process of it runs. `removed`: its network is gone.
    """

    stop: Stop | None = None
    network: bool = False
    started: bool = False
    admitted: bool = False
    drained: bool = False
    ended: bool = False
    removed: bool = False


class Row(NamedTuple):
    """From `status` to `then`, when `condition` holds; `why` says so for people."""

    status: Status
    why: str
    condition: Callable[[Conditions], bool]
    then: Status


def _stop(conditions: Conditions) -> bool:
    return conditions.stop is not None


def _stop_at_once(conditions: Conditions) -> bool:
    return conditions.stop is not None and not conditions.stop.drain


TABLE: Final = (
    Row(Status.PROVISIONING, "it is to stop", _stop, Status.DEPROVISIONING),
    Row(Status.PROVISIONING, "its network is there", lambda conditions: conditions.network, Status.PENDING),
    Row(Status.PENDING, "it is to stop", _stop, Status.STOPPING),
    Row(
        Status.PENDING,
        "its proxy is live, its containers are started",
        lambda conditions: conditions.started,
        Status.ACTIVATING,
    ),
    Row(Status.ACTIVATING, "it is to stop, and its endpoints were never given out", _stop, Status.STOPPING),
    Row(Status.ACTIVATING, "it is admitted", lambda conditions: conditions.admitted, Status.RUNNING),
    Row(Status.RUNNING, "it cannot serve any more", _stop_at_once, Status.STOPPING),
    Row(Status.RUNNING, "it is to stop", _stop, Status.DEACTIVATING),
    Row(Status.DEACTIVATING, "it cannot serve any more", _stop_at_once, Status.STOPPING),
    Row(Status.DEACTIVATING, "no call is left", lambda conditions: conditions.drained, Status.STOPPING),
    Row(Status.STOPPING, "no process of it runs", lambda conditions: conditions.ended, Status.DEPROVISIONING),
    Row(Status.DEPROVISIONING, "its network is gone", lambda conditions: conditions.removed, Status.STOPPED),
)


def after(status: Status, conditions: Conditions) -> Status:
    """Return the status that follows, or `status` itself while no condition holds."""
    return next((row.then for row in TABLE if row.status == status and row.condition(conditions)), status)


def earlier(one: Status, other: Status) -> bool:
    """Return whether `one` comes before `other` in a task's life."""
    order = list(Status)
    return order.index(one) < order.index(other)
