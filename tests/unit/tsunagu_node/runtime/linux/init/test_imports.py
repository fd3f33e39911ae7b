"""A task's init starts in some 10 ms, without site-packages: it imports the standard library alone, and its own package."""

import ast
import sys
from pathlib import Path

import pytest

import tsunagu_node.runtime.linux.init as package

ROOT = Path(package.__file__).parent


def imported(path: Path) -> set[str]:
    nodes = list(ast.walk(ast.parse(path.read_text())))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return names | {node.module or "." for node in nodes if isinstance(node, ast.ImportFrom)}


@pytest.mark.parametrize("path", sorted(ROOT.glob("*.py")), ids=lambda path: path.name)
def test_only_the_standard_library_and_its_own_package(path):
    others = {name for name in imported(path) if name.partition(".")[0] not in sys.stdlib_module_names}
    assert [name for name in others if not f"{name}.".startswith(f"{package.__name__}.")] == []
