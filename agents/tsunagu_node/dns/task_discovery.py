"""What a task has of DNS: a name server of its own, and, when it is an instance of a service of Cloud Map, a twin on this machine.

Rule: both begin with the task and end with it. A task that is given in answers no more is stopped only when those that gave it have
expired, as far as its drainTimeout allows.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, Final

from tsunagu.v1 import objects_pb2
from tsunagu_node.dns.resolver import Asker, Connected
from tsunagu_node.dns.twin import Twin
from tsunagu_node.dns.twin_entrance import Entrances
from tsunagu_node.dns.unknown_names import UnknownNames
from tsunagu_node.runtime.contract import RunningTask
from tsunagu_node.task.calls.tls_plan import Led
from tsunagu_node.task.dependencies import Dependencies
from tsunagu_node.task.names import seen_by
from tsunagu_node.task.spec import TaskSpec

_FOR_CALLS: Final = 5.0
"""Seconds of the drainTimeout that are left for the calls that are still answered."""


class TaskDiscovery:
    """`unknown_names`: those that the task asked for and that the mesh has not. `changed` is called when there is a twin. `led`:
    where callers of a container port are led.
    """

    def __init__(
        self, dependencies: Dependencies, spec: TaskSpec, changed: Callable[[], None], led: Callable[[int], Led]
    ) -> None:
        self._dependencies = dependencies
        self._spec = spec
        self._changed = changed
        self._led = led
        self._twin: Twin | None = None
        self.unknown_names = UnknownNames()

    def jobs(self, task: RunningTask) -> Iterator[tuple[Coroutine[Any, Any, None], str]]:
        """Yield what has to run as long as the task does, with its name; nothing for a gateway's task."""
        if self._spec.gateway:
            return
        names = Connected(self._spec.namespace, seen_by(self._spec)) if self._spec.has_proxy else Connected()
        asker = Asker(self._spec.name, names, self.unknown_names)
        yield self._dependencies.name_servers.serve(task, asker), "name server"
        if self._spec.revision.registrations:
            entrances = Entrances(self._spec, task, self._led, self._dependencies.hosts)
            self._twin = Twin(self._dependencies.runtime, task, self._spec, entrances, self._changed)
            yield self._twin.run(), "twin"

    def report(self, status: objects_pb2.TaskStatus) -> None:
        """Put the twin into a status; until there is one, that of an adopted task stays."""
        if self._twin is not None and self._twin.status.ip:
            status.twin.CopyFrom(self._twin.status)

    async def answers_expired(self, timeout: float, notify: Callable[[str], None]) -> None:
        """Wait until nobody may call the task because of an answer that gave it. `timeout`: for that and for what follows."""
        if ttl := self._dependencies.name_servers.discovered.ttl(self._spec.revision):
            notify(f"DNS answers that give it may be kept for {ttl} s")
            await asyncio.sleep(min(ttl, max(0.0, timeout - _FOR_CALLS)))
