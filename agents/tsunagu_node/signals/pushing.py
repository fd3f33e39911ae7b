"""Sends what was read of tasks to the control plane, each reading until it was taken.

Rule: a push has a bounded size, and what nobody takes is thinned out (`kept`), so a control plane that is away costs nothing more.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, Protocol

from tsunagu.v1 import signals_pb2
from tsunagu_node.signals.kept import KeptReadings

_PART: Final = 100  # tasks in one push

#: Sends one push; None when the control plane does not answer.
Push = Callable[[signals_pb2.PushRequest], Awaitable[signals_pb2.PushResponse | None]]


class Counted(Protocol):
    """One task, and the readings of it."""

    @property
    def source(self) -> signals_pb2.Source: ...

    @property
    def kept(self) -> KeptReadings: ...


async def push_all(push: Push, readers: Mapping[str, Counted]) -> None:
    """Send what was not taken yet of these tasks (by their names). What the control plane does not know at all is sent whole, right after."""
    names = list(readers)
    for part in (names[start : start + _PART] for start in range(0, len(names), _PART)):
        pending = {task: readers[task].kept.pending() for task in part}
        wanted = await _send(push, readers, pending, whole=False)
        if wanted:
            known = {task: readers[task].kept.whole() for task in wanted if task in readers}
            await _send(push, readers, known, whole=True)


async def _send(
    push: Push, readers: Mapping[str, Counted], given: Mapping[str, list[signals_pb2.Reading]], *, whole: bool
) -> Sequence[str]:
    """Return the tasks of which everything is wanted."""
    tasks = [
        signals_pb2.TaskReadings(source=readers[task].source, readings=readings, whole=whole)
        for task, readings in given.items()
        if readings
    ]
    response = await push(signals_pb2.PushRequest(tasks=tasks)) if tasks else None
    if response is None:
        return ()
    for task, readings in given.items():
        if readings and task not in response.wanted:
            readers[task].kept.taken(readings[-1].time)
    return response.wanted
