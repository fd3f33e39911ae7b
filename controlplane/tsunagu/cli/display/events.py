"""Events of a mesh as lines of text, made from changes of the registry.

The one rule: only events that an operator acts on become lines (a service's events, tasks that run, fail or stop, nodes);
everything else is shown by `get -o yaml`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tsunagu.model.failures import why_ended
from tsunagu.model.statuses import HealthStatus, NodeState, Status, StopCode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tsunagu.registry.informer import ObjectChange
    from tsunagu.v1 import objects_pb2


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that happened; ``style`` is a colour that says how good it is."""

    text: str
    style: str = ""


def lines_of(change: ObjectChange) -> Iterator[Line]:
    """The lines that describe one change; most changes have none."""
    if change.kind == "Task":
        yield from _task(change.name, change.old, change.new)
    elif change.kind == "Service":
        yield from _service(change.name, change.old, change.new)
    elif change.kind == "Node":
        yield from _node(change.name, change.old, change.new)


def _task(name: str, old: objects_pb2.Object | None, new: objects_pb2.Object | None) -> Iterator[Line]:
    if new is None:
        return
    task, before = new.task, old.task if old else None
    short = name.rpartition("/")[2]
    if before is not None and before.status.proxy.restarts < task.status.proxy.restarts:
        code = f" with exit code {task.status.proxy.exit_code}" if task.status.proxy.HasField("exit_code") else ""
        yield Line(f"the Envoy of task {short} has ended{code}; it is started again", "red")
    if before is not None and before.status.last_status == task.status.last_status:
        if before.status.health_status != task.status.health_status == HealthStatus.UNHEALTHY:
            yield Line(f"task {short} is UNHEALTHY", "red")
        return
    if task.status.last_status == Status.RUNNING:
        yield Line(f"task {short} is running at {task.status.ip}", "green")
    elif task.status.last_status == Status.DEACTIVATING:
        yield Line(f"task {short} drains: {task.spec.stop_reason or 'it is to stop'}", "yellow")
    elif task.status.last_status == Status.STOPPED:
        yield _stopped(short, task)


#: Stops that somebody asked for; others are failures.
_WANTED_STOPS = (StopCode.USER, StopCode.SCHEDULER)


def _stopped(short: str, task: objects_pb2.Task) -> Line:
    codes = ", ".join(f"{c.name} {c.exit_code}" for c in task.status.containers if c.HasField("exit_code"))
    reason = why_ended(task)
    wanted = (task.status.stop_code or task.spec.stop_code) in _WANTED_STOPS
    text = (
        f"task {short} has stopped" + (f": {reason}" if reason else "") + (f" (exit codes: {codes})" if codes else "")
    )
    return Line(text, "" if wanted else "red")


#: An event that says of a task what the line about that task has said.
_OF_A_TASK = re.compile(r"\(task \S+\) failed: ")


def _service(name: str, old: objects_pb2.Object | None, new: objects_pb2.Object | None) -> Iterator[Line]:
    if new is None:
        yield Line(f"service {name} is deleted")
        return
    known = {(e.time.seconds, e.time.nanos, e.message) for e in old.service.status.events} if old else set()
    for event in reversed(new.service.status.events):
        if (event.time.seconds, event.time.nanos, event.message) not in known:
            # ECS's own words begin with "(service web) "; the line already says which.
            words = event.message.removeprefix(f"(service {new.service.spec.service_name}) ")
            if not _OF_A_TASK.match(words):
                yield Line(f"service {name} {words}")


def _node(name: str, old: objects_pb2.Object | None, new: objects_pb2.Object | None) -> Iterator[Line]:
    if new is None:
        yield Line(f"node {name} is gone", "red")
    elif old is None:
        yield Line(f"node {name} is here: runtime {new.node.runtime}, {new.node.runtime_reason}")
    elif (old.node.state, old.node.reason) != (new.node.state, new.node.reason):
        well = new.node.state == NodeState.READY and not new.node.reason
        yield Line(
            f"node {name} is {new.node.state}" + (f": {new.node.reason}" if new.node.reason else ""),
            "" if well else "red",
        )
