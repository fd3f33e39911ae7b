"""The registry as the controllers last saw it: every object, and the questions that plans ask of them.

The one rule: one state for all. It changes only in `apply`, between plans and never within one, and `reached` tells
when it contains a commit; so a plan never decides without knowing what the plans before it did.
"""

from __future__ import annotations

import asyncio
from types import MappingProxyType
from typing import TYPE_CHECKING

from tsunagu.controllers import tasks
from tsunagu.controllers.services.placement import NodeLoad
from tsunagu.model.ids import KINDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tsunagu.registry.informer import ObjectChange
    from tsunagu.v1.objects_pb2 import Object


class Observed:
    """Objects are shared with everybody who watches: nobody changes one."""

    def __init__(self) -> None:
        self.revision = -1
        self._objects: dict[str, dict[str, Object]] = {kind: {} for kind in KINDS}
        self._groups: dict[tuple[str, str], dict[str, Object]] = {}
        self._advanced = asyncio.Condition()

    async def apply(self, revision: int, changes: Iterable[ObjectChange]) -> None:
        for kind, name, old, new in changes:
            self._set(kind, name, old, new)
        async with self._advanced:
            self.revision = max(self.revision, revision)
            self._advanced.notify_all()

    async def reached(self, revision: int) -> None:
        """Returns when everything up to that revision of the registry is in here."""
        async with self._advanced:
            await self._advanced.wait_for(lambda: self.revision >= revision)

    def objects(self, kind: str) -> Mapping[str, Object]:
        return MappingProxyType(self._objects[kind])

    def get(self, kind: str, name: str) -> Object | None:
        return self._objects[kind].get(name)

    @property
    def state(self) -> Mapping[str, Mapping[str, Object]]:
        """Everything, as `tsunagu.model` wants it."""
        return MappingProxyType(self._objects)

    def tasks_of_service(self, service: str) -> tuple[Object, ...]:
        return self._group("service", service)

    def tasks_of_gateway(self, gateway: str) -> tuple[Object, ...]:
        return self._group("gateway", gateway)

    def tasks_on(self, node: str) -> tuple[Object, ...]:
        return self._group("node", node)

    def revisions_of(self, service: str) -> tuple[Object, ...]:
        return self._group("revisions", service)

    def loads(self, service: str = "") -> tuple[NodeLoad, ...]:
        """Every live node; siblings are those of the service. A task holds its room until it is STOPPED."""
        siblings = [task.task.spec.node for task in self.tasks_of_service(service) if tasks.is_live(task)]
        return tuple(
            NodeLoad(
                name=name,
                capacity=node.node.task_capacity,
                tasks=len(self._groups.get(("room", name), ())),
                siblings=siblings.count(name),
            )
            for name, node in sorted(self._objects["Node"].items())
        )

    def _group(self, relation: str, owner: str) -> tuple[Object, ...]:
        """Sorted by name: a plan must not depend on the order in which things came."""
        return tuple(obj for _, obj in sorted(self._groups.get((relation, owner), {}).items()))

    def _set(self, kind: str, name: str, old: Object | None, new: Object | None) -> None:
        for group in groups(kind, old):
            members = self._groups[group]
            members.pop(name, None)
            if not members:
                del self._groups[group]
        for group in groups(kind, new):
            self._groups.setdefault(group, {})[name] = new  # type: ignore[assignment]  # a missing object has no groups
        if new is None:
            self._objects[kind].pop(name, None)
        else:
            self._objects[kind][name] = new


def groups(kind: str, obj: Object | None) -> tuple[tuple[str, str], ...]:
    """What an object belongs to: (relation, name of its owner)."""
    if obj is None:
        return ()
    if kind == "ServiceRevision":
        return (("revisions", owner_of_revision(obj)),)
    if kind != "Task":
        return ()
    spec = obj.task.spec
    owner = ("gateway", spec.gateway) if spec.gateway else ("service", owner_of_task(obj))
    room = () if tasks.is_stopped(obj) else (("room", spec.node),)
    return (owner, ("node", spec.node), *room)


def owner_of_task(task: Object) -> str:
    """Name of the Service that a task belongs to; empty for a gateway's."""
    spec = task.task.spec
    return f"{spec.cluster}/{spec.service}" if spec.service else ""


def owner_of_revision(revision: Object) -> str:
    body = revision.service_revision
    return f"{body.cluster}/{body.service}"


def changes_placement(change: ObjectChange) -> bool:
    """Whether it makes room for tasks, or takes it away."""
    old, new = change.old, change.new
    return change.kind == "Node" and not (old and new and old.node.task_capacity == new.node.task_capacity)
