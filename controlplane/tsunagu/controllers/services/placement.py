"""On which nodes new tasks go, and in which of a node's zones.

The one rule: spread. The next task goes to the zone that runs the fewest tasks of the same service, there to the node that
runs the fewest of them, then to the one that runs the fewest at all, then to the first by name; a full node gets none.
"""

from __future__ import annotations

import math
from collections import Counter
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
    zones: tuple[tuple[str, int], ...] = ()  # each of its zones, with the siblings there

    @property
    def vacancies(self) -> float:
        """How many more tasks it has room for."""
        return max(0, self.capacity - self.tasks) if self.capacity else math.inf


@dataclass(frozen=True, slots=True)
class Place:
    """Where a new task goes. `zone` is empty if the node has none."""

    node: str
    zone: str = ""


def suited(nodes: Iterable[NodeLoad], revision: ServiceRevision) -> tuple[NodeLoad, ...]:
    """The nodes that can run tasks of a revision: a container without a command needs one that runs its image."""
    by_command = all(map(references.runs_by_itself, revision.task_definition.container_definitions))
    return tuple(node for node in nodes if by_command or node.runs_images)


def spread(nodes: Iterable[NodeLoad], count: int, *, daemon: bool = False) -> list[Place]:
    """The places of `count` new tasks; fewer when there is no room for all of them. `daemon`: nodes go before zones."""
    loads = {node.name: node for node in nodes}
    in_zone = Counter[str]()
    for load in loads.values():
        in_zone.update(dict(_zones(load)))
    chosen: list[Place] = []
    while len(chosen) < count:
        free = [(load, zone) for load in loads.values() if load.vacancies for zone, _ in _zones(load)]
        if not free:
            break
        best, zone = min(
            free,
            key=lambda one: (
                one[0].siblings if daemon else 0,
                in_zone[one[1]],
                one[0].siblings,
                one[0].tasks,
                one[0].name,
            ),
        )
        loads[best.name] = replace(best, tasks=best.tasks + 1, siblings=best.siblings + 1)
        in_zone[zone] += 1
        chosen.append(Place(best.name, zone))
    return chosen


def _zones(load: NodeLoad) -> tuple[tuple[str, int], ...]:
    return load.zones or (("", load.siblings),)
