"""Runs of lessons for the tests: in this process, to their end, with the page that a run makes."""

import os
from pathlib import Path

from tsunagu.lessons import page
from tsunagu.lessons.course import load, page_name
from tsunagu.lessons.play import play
from tsunagu.lessons.terminal import Narrator

PAGES = Path(__file__).parents[2] / "docs" / "lessons"
REWRITE = bool(os.environ.get("TSUNAGU_REWRITE"))


def holds(number):
    """Play a lesson, and assert that all it says is so, and that its page shows the commands of this run; with
    TSUNAGU_REWRITE=1 its page is made of it.
    """
    lesson = load(number)
    played = play(lesson, Narrator(number))
    assert played.wrong == []
    made, path = page.page(number, lesson, played), PAGES / page_name(number)
    if REWRITE:
        path.write_text(made)
    assert page.without_results(path.read_text()) == page.without_results(made)
