"""What a step of a lesson shows, and what stops a lesson.

The one rule: what cannot be shown is an error, never left out.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Shown:
    """What a step shows: what was done (`head`), and what came of it (`body`). `language` is that of the body, as in a
    block of Markdown: console, yaml, python, text.
    """

    head: str
    body: str = ""
    language: str = "console"


class LessonFailed(Exception):
    """Something that a lesson says was not so, or could not be shown."""
