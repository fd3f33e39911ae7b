"""Finds the task that a word means: its ID, or the name of a service or gateway for the oldest of its running tasks.

The one rule: a name never means a task that has stopped; only an ID does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tsunagu.client import lookup
from tsunagu.client.errors import UnknownName
from tsunagu.kit.spelling import did_you_mean
from tsunagu.model import ids
from tsunagu.model.failures import why_ended
from tsunagu.model.statuses import Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tsunagu.client.connection import Link
    from tsunagu.v1.objects_pb2 import Object


_MOST_NAMED = 4


@dataclass(frozen=True, slots=True)
class Choice:
    """A task, and why it was chosen: empty when the word is its own."""

    task: Object
    why: str = ""


@dataclass(frozen=True, slots=True)
class Tasks:
    """Every task, with the names of the services and gateways that may have none. `tasks` is oldest first."""

    tasks: Sequence[Object]
    owners: Sequence[str]

    @classmethod
    def of(cls, tasks: Iterable[Object], owners: Iterable[str] = ()) -> Tasks:
        """Sorts the tasks. `owners`: names of services and gateways."""
        by_age = sorted(tasks, key=lambda task: (task.meta.created_revision, task.meta.name))
        return cls(by_age, sorted({*owners, *map(owner_of, by_age)}))

    def owner(self, word: str) -> str:
        """The service or gateway of that very name, with or without its cluster; empty when there is none.

        Raises InvalidRequest when it is in several clusters.
        """
        names = [name for name in self.owners if word in (name, name.rpartition("/")[2])]
        return lookup.find("Service", word, names) if names else ""

    def of_owner(self, owner: str, *, stopped: bool = False) -> list[Object]:
        """The tasks of a service or gateway, oldest first; with `stopped` also those that have stopped."""
        return [task for task in self.tasks if owner_of(task) == owner and (stopped or not has_stopped(task))]

    def choose(self, word: str) -> Choice:
        """The one task that a word means. Raises UnknownName, InvalidRequest."""
        owner = "" if any(word in (task.meta.name, ids.task_id(task)) for task in self.tasks) else self.owner(word)
        if not owner:
            return Choice(self.by_id(word))
        found = self.of_owner(owner)
        running = [task for task in found if is_running(task)]
        if not found:
            raise self._none(owner)
        chosen = (running or found)[0]
        count, of = len(running or found), f"{'RUNNING ' if running else ''}tasks of {owner}"
        name = ids.task_id(chosen)
        return Choice(chosen, f"task {name}, the oldest of {count} {of}" if count > 1 else f"task {name} of {owner}")

    def by_id(self, word: str) -> Object:
        """The task of that ID, which may be shortened; one that has stopped only when no other begins so.

        Raises UnknownName, InvalidRequest.
        """
        by_name = {task.meta.name: task for task in self.tasks}
        there = [task.meta.name for task in self.tasks if not has_stopped(task)]
        found = [name for name in lookup.matches(word, by_name) if name in there] or lookup.matches(word, by_name)
        if word and not found:
            known = [*(ids.task_id(task) for task in self.tasks), *(name.rpartition("/")[2] for name in self.owners)]
            hint = self._container_hint(word) or did_you_mean(word, known, "'tsunagu ps' lists the tasks")
            raise UnknownName(f"there is no task and no service {word!r}", hint)
        return by_name[lookup.find("Task", word, found)]

    def _container_hint(self, word: str) -> str:
        """What to write for a container that was named in the place of its task; empty when none has that name."""
        holders = (task for task in self.tasks if word in {one.name for one in task.task.status.containers})
        owners = sorted({owner_of(task).rpartition("/")[2] for task in holders})
        shown = ", ".join(owners[:_MOST_NAMED]) + (", ..." if len(owners) > _MOST_NAMED else "")
        return f"it is a container of {shown}: write SERVICE -c {word}" if owners else ""

    def _none(self, owner: str) -> UnknownName:
        stopped = self.of_owner(owner, stopped=True)
        if not stopped:
            return UnknownName(f"{owner} has no task", "'tsunagu get services' says what each is waiting for")
        last = stopped[-1]
        return UnknownName(
            f"{owner} has no task that runs; the last, {ids.task_id(last)}, has stopped: {why_ended(last.task)}",
            f"name it by its ID, {ids.task_id(last)}; 'tsunagu ps --all {owner.rpartition('/')[2]}' lists all",
        )


def owner_of(task: Object) -> str:
    """Whose task it is: CLUSTER/SERVICE, or the name of a gateway."""
    return ids.service_of(task) or task.task.spec.gateway


def has_stopped(task: Object) -> bool:
    """Whether nothing of it is left but this record."""
    return task.task.status.last_status == Status.STOPPED


def is_running(task: Object) -> bool:
    """Whether it is RUNNING and to stay so."""
    return task.task.status.last_status == Status.RUNNING and task.task.spec.desired_status != Status.STOPPED


async def all_tasks(link: Link) -> Tasks:
    """Every task of a mesh, with the names of its services and gateways."""
    tasks, _ = await link.registry.list("Task")
    services, _ = await link.registry.list("Service")
    gateways, _ = await link.registry.list("Gateway")
    return Tasks.of(tasks, (obj.meta.name for obj in (*services, *gateways)))
