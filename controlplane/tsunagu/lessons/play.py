"""Leads through a lesson: scene by scene, with whoever watches, and asserts what it says.

The one rule: a scene in which something was not so does not end the lesson, for the next may show why; all that was not so
is in the result. A step that cannot be done ends it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from tsunagu.lessons.seen import Seen
from tsunagu.lessons.shown import LessonFailed
from tsunagu.testing import CallFailed, MeshError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tsunagu.lessons.lesson import Claim, Lesson, Question, Scene, Step
    from tsunagu.lessons.shown import Shown
    from tsunagu.lessons.stage import Stage

#: What may go wrong in a step: a lesson tells it, and has no traceback.
FAILURES: tuple[type[Exception], ...] = (LessonFailed, MeshError, CallFailed, TimeoutError, OSError)


class Audience(Protocol):
    """Whoever a lesson is shown to, and asked questions of."""

    def begins(self, lesson: Lesson) -> None:
        """The lesson begins; its stage is not there yet."""
        ...

    def stands(self, stage: Stage) -> None:
        """The stage is there."""
        ...

    def scene(self, scene: Scene, number: int) -> None:
        """A scene begins."""
        ...

    def shows(self, shown: Shown) -> None:
        """A step shows something."""
        ...

    def predicts(self, question: Question) -> str:
        """The letter that the audience expects; empty for none."""
        ...

    def steps(self) -> None:
        """The steps are about to be done."""
        ...

    def answer(self, question: Question, predicted: str, happened: str) -> None:
        """What was predicted, and what happened."""
        ...

    def claim(self, claim: Claim, wrong: str) -> None:
        """A claim was asserted; `wrong` says what was not so, and is empty if it held."""
        ...

    def explained(self, scene: Scene) -> None:
        """The scene is over."""
        ...

    def ends(self, lesson: Lesson) -> None:
        """The lesson is over; its stage is about to be cleared."""
        ...


@dataclass(slots=True)
class SceneOutput:
    """What a scene showed: what was given, and what its steps showed."""

    given: list[Shown] = field(default_factory=list)
    steps: list[Shown] = field(default_factory=list)


@dataclass(slots=True)
class Played:
    """What came of a lesson: its output by scene, and everything that was not so."""

    scenes: list[SceneOutput] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


def play(lesson: Lesson, audience: Audience) -> Played:
    """Lead through a lesson. Raises LessonFailed, or one of FAILURES, when a step cannot be done; then too its stage is
    cleared.
    """
    audience.begins(lesson)
    played = Played()
    values: dict[str, Any] = {}
    with lesson.stage() as stage:
        audience.stands(stage)
        for number, scene in enumerate(lesson.scenes, 1):
            played.scenes.append(SceneOutput())
            audience.scene(scene, number)
            wrong = _scene(scene, Seen(stage.messages, values, _mark(scene, stage)), stage, audience, played.scenes[-1])
            played.wrong += [f"scene {number}, {scene.title!r}: {text}" for text in wrong]
            audience.explained(scene)
        audience.ends(lesson)
    return played


def _mark(scene: Scene, stage: Stage) -> int:
    return 0 if scene.back else max((one.sequence for one in stage.messages(0)), default=0)


def _scene(scene: Scene, seen: Seen, stage: Stage, audience: Audience, output: SceneOutput) -> list[str]:
    _do(scene.given, stage, seen, audience, output.given)
    predicted = audience.predicts(scene.question) if scene.question else ""
    audience.steps()
    _do(scene.steps, stage, seen, audience, output.steps)
    wrong = []
    if scene.question:
        happened, problem = answered(scene.question, seen)
        audience.answer(scene.question, predicted, happened)
        wrong += [problem] if problem else []
    for claim in scene.claims:
        problem = asserted(claim, seen)
        audience.claim(claim, problem)
        wrong += [problem] if problem else []
    return wrong


def _do(steps: Sequence[Step], stage: Stage, seen: Seen, audience: Audience, output: list[Shown]) -> None:
    for step in steps:
        for shown in step(stage, seen):
            output.append(shown)
            audience.shows(shown)


def answered(question: Question, seen: Seen) -> tuple[str, str]:
    """The letters of the choices that hold, and what is wrong with that; empty when it is the right one alone."""
    try:
        happened = "".join(letter for letter, choice in question.lettered if choice.holds(seen))
    except LessonFailed as error:
        return "", f"{question.asks!r} cannot be answered: {error}"
    if happened == question.right:
        return happened, ""
    return (
        happened,
        f"{question.asks!r}: {happened or 'none'} happened, not {question.right}; the messages:\n{seen.story()}",
    )


def asserted(claim: Claim, seen: Seen) -> str:
    """What is not so of a claim; empty when it holds."""
    try:
        return "" if claim.holds(seen) else f"{claim.text!r} is not so; the messages:\n{seen.story()}"
    except LessonFailed as error:
        return f"{claim.text!r}: {error}"
