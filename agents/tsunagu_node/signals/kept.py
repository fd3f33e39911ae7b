"""What the node agent keeps of the readings of one task, for a control plane that is away or has forgotten everything.

Rule: readings are cumulative, so one may be left out and the next says the same and more. All of the last minute are kept, of an
hour before the last one of each minute and of each Envoy: some 70 of a task, however long nobody takes them.
"""

from collections import deque
from typing import Final

from tsunagu.signals import flows
from tsunagu.v1 import signals_pb2

RECENT: Final = 60.0
HOUR: Final = 3600.0
_MINUTE: Final = 60.0


class KeptReadings:
    """The readings of one task, oldest first. `carried`: incarnation -> what earlier ones had counted when it was first read."""

    def __init__(self) -> None:
        self._readings: deque[signals_pb2.Reading] = deque()
        self._carried: dict[str, list[signals_pb2.Flow]] = {}
        self._taken = 0.0

    def __len__(self) -> int:
        return len(self._readings)

    def __bool__(self) -> bool:
        return True

    def add(self, reading: signals_pb2.Reading) -> None:
        """Keep a reading; one that is not newer than the last is dropped (the clock was set back)."""
        last = self._readings[-1] if self._readings else None
        if last is not None and reading.time <= last.time:
            return
        if reading.incarnation not in self._carried:
            self._carried[reading.incarnation] = self._sum_of_earlier(last)
        else:
            reading.from_start = False
        self._readings.append(reading)
        self._thin(reading.time)

    def pending(self) -> list[signals_pb2.Reading]:
        """Return those that were not taken yet."""
        return [reading for reading in self._readings if reading.time > self._taken]

    def whole(self) -> list[signals_pb2.Reading]:
        """Return all, for one who knows nothing of the task."""
        if not self._readings:
            return []
        first = signals_pb2.Reading()
        first.CopyFrom(self._readings[0])
        first.carried.extend(self._carried[first.incarnation])
        return [first, *list(self._readings)[1:]]

    def taken(self, until: float) -> None:
        """Note that the control plane has everything up to the time `until`."""
        self._taken = max(self._taken, until)

    def _sum_of_earlier(self, last: signals_pb2.Reading | None) -> list[signals_pb2.Flow]:
        if last is None:
            return []
        sums: dict[flows.Key, signals_pb2.Flow] = {}
        for flow in (*self._carried[last.incarnation], *last.flows):
            total = sums.setdefault(flows.key_of(flow), flows.empty(flow))
            flows.add(total, flow)
        return list(sums.values())

    def _thin(self, now: float) -> None:
        kept: list[signals_pb2.Reading] = []
        for reading in self._readings:
            if reading.time < now - HOUR:
                continue
            if kept and reading.time < now - RECENT and _replaces(reading, kept[-1]):
                reading.from_start = reading.from_start or kept[-1].from_start
                kept[-1] = reading
            else:
                kept.append(reading)
        self._readings = deque(kept)
        known = {reading.incarnation for reading in kept}
        self._carried = {name: carried for name, carried in self._carried.items() if name in known}


def _replaces(later: signals_pb2.Reading, earlier: signals_pb2.Reading) -> bool:
    return later.incarnation == earlier.incarnation and later.time // _MINUTE == earlier.time // _MINUTE
