"""A lesson as a page of Markdown: its own prose, and the output of a run of it.

The one rule: a page is its lesson's file and a run, and nothing else. What differs from run to run is masked, so that two
runs make the same page.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tsunagu.lessons.course import module_name
from tsunagu.lessons.masks import Masks
from tsunagu.lessons.play import Played, SceneOutput
from tsunagu.lessons.prose import cleaned
from tsunagu.lessons.shown import Shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tsunagu.lessons.lesson import Lesson, Question, Scene

_MADE = "<!-- made from controlplane/tsunagu/lessons/course/{module} and a run of it: see docs/lessons/README.md -->"
_RESULT = re.compile(r"(?P<fence>```(?:console|text)\n)(?P<command>(?:\$ .*\n)?)(?:(?!```).*\n)*```")
_PAGE = ".md"
_PROTOCOL = f"../protocol{_PAGE}"  # from docs/lessons
#: What a run puts into a page: everything else is the lesson's own.
OUTPUT = re.compile(r"<!-- run -->\n(.*?)<!-- /run -->\n", re.DOTALL)


def page(number: int, lesson: Lesson, played: Played) -> str:
    """The page of a lesson that was played."""
    masks = Masks()
    parts = [
        _MADE.format(module=module_name(number)),
        f"# {number}. {lesson.title}",
        f"Run it: `tsunagu lesson {number}`." + _rules(lesson),
        cleaned(lesson.sees),
    ]
    for scene, output in zip(lesson.scenes, played.scenes, strict=True):
        parts += _scene(scene, output, masks)
    parts += ["## What to remember", "\n".join(f"- {one}" for one in lesson.remember)]
    return "\n\n".join(parts) + "\n"


def _rules(lesson: Lesson) -> str:
    rules = ", ".join(map(str, lesson.rules))
    return f" Sections of [the protocol]({_PROTOCOL}) whose rules it shows: {rules}." if rules else ""


def _scene(scene: Scene, output: SceneOutput, masks: Masks) -> Iterator[str]:
    yield f"## {scene.title}"
    yield cleaned(scene.text)
    if output.given:
        yield _run(output.given, masks)
    if scene.question:
        yield _question(scene.question)
    yield _run(output.steps, masks)
    if scene.question:
        yield f"**{scene.question.right}.** {' '.join(cleaned(scene.question.because).split())}"
    yield "So it was, in this run as in every run of the tests:"
    yield "\n".join(f"- {' '.join(claim.text.split())}" for claim in scene.claims)
    if scene.explained:
        yield cleaned(scene.explained)


def _question(question: Question) -> str:
    choices = [f"{letter}) {choice.text}" for letter, choice in question.lettered]
    return "\n>\n".join([f"> **Before you read on:** {question.asks}", *(f"> {one}" for one in choices)])


def _run(shown: list[Shown], masks: Masks) -> str:
    return "<!-- run -->\n" + "\n".join(_block(one, masks) for one in shown) + "<!-- /run -->"


def _block(shown: Shown, masks: Masks) -> str:
    text = masks.output(shown.body) if shown.language == "console" else masks(shown.body)
    if shown.language != "console":
        return f"`{shown.head}`:\n\n```{shown.language}\n{text}\n```\n"
    if shown.head.startswith("("):
        body = f"\n```text\n{text}\n```\n" if shown.body else ""
        return f"*{masks.output(shown.head)}*\n{body}"
    if shown.head.startswith(">>>"):
        return f"```python\n{masks(shown.head)}\n```\n"
    body = f"{text}\n" if shown.body else ""
    return f"```console\n{masks(shown.head)}\n{body}```\n"


def without_output(text: str) -> str:
    """A page without what its run has put into it: what its lesson's file alone says."""
    return OUTPUT.sub("<!-- run -->\n<!-- /run -->\n", text)


def without_results(text: str) -> str:
    """A page with the commands and files of its run, and without what came of them, which may differ in its order."""
    return _RESULT.sub(lambda found: found["fence"] + found["command"] + "```", text)


def blank(lesson: Lesson) -> Played:
    """A run that has shown nothing, to compare a page's prose with its lesson's."""
    return Played([SceneOutput([Shown("")] if scene.given else [], []) for scene in lesson.scenes])
