"""Takes the rules of the xDS session away, one at a time: each must be missed by a test, or it is not tested.

    python tests/mutation/session_rules.py [words of a rule ...]

The rules stand in session_rules.toml. Each mutant is a copy of the tree with one snippet replaced. Prints a table;
exits 1 if a mutant survives. That every snippet still stands in the source, once, is checked by test_session_rules.py in
the ordinary run.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
XDS = Path("controlplane/tsunagu/xds")
TESTS = ("tests/transcripts", "tests/unit/xds")
LIMIT = 120.0  # s; a mutant that hangs is found


@dataclass(frozen=True)
class Rule:
    """A rule of session_rules.toml."""

    name: str
    file: str
    snippet: str
    without: str


RULES = tuple(Rule(**rule) for rule in tomllib.loads(Path(__file__).with_suffix(".toml").read_text())["rule"])


def mutate(tree: Path, rule: Rule) -> None:
    """Take the rule away in a copy of the tree."""
    path = tree / XDS / rule.file
    path.write_text(path.read_text().replace(rule.snippet, rule.without))


def copy(into: Path) -> None:
    """What the tests of xds need of the tree."""
    ignore = shutil.ignore_patterns("__pycache__")
    for folder in ("controlplane", *TESTS):
        shutil.copytree(ROOT / folder, into / folder, ignore=ignore)
    shutil.copy(ROOT / "pyproject.toml", into)


def missed(rule: Rule) -> bool:
    """True when a test fails without the rule."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder)
        copy(tree)
        mutate(tree, rule)
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-x",
            "--no-header",
            "-o",
            "cache_dir=.cache",
            "-p",
            "no:tsunagu",
            *TESTS,
        ]
        environment = {**os.environ, "PYTHONPATH": str(tree / "controlplane"), "PYTHONDONTWRITEBYTECODE": "1"}
        try:
            done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, timeout=LIMIT, check=False)
        except subprocess.TimeoutExpired:
            return True
        if done.returncode not in (0, 1):
            sys.exit(f"the tests could not run:\n{done.stdout.decode()}{done.stderr.decode()}")
        return done.returncode == 1


def main(words: list[str]) -> int:
    """Try the rules that bear one of the words, or all."""
    survivors = 0
    for rule in RULES:
        if words and not any(word in rule.name for word in words):
            continue
        found = missed(rule)
        survivors += not found
        print(f"{'missed  ' if found else 'SURVIVED'}  {rule.file:<16} {rule.name}", flush=True)
    print(f"{survivors} survived")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
