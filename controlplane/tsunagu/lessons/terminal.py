"""A lesson in a terminal: for one who learns, for a class that predicts, or by itself (`--auto`).

The one rule: both are shown the same. Only the pauses and the questions are left out when it leads itself.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import typer

from tsunagu.lessons.prose import wrapped

if TYPE_CHECKING:
    from tsunagu.lessons.lesson import Claim, Lesson, Question, Scene
    from tsunagu.lessons.shown import Shown
    from tsunagu.lessons.stage import Stage

_WIDEST = 96


class Narrator:
    """Shows a lesson and waits for nobody: `--auto`. It predicts what is right, so that an error shows as one."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._width = min(_WIDEST, shutil.get_terminal_size((_WIDEST, 24)).columns)

    def begins(self, lesson: Lesson) -> None:
        self._heading(f"Lesson {self._number}: {lesson.title}", "=")
        self._text(lesson.sees)
        typer.secho("(bringing up what this needs)", dim=True)

    def stands(self, stage: Stage) -> None:
        if stage.invites:
            self._text("To look for yourself at any time, in another terminal:")
            typer.echo(f"    {stage.invites}\n")

    def scene(self, scene: Scene, number: int) -> None:
        self._heading(f"{self._number}.{number} {scene.title}", "-")
        self._text(scene.text)

    def shows(self, shown: Shown) -> None:
        typer.secho(shown.head, bold=True)
        if shown.body:
            typer.echo(shown.body)
        typer.echo()

    def predicts(self, question: Question) -> str:
        typer.secho(wrapped(f"Before you see it: {question.asks}", self._width), fg=typer.colors.CYAN)
        for letter, choice in question.lettered:
            typer.echo(wrapped(f"{letter}) {choice.text}", self._width))
        typer.echo()
        return question.right

    def steps(self) -> None:
        """Nobody has to be ready."""

    def answer(self, question: Question, predicted: str, happened: str) -> None:
        texts = [choice.text for letter, choice in question.lettered if letter in happened]
        verdict = f"What happened is {', '.join(happened) or 'none of these'}: {' '.join(texts)}"
        good = bool(predicted) and predicted == happened
        typer.secho(wrapped(verdict, self._width), fg=typer.colors.GREEN if good else typer.colors.YELLOW)
        self._text(question.because)

    def claim(self, claim: Claim, wrong: str) -> None:
        if wrong:
            typer.secho(f"✗ {wrong}", fg=typer.colors.RED)
        else:
            typer.secho(wrapped(f"✓ {claim.text}", self._width), fg=typer.colors.GREEN)

    def explained(self, scene: Scene) -> None:
        typer.echo()
        if scene.explained:
            self._text(scene.explained)

    def ends(self, lesson: Lesson) -> None:
        self._heading("What to remember", "-")
        self._text("\n".join(f"- {one}" for one in lesson.remember))
        typer.secho("(clearing everything away)", dim=True)

    def _heading(self, text: str, rule: str) -> None:
        typer.secho(f"\n{text}\n{rule * min(len(text), self._width)}", bold=True)

    def _text(self, text: str) -> None:
        typer.echo(wrapped(text, self._width) + "\n")


class Teacher(Narrator):
    """Asks for predictions, and goes on when somebody presses Enter. Raises EOFError at the end of the input."""

    def scene(self, scene: Scene, number: int) -> None:
        if number == 1:
            self._pause("Enter begins")
        super().scene(scene, number)

    def predicts(self, question: Question) -> str:
        super().predicts(question)
        letters = [letter for letter, _ in question.lettered]
        while True:
            said = input(f"Your prediction [{'/'.join(letters)}]: ").strip().lower()
            if said in letters:
                return said
            typer.echo(f"One of {', '.join(letters)}, please. Ctrl-C ends the lesson.")

    def steps(self) -> None:
        self._pause("Enter does it")

    def explained(self, scene: Scene) -> None:
        super().explained(scene)
        self._pause("Enter goes on")

    @staticmethod
    def _pause(what: str) -> None:
        input(f"[{what}] ")
        typer.echo()
