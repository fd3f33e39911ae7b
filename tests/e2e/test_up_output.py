"""What apps write, in a foreground `up`: shown from their first line to their last, and never at the mesh's cost."""

import fcntl
import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import time
from array import array
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.test_cli import left

pytestmark = [pytest.mark.e2e, pytest.mark.envoy]

SPEAKS = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: (print("bye"), sys.exit(0)))
print("\\x1b[32mhello\\x1b[0m")
while True:
    time.sleep(600)
"""
FLOODS = """
import itertools
for number in itertools.count():
    print("x" * 300, "line", number)
"""


_NEARLY_FULL = 50_000  # bytes; a pipe has 65,536, of which the last page is left


def manifest(folder: Path, code: str, tasks: int = 1) -> Path:
    (folder / "app.py").write_text(code)
    path = folder / "web.yaml"
    path.write_text(f"""
kind: TaskDefinition
family: web
networkMode: awsvpc
memory: "128"
containerDefinitions:
- {{name: app, image: web, command: ["{sys.executable}", -u, "{folder}/app.py"]}}
---
{{kind: Service, serviceName: web, taskDefinition: web, desiredCount: {tasks}}}
""")
    return path


def command(home: Path, path: Path, *options: str) -> list[str]:
    return [sys.executable, "-m", "tsunagu.cli", "up", str(path), "--home", str(home), *options]


def until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def ended(process: subprocess.Popen) -> None:
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0


@pytest.mark.parametrize("shown", [True, False], ids=["by default", "--no-logs"])
def test_every_line_is_shown_also_those_of_the_end(tmp_path, shown):
    output, home = tmp_path / "out", tmp_path / "m"
    options = () if shown else ("--no-logs",)
    with (
        output.open("w") as out,
        subprocess.Popen(command(home, manifest(tmp_path, SPEAKS, tasks=2), *options), stdout=out) as process,
    ):
        until(lambda: "Ctrl-C drains" in output.read_text())
        until(lambda: output.read_text().count("| hello\n") == (2 if shown else 0))
        ended(process)
    told = output.read_text()
    assert sorted(re.findall(r"^web-\w{8} \| (.*)$", told, re.MULTILINE)) == (["bye", "bye", "hello", "hello"] * shown)
    assert ("'tsunagu logs -f' shows what its apps write" in told) is not shown
    assert told.splitlines()[-1].endswith("every task has stopped")
    assert left(home) == []


def test_on_a_terminal_lines_stand_above_the_picture_in_the_colours_of_task_and_app(tmp_path):
    ours, theirs = pty.openpty()
    screen = bytearray()

    def shows(text: bytes) -> bool:
        while select.select([ours], [], [], 0.05)[0]:
            screen.extend(os.read(ours, 65536))
        return text in screen

    home = tmp_path / "m"
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "120", "LINES": "40"}
    environment.pop("NO_COLOR", None)
    with subprocess.Popen(
        command(home, manifest(tmp_path, SPEAKS)), stdin=theirs, stdout=theirs, stderr=theirs, env=environment,
        start_new_session=True,
    ) as process:  # fmt: skip
        os.close(theirs)
        until(lambda: shows(b"Ctrl-C drains"))
        until(lambda: shows(b"hello"))
        line = next(one for one in bytes(screen).splitlines() if b"hello" in one)
        assert re.search(rb"\x1b\[36mweb-\w{8} \| ?\x1b\[0m ?\x1b\[32mhello", line), line
        process.send_signal(signal.SIGINT)
        until(lambda: shows(b"every task has stopped"))
        assert b"bye" in screen
        assert process.wait(60) == 0
    os.close(ours)
    assert left(home) == []


def unread(pipe) -> int:
    """Bytes that wait in a pipe."""
    return array("i", fcntl.ioctl(pipe, termios.FIONREAD, array("i", [0]).tobytes()))[0]


@pytest.mark.slow("an app has to write for some seconds what nobody could read")
def test_a_flood_of_lines_and_a_reader_that_has_stopped_hold_up_nothing(tmp_path):
    home = tmp_path / "m"
    with subprocess.Popen(
        command(home, manifest(tmp_path, FLOODS)), stdout=subprocess.PIPE, text=True, bufsize=1
    ) as process:
        shown = []
        while not any("left out here" in line for line in shown[-2:-1]):  # more than 100 lines a second
            shown.append(process.stdout.readline())
        assert re.fullmatch(r"web-\w{8} \| x+ line \d+\n", shown[-1])
        until(lambda: unread(process.stdout) > _NEARLY_FULL)
        process.send_signal(signal.SIGINT)
        told, _ = process.communicate(timeout=90)
        assert process.returncode == 0
        assert "every task has stopped" in told
        numbers = [int(number) for number in re.findall(r"line (\d+)$", "".join(shown) + told, re.MULTILINE)]
        assert numbers == sorted(numbers)
        assert numbers[-1] > 2 * len(numbers)
    assert left(home) == []
