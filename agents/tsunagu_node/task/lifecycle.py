"""A task's way from PROVISIONING to STOPPED, as a table: ECS's statuses, and what moves a task from one to the next. Pure.

Rule: a task goes only forward, one row at a time; in each status the first row whose condition holds decides. What is
done in a status is the caller's; the table says only when it has been done.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

from tsunagu.model.statuses import Status


@dataclass(frozen=True, slots=True)
class Stop:
    """Why a task is to stop: ECS's stopCode, words, and whether someone may still call it (`drain`)."""

    code: str
    reason: str
    drain: bool = True


@dataclass(frozen=True, slots=True)
class Conditions:
    """What is the case. `admitted`: its ports listen and its health is not UNHEALTHY; `ended`: no process of it runs."""

    stop: Stop | None = None
    network: bool = False
    started: bool = False
    admitted: bool = False
    drained: bool = False
    ended: bool = False
    removed: bool = False


class Row(NamedTuple):
    """From a status to the next, when `condition` holds; `why` is for people."""

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
    Row(Status.ACTIVATING, "it is to stop, and nobody was told of it", _stop, Status.STOPPING),
    Row(Status.ACTIVATING, "it is admitted", lambda conditions: conditions.admitted, Status.RUNNING),
    Row(Status.RUNNING, "it cannot serve any more", _stop_at_once, Status.STOPPING),
    Row(Status.RUNNING, "it is to stop", _stop, Status.DEACTIVATING),
    Row(Status.DEACTIVATING, "it cannot serve any more", _stop_at_once, Status.STOPPING),
    Row(Status.DEACTIVATING, "nobody calls it any more", lambda conditions: conditions.drained, Status.STOPPING),
    Row(Status.STOPPING, "no process of it runs", lambda conditions: conditions.ended, Status.DEPROVISIONING),
    Row(Status.DEPROVISIONING, "its network is gone", lambda conditions: conditions.removed, Status.STOPPED),
)


def after(status: Status, conditions: Conditions) -> Status:
    """The status that follows now; `status` itself when nothing does."""
    return next((row.then for row in TABLE if row.status == status and row.condition(conditions)), status)


def earlier(one: Status, other: Status) -> bool:
    """Whether `one` comes before `other` in a task's life."""
    order = list(Status)
    return order.index(one) < order.index(other)
