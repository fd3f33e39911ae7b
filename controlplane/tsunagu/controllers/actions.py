"""What a plan may ask for, as data: an object to create, change or remove, and a time at which to plan again.

The one rule: an action carries all that it was based on (a name that must be free, a revision that must still be the
last), so that the whole plan is applied at once or, if anybody was faster, not at all.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tsunagu.model import ids
from tsunagu.model.statuses import Status, StopCode
from tsunagu.v1 import objects_pb2

if TYPE_CHECKING:
    from collections.abc import Container, Iterator

    from google.protobuf.timestamp_pb2 import Timestamp


@dataclass(frozen=True, slots=True)
class Create:
    """A new object; its name must be free."""

    obj: objects_pb2.Object


@dataclass(frozen=True, slots=True)
class Change:
    """An object's new content, made from the one at `obj.meta.revision`."""

    obj: objects_pb2.Object


@dataclass(frozen=True, slots=True)
class Remove:
    """An object that is to go, unless it has changed."""

    obj: objects_pb2.Object


Action = Create | Change | Remove


@dataclass(frozen=True, slots=True)
class Plan:
    """Actions that belong together, and when to plan again though nothing has changed (seconds since the epoch).

    `problem`: what could not be done, for the log, when no status can hold it; empty when there is none.
    """

    actions: tuple[Action, ...] = ()
    wake_at: float | None = None
    problem: str = ""


def earliest(*times: float | None) -> float | None:
    """The first of several times; None when there is none."""
    return min((time for time in times if time is not None), default=None)


def clone(obj: objects_pb2.Object) -> objects_pb2.Object:
    """A copy that may be changed; what the informer holds is shared."""
    copy = objects_pb2.Object()
    copy.CopyFrom(obj)
    return copy


def stamp(field: Timestamp, now: float) -> None:
    """Sets a timestamp to `now`, in seconds since the epoch."""
    field.FromMicroseconds(int(now * 1_000_000))


def start(spec: objects_pb2.TaskSpec, name: str, now: float) -> Create:
    """Creates a task that is to run; everything in its status but the time of its creation is the node agent's."""
    task = objects_pb2.Task(spec=spec)
    task.spec.desired_status = Status.RUNNING
    stamp(task.status.created_at, now)
    return Create(ids.make("Task", name, task))


def stop(task: objects_pb2.Object, code: str, reason: str) -> Change:
    """Tells a task to stop; its node agent drains it first."""
    stopping = clone(task)
    stopping.task.spec.desired_status = Status.STOPPED
    stopping.task.spec.stop_code = code
    stopping.task.spec.stop_reason = reason
    return Change(stopping)


def mark_lost(task: objects_pb2.Object, reason: str, now: float) -> Change:
    """Records a task whose node is gone as STOPPED, and tells it to stop should the node return."""
    lost = stop(task, StopCode.NODE_GONE, reason).obj
    status = lost.task.status
    status.last_status = Status.STOPPED
    status.stop_code = StopCode.NODE_GONE
    status.stopped_reason = reason
    stamp(status.stopped_at, now)
    return Change(lost)


def task_names(cluster: str, owner: str, seed: str, taken: Container[str]) -> Iterator[str]:
    """Names for new tasks of an owner, `cluster/owner-xxxxxxxx` (see `ids.task_id_for`), without end.

    They follow from `seed`, which stands for the state that the plan saw: the same plan made twice gives the same
    names, and a name can be created only once.
    """
    index = 0
    while True:
        digest = hashlib.sha256(f"{cluster}/{owner}/{seed}/{index}".encode()).hexdigest()[:8]
        name = ids.task_name(cluster, ids.task_id_for(owner, digest))
        if name not in taken:
            yield name
        index += 1
