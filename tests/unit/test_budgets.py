"""The budgets of CONTRIBUTING: what outgrows them is split, or named in a table here with the reason."""

import ast
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[2]
FILE_LINES = 400
FUNCTION_LINES = 50
MEDIAN_FUNCTION_LINES = 7
ARGUMENTS = 6
FOLDER_MODULES = 20
PACKAGES = {"tsunagu": ROOT / "controlplane", "tsunagu_node": ROOT / "agents", "tsunagu_sidecar": ROOT / "agents"}

#: "path" or "path:function" -> why it may be larger.
EXCEPTIONS: dict[str, str] = {
    "controlplane/tsunagu/cli/commands/apply.py:validate": "its arguments are the options of the command",
    "controlplane/tsunagu/cli/commands/apply.py:apply": "its arguments are the options of the command",
    "controlplane/tsunagu/cli/commands/up.py:up": "its arguments are the options of the command",
    "controlplane/tsunagu/cli/commands/names/register.py:register": "its arguments are the options of the command",
    "controlplane/tsunagu/cli/commands/deployments/deploy.py:deploy": "its arguments are the options of the command",
    "controlplane/tsunagu/cli/commands/logs.py:logs": "its arguments are the options of the command",
    "controlplane/tsunagu/cli/commands/xds.py:override": "its arguments are the options of the command",
    "controlplane/tsunagu/cli/commands/xds.py:replay": "its arguments are the options of the command",
    "controlplane/tsunagu/cli/commands/xds.py:log": "its arguments are the options of the command",
    "controlplane/tsunagu/cli/commands/traffic/why.py:why": "its arguments are the options of the command",
    "controlplane/tsunagu/testing/mesh.py:__init__": "its arguments are the options of a mesh, by keyword",
    "controlplane/tsunagu/serve/library/xds_server.py:__init__": "its arguments are the options of a server, by keyword",
}


def sources() -> list[Path]:
    folders = ("controlplane", "agents", "deploy", "tests", "benchmarks", "examples", "proto")
    found = (path for folder in folders for path in (ROOT / folder).rglob("*.py"))
    return sorted(path for path in found if "_pb2" not in path.name)


def modules() -> list[Path]:
    """The hand-written modules of the packages."""
    found = (path for name, folder in PACKAGES.items() for path in (folder / name).rglob("*.py"))
    return sorted(path for path in found if "_pb2" not in path.name and path.name != "__init__.py")


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return (function.end_lineno or function.lineno) - function.lineno + 1


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
        arguments = len(function.args.args) + len(function.args.kwonlyargs) + len(function.args.posonlyargs)
        arguments -= bool(function.args.args) and function.args.args[0].arg in ("self", "cls")
        if lines(function) > FUNCTION_LINES:
            too_large.append(f"{function.name}: {lines(function)} lines")
        if arguments > ARGUMENTS and not is_test:
            too_large.append(f"{function.name}: {arguments} arguments")
    assert too_large == []


def test_every_exception_is_still_needed():
    known = {str(path.relative_to(ROOT)) for path in sources()}
    assert [name for name in EXCEPTIONS if name.split(":")[0] not in known] == []


def test_most_functions_fit_in_the_eye():
    lengths = [lines(function) for path in modules() for function in functions(path)]
    assert statistics.median(lengths) <= MEDIAN_FUNCTION_LINES


def test_a_folder_can_be_read_at_a_glance():
    in_folder = Counter(str(path.parent.relative_to(ROOT)) for path in modules())
    assert {folder: count for folder, count in in_folder.items() if count > FOLDER_MODULES} == {}


def test_a_room_has_no_two_modules_of_one_name():
    """So that a name in a traceback, or in the editor's list of files, says which module it is."""
    named: dict[tuple[str, str], list[str]] = defaultdict(list)
    for path in modules():
        named[room_of(path), path.stem].append(str(path.relative_to(ROOT)))
    assert [paths for paths in named.values() if len(paths) > 1] == []


def room_of(path: Path) -> str:
    """`controlplane/tsunagu/cli/...` -> `tsunagu/cli`; an agent is one room."""
    parts = path.relative_to(ROOT).parts[1:]
    return "/".join(parts[:2] if parts[0] == "tsunagu" else parts[:1])


def test_no_imports_go_round():
    """Not even those that only types need: where two modules must know each other's types, one is not whole alone."""
    graph = grimp.build_graph(*PACKAGES, cache_dir=None)
    assert sorted(filter(None, (circle_of(graph, module) for module in graph.modules))) == []


def circle_of(graph: grimp.ImportGraph, module: str) -> tuple[str, ...]:
    """The shortest way from a module's imports back to it; nothing when there is none."""
    chains = (graph.find_shortest_chain(other, module) for other in graph.find_modules_directly_imported_by(module))
    return min(filter(None, chains), key=len, default=())
