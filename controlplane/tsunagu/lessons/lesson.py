"""What a lesson is made of: scenes with a prediction, steps, and claims that are asserted over what was seen.

A lesson is one file under `course/` that holds one `Lesson`: prose, and small declarative parts. How it is led through (in
a terminal, by itself, as a page) is nothing that it knows. The one rule: what a scene teaches is a `Claim` or a `Choice`,
and each of these is a function of what was seen, so that a lesson which is no longer true fails.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from contextlib import AbstractContextManager

    from tsunagu.lessons.seen import Seen
    from tsunagu.lessons.shown import Shown
    from tsunagu.lessons.stage import Stage

LETTERS = "abcdef"


class Step(Protocol):
    """One thing that a scene does. Raises LessonFailed when it cannot be done."""

    def __call__(self, stage: Stage, seen: Seen, /) -> Iterable[Shown]:
        """Do it; what is to be shown of it, as soon as it is there."""
        ...


@dataclass(frozen=True, slots=True)
class Choice:
    """One possible prediction, and whether it is what happened."""

    text: str
    holds: Callable[[Seen], bool]


@dataclass(frozen=True, slots=True)
class Question:
    """A prediction asked for before the steps. `right` is the letter of the one choice that holds; `because` says why."""

    asks: str
    choices: tuple[Choice, ...]
    right: str
    because: str

    @property
    def lettered(self) -> list[tuple[str, Choice]]:
        """The choices with their letters."""
        return list(zip(LETTERS, self.choices, strict=False))


@dataclass(frozen=True, slots=True)
class Claim:
    """Something that the scene teaches, and whether it is so."""

    text: str
    holds: Callable[[Seen], bool]


@dataclass(frozen=True, slots=True)
class Scene:
    """One part of a lesson: `text`, then what is `given` (files that a reader looks at), the question, the steps, the
    answer, the claims, and what it all means (`explained`). `back`: its messages are those of the lesson from its beginning.
    """

    title: str
    text: str
    steps: tuple[Step, ...]
    claims: tuple[Claim, ...]
    question: Question | None = None
    given: tuple[Step, ...] = ()
    explained: str = ""
    back: bool = False


@dataclass(frozen=True, slots=True)
class Lesson:
    """A lesson: `sees` says what one will see, `stage` brings up what it needs, `rules` are the sections of
    docs/protocol.md that it shows, `remember` is what should stay.
    """

    title: str
    sees: str
    stage: Callable[[], AbstractContextManager[Stage]]
    scenes: tuple[Scene, ...]
    rules: tuple[int, ...]
    remember: tuple[str, ...]
