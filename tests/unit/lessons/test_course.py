"""Each lesson is whole: a prediction that can be right, claims, rules that there are, and a page made of it."""

import re
from pathlib import Path

import pytest

from tsunagu.lessons import page
from tsunagu.lessons.course import load, page_name, titles
from tsunagu.lessons.lesson import LETTERS

ROOT = Path(__file__).parents[3]
PAGES = ROOT / "docs" / "lessons"
PROTOCOL = (ROOT / "docs" / "protocol.md").read_text()
NUMBERS = list(titles())
LESSONS = {number: load(number) for number in NUMBERS}
SCENES = [(number, scene) for number, lesson in LESSONS.items() for scene in lesson.scenes]


def scene_name(value):
    return f"{value}" if isinstance(value, int) else value.title


def test_there_are_ten():
    assert list(range(1, 11)) == NUMBERS


@pytest.mark.parametrize("number", NUMBERS)
def test_the_list_has_the_titles_of_the_lessons(number):
    assert titles()[number] == LESSONS[number].title


@pytest.mark.parametrize("number", NUMBERS)
def test_a_lesson_asks_for_a_prediction_and_says_what_to_remember(number):
    lesson = LESSONS[number]
    assert any(scene.question for scene in lesson.scenes)
    assert lesson.remember


@pytest.mark.parametrize(("number", "scene"), SCENES, ids=scene_name)
def test_a_scene_asserts_what_it_says(number, scene):
    assert scene.claims
    assert scene.steps


@pytest.mark.parametrize(("number", "scene"), [one for one in SCENES if one[1].question], ids=scene_name)
def test_a_question_has_one_right_answer_among_its_choices(number, scene):
    question = scene.question
    letters = [letter for letter, _ in question.lettered]
    assert len(letters) == len(question.choices) >= 2
    assert question.right in letters
    assert set(letters) <= set(LETTERS)
    assert len({choice.text for choice in question.choices}) == len(letters)


def test_the_right_answer_is_not_always_the_same_letter():
    assert len({scene.question.right for _, scene in SCENES if scene.question}) >= 3


@pytest.mark.parametrize("number", NUMBERS)
def test_a_lesson_shows_rules_that_there_are_and_they_lead_to_it(number):
    for rule in LESSONS[number].rules:
        heading = re.search(rf"^## {rule}\. .*$", PROTOCOL, re.MULTILINE)
        assert heading, f"docs/protocol.md has no section {rule}"
        section = PROTOCOL[heading.end() :].partition("\n## ")[0]
        assert f"(lessons/{page_name(number)})" in section, f"section {rule} does not lead to lesson {number}"


@pytest.mark.parametrize("number", NUMBERS)
def test_a_page_says_what_its_lesson_says(number):
    """`TSUNAGU_REWRITE=1 pytest -m e2e tests/e2e/test_lessons_*.py` makes the pages anew, from a run."""
    lesson = LESSONS[number]
    text = (PAGES / page_name(number)).read_text()
    assert page.without_output(text) == page.without_output(page.page(number, lesson, page.blank(lesson)))


@pytest.mark.parametrize("number", NUMBERS)
def test_a_page_shows_a_run_without_what_differs_from_run_to_run(number):
    outputs = page.OUTPUT.findall((PAGES / page_name(number)).read_text())
    assert any(outputs)
    text = "".join(outputs)
    assert not re.search(r"\d\d:\d\d:\d\d", text)
    assert not re.search(r"\b[a-z]+-[0-9a-f]{8}\b", text)
    assert not re.search(r"\b[0-9a-f]{16,}\b", text)
    assert "/tmp/" not in text.replace("/tmp/tsunagu-lesson", "")


def test_the_index_leads_to_every_lesson():
    index = (PAGES / "README.md").read_text()
    missing = [number for number in NUMBERS if f"{number}. [{titles()[number]}]({page_name(number)})" not in index]
    assert missing == []
