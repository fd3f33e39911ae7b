"""The size budgets of CONTRIBUTING: what outgrows them is split, or named here with the reason."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILE_LINES = 400
FUNCTION_LINES = 50
ARGUMENTS = 6

#: "path" or "path:function" -> why it may be larger.
EXCEPTIONS: dict[str, str] = {
    "controlplane/tsunagu/cli/commands/up.py:up": "its arguments are the options of the command",
    "controlplane/tsunagu/cli/commands/xds.py:log": "its arguments are the options of the command",
}


def sources() -> list[Path]:
    folders = ("controlplane", "agents", "tests", "benchmarks", "examples", "proto")
    found = (path for folder in folders for path in (ROOT / folder).rglob("*.py"))
    return sorted(path for path in found if "_pb2" not in path.name)


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def excused(path: Path, function: str = "") -> bool:
    name = str(path.relative_to(ROOT)) + (f":{function}" if function else "")
    return name in EXCEPTIONS


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_stays_within_its_budget(path: Path):
    too_large = [f"{len(path.read_text().splitlines())} lines"] if not excused(path) else []
    too_large = [text for text in too_large if int(text.split()[0]) > FILE_LINES]
    is_test = "tests" in path.relative_to(ROOT).parts
    for function in functions(path):
        if excused(path, function.name):
            continue
        length = (function.end_lineno or function.lineno) - function.lineno + 1
        arguments = len(function.args.args) + len(function.args.kwonlyargs) + len(function.args.posonlyargs)
        arguments -= bool(function.args.args) and function.args.args[0].arg in ("self", "cls")
        if length > FUNCTION_LINES:
            too_large.append(f"{function.name}: {length} lines")
        if arguments > ARGUMENTS and not is_test:
            too_large.append(f"{function.name}: {arguments} arguments")
    assert too_large == []


def test_every_exception_is_still_needed():
    known = {str(path.relative_to(ROOT)) for path in sources()}
    assert [name for name in EXCEPTIONS if name.split(":")[0] not in known] == []
