"""What the control plane knows of the traffic of the mesh: an hour of it, and totals. In memory, and fed by node agents alone.

Of a task Envoy counts what passes through it, and the relay of its node what leaves the mesh: two that count, each with readings of its
own. Readings are cumulative; here they become differences, and each is counted once whatever dies:

| what died | the next reading | what is counted |
|---|---|---|
| Envoy, or the relay | has another incarnation | all of it: that one began at 0. Lost: what the old one counted after its last reading |
| the node agent | is of the incarnation that is known | the difference to the last one that came. Lost: nothing |
| the control plane | is of a task that is not known | everything that the agent kept (an hour) is sent again. Lost: nothing |
| both | the same, but the agent has kept nothing | nothing: the first reading is what others are measured by |

Rule: a reading that is not newer than the last one changes nothing, so sending twice does not count twice.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from tsunagu.signals import flows
from tsunagu.signals.ring import HOUR, Ring, span
from tsunagu.v1 import signals_pb2

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tsunagu.signals.ring import Span

MOST_BYTES: Final = 64 * 1024 * 1024
"""Of all rings together. Beyond it the oldest spans go first, so the hour becomes shorter for all."""
MOST_TASKS: Final = 20_000
"""One with calls out of the mesh counts twice."""
FRESH_SECONDS: Final = 15.0
"""A task whose last sample is older has no gauges: what is not known is not 0, nor what it was before."""
_AGE_EVERY: Final = 30.0


#: Who counts: the name of a task, and whether it is the relay of its node or the Envoy of the task.
Counter = tuple[str, bool]


def counter_of(source: signals_pb2.Source) -> Counter:
    return source.task, source.relay


@dataclass(frozen=True, slots=True)
class TaskView:
    """What one has counted of one task, for a reader in whatever thread: nothing in it ever changes. `last`: the cumulative flows of its last
    reading, at `time`; `spans`: oldest first.
    """

    source: signals_pb2.Source
    time: float
    last: Mapping[flows.Key, signals_pb2.Flow]
    spans: Sequence[Span]


@dataclass(slots=True)
class TaskSignals:
    """What one has counted of one task. `last`: the cumulative flows of the last reading, of `incarnation` at `time`; `totals`: all that is known
    to have been counted. Invariant: `source`, and what `last` holds, are replaced and never changed.
    """

    source: signals_pb2.Source
    incarnation: str
    time: float
    last: dict[flows.Key, signals_pb2.Flow]
    totals: dict[flows.Key, signals_pb2.Flow]
    ring: Ring = field(default_factory=Ring)


class SignalStore:
    """The signals of all tasks, by who has counted them."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._tasks: dict[Counter, TaskSignals] = {}
        self._most_bytes = most_bytes
        self._aged = 0.0
        self.samples = 0  # readings that became a span, since the start
        self.refused = 0  # tasks whose readings were not taken since there are too many

    def __len__(self) -> int:
        """Return of how many tasks there are samples."""
        return len({name for name, _ in self._tasks})

    def views(self, start: float = 0.0) -> list[TaskView]:
        """Return every task, by each that has counted, with the spans that end after `start` (seconds since the epoch)."""
        return [
            TaskView(task.source, task.time, task.last, tuple(one for one in task.ring if one.end > start))
            for task in self._tasks.values()
        ]

    @property
    def bytes(self) -> int:
        """What the rings hold, about."""
        return sum(task.ring.bytes for task in self._tasks.values())

    def accept(self, given: signals_pb2.TaskReadings, now: float) -> bool:
        """Take the readings of one task; return whether everything that the agent keeps of it is to be sent."""
        self._age(now)
        counter = counter_of(given.source)
        task = self._tasks.get(counter)
        if task is None and not given.whole:
            return True
        if task is None and len(self._tasks) >= MOST_TASKS:
            self.refused += 1
            return False
        for reading in given.readings:
            if not now - HOUR <= reading.time <= now + HOUR:
                continue  # a clock that is set wrong would keep later readings out
            task = self._begun(given.source, reading) if task is None else self._continued(task, reading)
            self._tasks[counter] = task
        if task is not None:
            task.source = given.source
        return False

    def _begun(self, source: signals_pb2.Source, reading: signals_pb2.Reading) -> TaskSignals:
        """The first reading of a task: what it and earlier Envoys have counted are its totals so far."""
        totals = flows.by_key(reading.carried)
        for flow in reading.flows:
            key = flows.key_of(flow)
            total = totals.setdefault(key, flows.empty(flow))
            flows.add(total, flow)
            flows.replace_gauges(total, flow)
        task = TaskSignals(source, reading.incarnation, reading.time, flows.by_key(reading.flows), totals)
        if reading.from_start:
            self._add(task, reading, reading.started, list(reading.flows))
        return task

    def _continued(self, task: TaskSignals, reading: signals_pb2.Reading) -> TaskSignals:
        if reading.time <= task.time:
            return task
        same = reading.incarnation == task.incarnation
        counted = [
            flows.difference(flow, task.last.get(flows.key_of(flow)) if same else None) for flow in reading.flows
        ]
        for flow in counted:
            total = task.totals.setdefault(flows.key_of(flow), flows.empty(flow))
            flows.add(total, flow)
            flows.replace_gauges(total, flow)
        self._add(task, reading, task.time if same else max(task.time, reading.started), counted)
        task.incarnation, task.time, task.last = reading.incarnation, reading.time, flows.by_key(reading.flows)
        return task

    def _add(
        self, task: TaskSignals, reading: signals_pb2.Reading, start: float, counted: list[signals_pb2.Flow]
    ) -> None:
        task.ring.add(span(start, reading.time, counted))
        self.samples += 1

    def _age(self, now: float) -> None:
        """Forget what is too old or too much; seldom, since it looks at all tasks."""
        if now - self._aged < _AGE_EVERY:
            return
        self._aged = now
        for counter, task in list(self._tasks.items()):
            task.ring.age(now)
            if task.time < now - HOUR:
                del self._tasks[counter]
        size = self.bytes
        while size > self._most_bytes:
            oldest = min(self._tasks.values(), key=lambda task: task.ring.begin).ring
            before = oldest.bytes
            oldest.forget_oldest()
            if oldest.bytes == before:
                return
            size -= before - oldest.bytes

    def totals(self, now: float, most_age: float) -> Iterator[signals_pb2.TaskTotals]:
        """Yield what is known to have been counted of each task whose last sample is at most `most_age` seconds old."""
        for task in list(self._tasks.values()):
            age = now - task.time
            if age <= most_age:
                fresh = age <= FRESH_SECONDS
                shown = [_without_gauges(flow, fresh=fresh) for flow in task.totals.values()]
                yield signals_pb2.TaskTotals(source=task.source, flows=shown, age_seconds=max(0.0, age))


def _without_gauges(flow: signals_pb2.Flow, *, fresh: bool) -> signals_pb2.Flow:
    if fresh:
        return flow
    shown = signals_pb2.Flow()
    shown.CopyFrom(flow)
    for name in flows.GAUGES:
        shown.ClearField(name)
    return shown
