"""On which nodes new tasks go.

The one rule: spread. The next task goes to the node that runs the fewest tasks of the same service, then to the one
that runs the fewest at all, then to the first by name; a full node gets none.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tsunagu.model import references

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tsunagu.v1.objects_pb2 import ServiceRevision


@dataclass(frozen=True, slots=True)
class NodeLoad:
    """A live node as placement sees it. `tasks` are all that hold room on it, `siblings` those of the same service."""

    name: str
    capacity: int  # 0: unlimited
    tasks: int = 0
    siblings: int = 0
    runs_images: bool = False

    @property
    def vacancies(self) -> float:
        """How many more tasks it has room for."""
        return max(0, self.capacity - self.tasks) if self.capacity else math.inf


def suited(nodes: Iterable[NodeLoad], revision: ServiceRevision) -> tuple[NodeLoad, ...]:
    """The nodes that can run tasks of a revision: a container without a command needs one that runs its image."""
    by_command = all(map(references.runs_by_itself, revision.task_definition.container_definitions))
    return tuple(node for node in nodes if by_command or node.runs_images)


def spread(nodes: Iterable[NodeLoad], count: int) -> list[str]:
    """The names of the nodes for `count` new tasks; fewer when there is no room for all of them."""
    loads = {node.name: node for node in nodes}
    chosen: list[str] = []
    while len(chosen) < count:
        free = [load for load in loads.values() if load.vacancies]
        if not free:
            break
        best = min(free, key=lambda load: (load.siblings, load.tasks, load.name))
        loads[best.name] = replace(best, tasks=best.tasks + 1, siblings=best.siblings + 1)
        chosen.append(best.name)
    return chosen
