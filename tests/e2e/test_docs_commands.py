"""Every command that README and docs show is run, and prints what they show; times, ids and addresses are masked.

One mesh for a page: its own commands start and end it. What cannot be run says why, and is counted here.
"""

import difflib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e import needs
from tests.e2e.docs_commands import agrees, blocks, masked, unmarked
from tsunagu.testing.ports import free_port

pytestmark = [pytest.mark.e2e, pytest.mark.envoy]

ROOT = Path(__file__).parents[2]
PAGES = [
    *("README.md", "CONTRIBUTING.md"),
    *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").glob("*.md")),
    *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "examples").glob("*/README.md")),
]
SHOWN = [page for page in PAGES if any(blocks((ROOT / page).read_text()))]
PORT = "8080"  # what the pages publish; here it is a free one
SECONDS = 150

#: page -> how many of its blocks are not run.
NOT_RUN: dict[str, int] = {
    "README.md": 2,
    "docs/appmesh.md": 1,
    "docs/aws.md": 1,
    "docs/cloud-map.md": 1,
    "docs/library.md": 1,
    "docs/manifests.md": 2,
    "docs/metrics.md": 2,
    "docs/operating.md": 1,
    "docs/performance.md": 1,
    "docs/registry.md": 1,
    "docs/why.md": 2,
    "docs/zones.md": 1,
}


#: page -> what its commands need of the machine.
NEEDS = {"examples/03-database/README.md": needs.postgresql}


@pytest.mark.parametrize("page", PAGES)
def test_no_command_is_shown_in_a_block_that_is_not_run(page):
    assert unmarked((ROOT / page).read_text()) == []


@pytest.mark.parametrize("page", PAGES)
def test_what_is_not_run_says_why_and_is_counted(page):
    reasons = [block.marks["not run"] for block in blocks((ROOT / page).read_text()) if "not run" in block.marks]
    assert all(reasons)
    assert len(reasons) == NOT_RUN.get(page, 0)


class Shell:
    """Runs commands one after the other, as in one terminal, in a copy of the repository's examples."""

    def __init__(self, folder: Path, page: str) -> None:
        self._folder = folder
        shutil.copytree(ROOT / "examples", folder / "examples")
        for name in (".venv", "Makefile"):
            (folder / name).symlink_to(ROOT / name)
        shutil.copy(ROOT / "pyproject.toml", folder)
        os.utime(folder / "pyproject.toml", (0, 0))  # `make` is to set up nothing
        self._port = str(free_port())
        for front in (folder / "examples").glob("*/front.yaml"):
            front.write_text(front.read_text().replace(PORT, self._port))
        self._here = folder / Path(page).parent if page.startswith("examples/") else folder
        self._environment = {
            # The reader's `make` is not one within ours.
            **{name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")},
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "XDG_STATE_HOME": str(folder / "s"),
            "COLUMNS": "200",
        }

    def run(self, command: str) -> tuple[int, str]:
        place = self._folder / "here"
        script = f"{command.replace(PORT, self._port)}\nstatus=$?\npwd > {place}\nexit $status"
        done = subprocess.run(
            ["bash", "-c", script], cwd=self._here, env=self._environment, timeout=SECONDS, check=False,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        self._here = Path(place.read_text().strip()) if place.exists() else self._here
        return done.returncode, done.stdout.replace(self._port, PORT)

    def end(self) -> None:
        """End the mesh of a page that failed before its own `down`."""
        self.run("tsunagu down --now")


@pytest.fixture
def folder():
    """Short: the path of a Unix socket has 107 bytes at most."""
    import tempfile

    path = Path(tempfile.mkdtemp(prefix="d", dir="/tmp"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.mark.slow("all that a page shows, in order")
@pytest.mark.timeout(600)
@pytest.mark.parametrize("page", SHOWN)
def test_the_commands_of_a_page_do_what_it_shows(page, folder):
    NEEDS.get(page, lambda: None)()
    shell = Shell(folder, page)
    try:
        for block in blocks((ROOT / page).read_text()):
            if "not run" not in block.marks:
                _run(shell, page, block)
    finally:
        shell.end()


def _run(shell, page, block):
    for at, (command, expected) in enumerate(block.steps):
        code, got = shell.run(command)
        where = f"{page}:{block.line}: $ {command}"
        last = at == len(block.steps) - 1
        assert code == (int(block.marks.get("exit", 0)) if last else 0), f"{where}\nends with {code}:\n{got}"
        numbers = "numbers vary" in block.marks
        assert agrees(expected, got, numbers=numbers), _differ(where, expected, got, numbers=numbers)


def _differ(where, expected, got, *, numbers):
    shown, done = (masked(text, numbers=numbers).split("\n") for text in (expected, got))
    lines = difflib.unified_diff(shown, done, "the page", "the command", lineterm="", n=2)
    return "\n".join([where, *lines, "whole output:", got])
