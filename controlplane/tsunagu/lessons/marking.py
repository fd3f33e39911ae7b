"""Marks the exercise of lesson 10: runs the learner's program with a real Envoy, and says what it does not do yet.

The one rule: only what Envoy does counts, not how the program is written.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tsunagu.lessons.envoy_process import wait_for
from tsunagu.lessons.shown import LessonFailed
from tsunagu.lessons.workshop_stage import WorkshopStage, drained, workshop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_SECONDS, _STARTS = 4.0, 5
_STAYS_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Mark:
    """One thing that the program must do, and what was wrong with it; empty when it is done."""

    task: str
    wrong: str


@dataclass(frozen=True, slots=True)
class Task:
    """The file's lines, and what must come of them; the words for both. `stays`: it was so before, and must stay so.
    `exercise`: the program that learners are given does not do it.
    """

    text: str
    lines: tuple[str, ...]
    done: Callable[[WorkshopStage], bool]
    stays: bool = False
    exercise: bool = False


def _only(*names: str) -> Callable[[WorkshopStage], bool]:
    return lambda stage: set(stage.asked()) == set(names)


TASKS = (
    Task("connections go to the servers in the file, in turn", ("one", "two"), _only("one", "two")),
    Task("a server that is taken out gets no connections", ("one",), _only("one")),
    Task("a line that is no server changes nothing", ("two", "no server"), _only("one"), stays=True),
    Task("a good file after it counts again", ("one", "two"), _only("one", "two")),
    Task("a server whose line begins with '-' gets no new connections", ("one", "-two"), _only("one"), exercise=True),
    Task(
        "Envoy still knows that server, as DRAINING",
        ("one", "-two"),
        lambda stage: drained(stage, "two") and not drained(stage, "one"),
        exercise=True,
    ),
    Task("without the '-' it gets connections again", ("one", "two"), _only("one", "two")),
)


def marked(program: Path) -> Iterator[Mark]:
    """Each task with its mark, one after the other."""
    with workshop(program) as stage:
        stage.write("one", "two")
        stage.start()
        yield from marked_on(stage)


def marked_on(stage: WorkshopStage) -> Iterator[Mark]:
    """As `marked`, of a program that runs. On a machine that is slow to start it, each task may take longer."""
    wait_for(lambda: stage.ended or stage.ask(), "an Envoy that leads somewhere")
    if stage.ended:
        raise LessonFailed(f"the program has ended: {stage.said_last()}")
    patience = max(_SECONDS, _STARTS * stage.started_in)
    for task in TASKS:
        stage.write(*task.lines)
        yield Mark(task.text, _wrong(task, stage, patience))


def _wait_while(condition: Callable[[], bool]) -> None:
    """Return when it no longer holds, or has held for long enough."""
    deadline = time.monotonic() + _STAYS_SECONDS
    while time.monotonic() < deadline and condition():
        time.sleep(0.02)


def _wrong(task: Task, stage: WorkshopStage, patience: float) -> str:
    try:
        if task.stays:
            _wait_while(lambda: task.done(stage))
        wait_for(lambda: task.done(stage), task.text, patience)
    except LessonFailed:
        answered = ", ".join(f"{name or 'nobody'} {count} times" for name, count in sorted(stage.asked().items()))
        return f"with {' and '.join(task.lines)} in the file, {answered} answered; the program said last: {stage.said_last()}"
    return ""
