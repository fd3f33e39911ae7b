"""The recordings of the package tell the same story on every machine, byte for byte, and their questions have answers.

`TSUNAGU_REWRITE=1 pytest tests/unit/lessons/test_recordings.py` writes the stories and the page anew, after new recordings.
"""

import os
import time
from pathlib import Path

import pytest

from tsunagu.cli.commands.xds import line
from tsunagu.lessons import recordings
from tsunagu.lessons.recordings import QUESTIONS, RECORDINGS

HERE = Path(__file__).parent
PAGE = Path(__file__).parents[3] / "docs" / "lessons" / "recordings.md"
REWRITE = bool(os.environ.get("TSUNAGU_REWRITE"))


@pytest.fixture(autouse=True)
def greenwich(monkeypatch):
    """A replay shows the time of the place where it is shown."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize("name", RECORDINGS)
def test_a_replay_tells_the_same_story_byte_for_byte(name, tsunagu):
    story = HERE / "stories" / f"{name}.txt"
    told = tsunagu("xds", "replay", name, "--wide").stdout
    if REWRITE:
        story.parent.mkdir(exist_ok=True)
        story.write_text(told)
    assert told.encode() == story.read_bytes()
    assert len(told.splitlines()) == len(recordings.events(name))


def test_every_recording_of_the_package_has_a_name_and_questions():
    assert {path.stem for path in recordings.FOLDER.glob("*.jsonl")} == set(RECORDINGS)
    assert {one.recording for one in QUESTIONS} == set(RECORDINGS)


def test_a_file_of_the_same_name_goes_before_a_recording(tsunagu, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("boot").write_text("")
    assert "boot is empty" in tsunagu("xds", "replay", "boot").stderr


def test_the_page_has_the_questions_and_the_answers_of_the_recordings():
    made = recordings.page()
    if REWRITE:
        PAGE.write_text(made)
    assert PAGE.read_text() == made


@pytest.mark.parametrize("name", RECORDINGS)
def test_a_recording_holds_no_name_of_a_machine_or_a_person(name):
    text = recordings.path(name).read_text()
    assert "/home/" not in text
    assert "/root" not in text
    assert all(line(one, wide=True)[0] for one in recordings.events(name))
