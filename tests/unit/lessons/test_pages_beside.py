"""The pages beside the lessons: twelve questions with answers, and the protocol's dialogues, each of which is explained."""

import re
from pathlib import Path

from tests.transcripts.test_transcripts import FILES, Stage
from tsunagu.lessons.course import page_name

DOCS = Path(__file__).parents[3] / "docs"
PROTOCOL = (DOCS / "protocol.md").read_text()
QUESTIONS = re.findall(
    r"^(\d+)\. \*\*(.+?\?)\*\*\n((?:   .+\n)+)", (DOCS / "lessons" / "questions.md").read_text(), re.MULTILINE
)


def test_there_are_twelve_questions_with_answers():
    assert [int(number) for number, _, _ in QUESTIONS] == list(range(1, 13))
    assert all(len(answer.split()) > 10 for _, _, answer in QUESTIONS)


def test_each_answer_leads_to_a_lesson_and_lessons_1_to_6_are_enough():
    known = {page_name(number) for number in range(1, 7)}
    led = [set(re.findall(r"\]\(([^)]+)\)", answer)) for _, _, answer in QUESTIONS]
    assert all(led)
    assert set.union(*led) == known


def test_every_dialogue_stands_beside_the_rules_that_it_holds():
    linked = set(re.findall(r"\(\.\./tests/transcripts/(\w+\.txt)\)", PROTOCOL))
    assert linked == {path.name for path in FILES}


def test_every_word_of_a_dialogue_is_explained_before_the_first():
    explained = PROTOCOL.partition("### How to read a dialogue")[2].partition("\n## ")[0]
    verbs = {name.removeprefix("do_") for name in dir(Stage) if name.startswith("do_")}
    assert [verb for verb in sorted(verbs) if f"`{verb}" not in explained] == []
