"""`tsunagu lesson`: led by a person, ended in the middle, two at a time; the exercise and its marks; two shops on one port."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tsunagu.lessons.workshop_stage import EXERCISE
from tsunagu.testing import processes

pytestmark = [pytest.mark.e2e, pytest.mark.envoy]

ROOT = Path(__file__).parents[2]
CLI = [sys.executable, "-m", "tsunagu.cli"]
PATIENCE = 120.0  # s: a lesson is many steps


def begin(*words, **environment):
    return subprocess.Popen(
        [*CLI, *map(str, words)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True, env={**os.environ, "NO_COLOR": "1", "PYTHONUNBUFFERED": "1", **environment},
    )  # fmt: skip


def read_until(process, pattern):
    """The output up to the first match; the reader's patience is that of the test."""
    text = ""
    while not (found := re.search(pattern, text)):
        line = process.stdout.readline()
        assert line, f"it ended before {pattern!r}:\n{text}"
        text += line
    return found, text


def wait_for(condition, what):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


@pytest.mark.slow("the exercise is marked in it")
def test_a_person_is_asked_and_told_what_happened():
    process = begin("lesson", 10)
    first, second, third = "\nx\na\n\n\n", "b\n\n\n", "\n\n"
    output, _ = process.communicate(first + second + third, timeout=PATIENCE)
    assert process.returncode == 0, output
    assert output.count("Your prediction [a/b]:") == 3  # once more after what is no choice
    assert "What happened is b:" in output


def test_the_end_of_the_input_ends_the_lesson_in_order():
    process = begin("lesson", 10)
    output, _ = process.communicate("", timeout=PATIENCE)
    assert process.returncode == 1
    assert output.endswith("error: the input ended before the lesson\n  --auto asks nothing\n")


@pytest.mark.slow("a mesh comes up and is drained")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda one: one.name)
def test_a_lesson_that_is_ended_in_the_middle_leaves_nothing(number):
    process = begin("lesson", 2)
    found, _ = read_until(process, r"export TSUNAGU_HOME=(\S+?)`?\n")
    home = Path(found[1].rstrip("`"))
    assert processes.of_home(home).everything
    os.kill(process.pid, number)
    process.communicate(timeout=PATIENCE)
    assert process.returncode == {signal.SIGINT: 130}.get(number, 143)
    wait_for(lambda: not processes.of_home(home).everything, "processes of the mesh are left")
    assert not home.parent.exists()


@pytest.mark.parametrize("lesson", [6, 10], ids=["bench", "workshop"])
def test_a_lesson_without_a_mesh_leaves_nothing_either(lesson, tmp_path):
    process = begin("lesson", lesson, TMPDIR=str(tmp_path))
    process.stdin.write("\n")
    process.stdin.flush()
    read_until(process, r"b\) ")
    assert len(list(tmp_path.iterdir())) == 1
    os.kill(process.pid, signal.SIGINT)
    process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert list(tmp_path.iterdir()) == []
    assert not [one for one in psutil.process_iter(["cmdline"]) if str(tmp_path) in " ".join(one.info["cmdline"] or [])]


def test_a_lesson_that_is_killed_leaves_no_process():
    process = begin("lesson", 2)
    found, _ = read_until(process, r"export TSUNAGU_HOME=(\S+?)`?\n")
    home = Path(found[1].rstrip("`"))
    process.kill()
    process.communicate(timeout=PATIENCE)
    wait_for(lambda: not processes.of_home(home).everything, "processes of the mesh are left")
    shutil.rmtree(home.parent)


@pytest.mark.slow("two lessons, at the pace of people")
def test_two_can_learn_at_once():
    both = [begin("lesson", 2, "--auto"), begin("lesson", 4, "--auto")]
    outputs = [process.communicate(timeout=2 * PATIENCE)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], "\n".join(outputs)


