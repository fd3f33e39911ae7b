"""Reads what one task's Envoy has counted, and says which Envoy it was.

Rule: a reading belongs to one process: the agent knows of its Envoy's end before it starts another, so a process that is the same
before and after a request is the one that answered. What cannot be read is no reading.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tsunagu.v1 import objects_pb2, signals_pb2
from tsunagu_node.signals.envoy_stats import FILTER, FLUSH, FlowReader
from tsunagu_node.signals.kept import KeptReadings
from tsunagu_sidecar.admin import Admin, AdminError, quoted

STATS = f"/stats?format=json&usedonly&histogram_buckets=detailed&filter={quoted(FILTER)}"


class Unreadable(Exception):
    """Envoy does not answer, or with something else than stats."""


@dataclass(frozen=True, slots=True)
class Place:
    """Whose Envoy is read: its task, its admin interface, and when its process was started (None: it does not run)."""

    source: signals_pb2.Source
    ports: Sequence[objects_pb2.ServicePort]
    admin: Admin
    started: Callable[[], float | None]


class TaskReader:
    """Reads the Envoy of one task. `began`: when this agent was started; what runs since before was read by another one."""

    def __init__(self, place: Place, began: float, kept: KeptReadings | None = None) -> None:
        self.source = place.source
        self.kept = kept or KeptReadings()
        self._place = place
        self._began = began
        self._flows = FlowReader(place.source.namespace, place.ports)

    async def read(self, now: Callable[[], float]) -> None:
        """Keep one more reading, if the Envoy runs. Raises Unreadable."""
        started = self._place.started()
        if started is None:
            return
        try:
            flows = self._flows.read(await self._place.admin.flushed(FLUSH, STATS))
        except AdminError as error:
            raise Unreadable(str(error)) from error
        except (LookupError, TypeError, ValueError) as error:
            raise Unreadable(f"Envoy's stats are not as expected: {error!r}") from error
        if self._place.started() == started:
            self.kept.add(
                signals_pb2.Reading(
                    incarnation=f"{started:.3f}",
                    time=now(),
                    from_start=started >= self._began,
                    flows=flows,
                    started=started,
                )
            )
