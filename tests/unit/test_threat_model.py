"""docs/threat-model.md claims nothing without a test: each row names one that is there, or a row of docs/isolation.md."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "threat-model.md"
ISOLATION = ROOT / "docs" / "isolation.md"


def rows(title):
    """The rows below that title: what it is about, the answers of both runtimes, and what shows it or why it is so."""
    section = PAGE.read_text().split(f"## {title}\n")[1].split("\n## ")[0]
    return re.findall(r"^\| (.+?) \| (yes|no) \| (yes|no) \| (.+) \|$", section, re.MULTILINE)


def attempts():
    """Row of docs/isolation.md -> whether it is reached, in linux and docker; each is attempted from inside a task."""
    found = re.findall(r"^\| `(.+?)` \| (yes|no) \| (yes|no) \|", ISOLATION.read_text(), re.MULTILINE)
    return {name: (linux, docker) for name, linux, docker in found}


PROTECTED, OPEN = rows("Protected"), rows("Not protected")
CITED = [
    (what, linux, docker, name) for what, linux, docker, why in OPEN for name in re.findall(r"`isolation: (.+?)`", why)
]


def test_there_are_both_tables():
    assert len(PROTECTED) > 10
    assert len(OPEN) > 8


@pytest.mark.parametrize(("what", "linux", "docker", "shown"), PROTECTED, ids=lambda text: text[:40])
def test_each_protection_is_shown(what, linux, docker, shown):
    name = shown.strip("`")
    if name.startswith("isolation: "):
        reached = attempts()[name.removeprefix("isolation: ")]
        assert reached == tuple("no" if one == "yes" else "yes" for one in (linux, docker))
        return
    path, _, test = name.partition("::")
    functions = (ROOT / path).read_text()
    assert test in {node.name for node in ast.walk(ast.parse(functions)) if hasattr(node, "name")}, what


@pytest.mark.parametrize(("what", "linux", "docker", "name"), CITED, ids=lambda text: text[:40])
def test_what_is_not_protected_is_attempted_too(what, linux, docker, name):
    assert name in attempts()
    if name not in {"api socket", "registry"}:  # of these it is said that nobody but their owner reaches them
        assert attempts()[name] == (linux, docker), what