def test_a_lesson_that_there_is_not():
    done = subprocess.run([*CLI, "lesson", "11"], capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert (done.returncode, done.stderr.splitlines()[0]) == (2, "error: there is no lesson 11")


def mark(program):
    done = subprocess.run(
        [*CLI, "lesson", "10", "--mark", str(program)], capture_output=True, text=True, check=False, timeout=PATIENCE
    )
    return done.returncode, done.stdout.splitlines(), done.stderr


@pytest.fixture
def exercise(tmp_path):
    folder = tmp_path / "mine"
    subprocess.run([*CLI, "lesson", "10", "--exercise", str(folder)], check=True, capture_output=True, timeout=PATIENCE)
    return folder / "control_plane.py"


@pytest.mark.slow("two tasks are waited for that are not done")
def test_the_exercise_as_it_is_given_is_not_done(exercise):
    code, lines, error = mark(exercise)
    assert code == 1
    assert "2 of these are not done yet" in error
    assert [line[0] for line in lines if line[0] in "✓✗"] == list("✓✓✓✓✗✗✓")
    assert any("one" in line and "-two in the file" in line for line in lines)


SOLUTION = {
    '        host, _, port = line.strip().rpartition(":")\n': (
        '        host, _, port = line.strip().removeprefix("-").rpartition(":")\n'
        '        health = 3 if line.startswith("-") else 1\n'
    ),
    '"port_value": int(port)}}}})': '"port_value": int(port)}}}, "health_status": health})',
}


def test_the_exercise_is_done_by_three_lines(exercise):
    text = exercise.read_text()
    for given, solved in SOLUTION.items():
        assert given in text
        text = text.replace(given, solved)
    exercise.write_text(text)
    code, lines, error = mark(exercise)
    assert (code, lines[-1]) == (0, "all of it is done"), (lines, error)


def test_leaving_the_server_out_is_not_draining_it(exercise):
    """It gets no connections, but Envoy has forgotten it."""
    text = exercise.read_text().replace(
        "        host, _, port", '        if line.startswith("-"):\n            continue\n        host, _, port'
    )
    exercise.write_text(text)
    code, lines, _ = mark(exercise)
    assert code == 1
    assert [line[0] for line in lines if line[0] in "✓✗"] == list("✓✓✓✓✓✗✓")


def test_a_program_that_does_not_run_is_marked_too(exercise):
    exercise.write_text("raise SystemExit('not yet')\n")
    code, _, error = mark(exercise)
    assert code == 1
    assert error == "error: the program has ended: not yet\n"


def test_the_exercise_is_not_written_over_what_is_there(exercise):
    again = subprocess.run(
        [*CLI, "lesson", "10", "--exercise", str(exercise.parent)], capture_output=True, text=True, check=False,
        timeout=PATIENCE,
    )  # fmt: skip
    assert again.returncode == 1
    assert exercise.read_text() == (EXERCISE / "control_plane.py").read_text()


@pytest.fixture
def names(tmp_path):
    """Two homes, short, for the path of a Unix socket has 107 bytes at most."""
    homes = [Path(f"/tmp/ts{os.getpid()}{letter}") for letter in "ab"]
    yield homes
    for home in homes:
        subprocess.run([*CLI, "down", "--now", "--home", str(home)], capture_output=True, check=False, timeout=PATIENCE)
        shutil.rmtree(home, ignore_errors=True)


@pytest.mark.slow("two shops at once")
def test_two_have_the_shop_on_one_machine(names, tmp_path):
    shop = tmp_path / "shop"
    shutil.copytree(ROOT / "examples" / "01-shop", shop)
    both = [begin("up", "--detach", "--any-port", "--home", home, shop) for home in names]
    outputs = [process.communicate(timeout=2 * PATIENCE)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], "\n".join(outputs)
    addresses = [re.search(r"(http://127\.0\.0\.1:\d+)/ leads to web:80", output)[1] for output in outputs]
    assert len(set(addresses)) == 2
