"""On which nodes new tasks go, and in which of a node's zones.

The one rule: spread. The next task goes to the zone that runs the fewest tasks of the same service, there to the node that
runs the fewest of them, then to the one that runs the fewest at all, then to the first by name; a full node gets none.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, replace
from enum import StrEnum
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


class Kind(StrEnum):
    """Which nodes are for tasks of a revision. The values are what is said when there is none."""

    ANY = "no node"
    IMAGES = "no node that runs containers in their images (runtime docker)"
    PROCESSES = "no node that runs commands as processes (runtime linux)"


def kind_for(revision: ServiceRevision, *, both: bool) -> Kind:
    """The nodes for tasks of a revision. `both`: the mesh has nodes that run images, and others.

    A container without a command needs its image. Where there is a choice, a command runs in the image that is named beside it,
    unless Images say what stands in for all of the task.
    """
    if not all(map(references.runs_by_itself, revision.task_definition.container_definitions)):
        return Kind.IMAGES
    if not both:
        return Kind.ANY
    return Kind.PROCESSES if revision.as_processes else Kind.IMAGES


def suited(nodes: Iterable[NodeLoad], kind: Kind) -> tuple[NodeLoad, ...]:
    """Those of the nodes that are of a kind."""
    return tuple(node for node in nodes if kind is Kind.ANY or node.runs_images is (kind is Kind.IMAGES))


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


def occupied(nodes: Iterable[NodeLoad], places: Iterable[Place]) -> tuple[NodeLoad, ...]:
    """The nodes with new tasks at these places."""
    loads = {node.name: node for node in nodes}
    for place in places:
        load = loads[place.node]
        zones = tuple((zone, count + (zone == place.zone)) for zone, count in load.zones)
        loads[place.node] = replace(load, tasks=load.tasks + 1, siblings=load.siblings + 1, zones=zones)
    return tuple(loads.values())


def _zones(load: NodeLoad) -> tuple[tuple[str, int], ...]:
    return load.zones or (("", load.siblings),)
