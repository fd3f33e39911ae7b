"""Prints the test files that the changes of this working tree could break: what `make quick` runs.

A test is affected if it reaches a changed module through imports, however long the path, if it names such a module in a
text (a program that it starts), or if a file beside it has changed. The one rule: when in doubt, a test is run; what
everything depends on (`EVERYTHING`) runs all of them.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import grimp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

ROOT = Path(__file__).parents[1]
PACKAGES = {"tsunagu": "controlplane", "tsunagu_node": "agents", "tsunagu_sidecar": "agents"}
#: A change of one of these can break any test.
EVERYTHING = ("pyproject.toml", "tests/conftest.py")
#: Cheap, and about all files: always run.
ALWAYS = (
    "tests/unit/test_budgets.py",
    "tests/unit/test_docs.py",
    "tests/unit/test_architecture.py",
    "tests/mutation/test_session_rules.py",
)

_DOTTED = re.compile(r"\btsunagu(?:_node|_sidecar)?(?:\.\w+)+")


def changed_files(root: Path) -> set[str]:
    """Paths (relative, with slashes) that differ from what the upstream branch has, or from HEAD if there is none."""
    upstream = _git(root, "merge-base", "HEAD", "@{upstream}") or ["HEAD"]
    return {*_git(root, "diff", "--name-only", upstream[0]), *_git(root, "ls-files", "--others", "--exclude-standard")}


def _git(root: Path, *arguments: str) -> list[str]:
    done = subprocess.run(["git", *arguments], cwd=root, check=False, capture_output=True, text=True)
    return done.stdout.splitlines()


def module_of(path: str) -> str | None:
    """`controlplane/tsunagu/kit/log.py` -> `tsunagu.kit.log`; None for a file that is no module of the packages."""
    parts = PurePosixPath(path).with_suffix("").parts
    if len(parts) < 2 or PACKAGES.get(parts[1]) != parts[0] or not path.endswith(".py"):
        return None
    return ".".join(parts[1:-1] if parts[-1] == "__init__" else parts[1:])


def affected_modules(graph: grimp.ImportGraph, changed: Iterable[str]) -> set[str]:
    """The changed modules and all that import them. A package stands for all its modules: they import it first."""
    found: set[str] = set()
    for module in set(changed) & graph.modules:
        found |= {module, *graph.find_downstream_modules(module, as_package=True)}
        found |= graph.find_descendants(module)
    return found


def mentioned(text: str) -> set[str]:
    """Dotted names of the packages in a test's text, imported or written out. A package's own name only if imported."""
    names = set(_DOTTED.findall(text))
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return {name for name in names if name.partition(".")[0] in PACKAGES}


def affected_tests(tests: dict[str, str], changed: set[str], is_affected: Callable[[str], bool]) -> Iterator[str]:
    """Those of `tests` (path of every Python file under tests/ -> text) that the changed paths could break.

    `is_affected` says whether a dotted name is that of an affected module, or of something in it.
    """
    if changed & set(EVERYTHING):
        yield from (path for path in tests if _is_test(path))
        return
    touched = {path for path in tests if path in changed or any(map(is_affected, mentioned(tests[path])))}
    while leaning := {path for path in tests if path not in touched and _leans_on(path, tests, touched)}:
        touched |= leaning
    for path in tests:
        if _is_test(path) and (path in touched or _reads(path, tests[path], changed)):
            yield path


def _is_test(path: str) -> bool:
    return PurePosixPath(path).name.startswith("test_")


def _leans_on(path: str, tests: dict[str, str], touched: set[str]) -> bool:
    """Whether the test uses a touched file beside it or above it: one that it names, or a fixture of a conftest."""
    around = set(map(str, PurePosixPath(path).parents))
    near = (PurePosixPath(one) for one in touched if str(PurePosixPath(one).parent) in around)
    return any(
        uses_fixtures(tests[path], tests[str(one)])
        if one.stem == "conftest"
        else re.search(rf"\b{one.stem}\b", tests[path])
        for one in near
    )


def uses_fixtures(test: str, conftest: str) -> bool:
    """Whether a test takes a fixture of a conftest as an argument. One that is used by itself is used by all."""
    arguments = {node.arg for node in ast.walk(ast.parse(test)) if isinstance(node, ast.arg)}
    functions = (node for node in ast.parse(conftest).body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    fixtures = [node for node in functions if any("fixture" in ast.unparse(one) for one in node.decorator_list)]
    autouse = any("autouse" in ast.unparse(one) for node in fixtures for one in node.decorator_list)
    return autouse or bool(arguments & {node.name for node in fixtures})


def _reads(path: str, text: str, changed: set[str]) -> bool:
    """Whether a changed file that is no Python lies in the test's folder, or the test names a changed file."""
    folder = PurePosixPath(path).parent
    for one in map(PurePosixPath, changed):
        if one.suffix != ".py" and folder in one.parents and folder != PurePosixPath("tests"):
            return True
        if re.search(rf"\b{re.escape(one.name)}", text):
            return True
    return False


def main() -> None:
    changed = changed_files(ROOT)
    modules = {module for path in changed if (module := module_of(path))}
    graph = grimp.build_graph(*PACKAGES, cache_dir=None)
    affected = affected_modules(graph, modules)

    def is_affected(name: str) -> bool:
        parts = name.split(".")
        prefixes = (".".join(parts[:length]) for length in range(len(parts), min(len(parts), 2) - 1, -1))
        return next((one for one in prefixes if one in graph.modules), "") in affected

    tests = {str(path.relative_to(ROOT)): path.read_text() for path in sorted((ROOT / "tests").rglob("*.py"))}
    there = {*ALWAYS, *affected_tests(tests, changed, is_affected)}
    print(f"{len(changed)} files changed, {len(affected)} modules reached, {len(there)} test files", file=sys.stderr)
    print("\n".join(sorted(path for path in there if path in tests)))


if __name__ == "__main__":
    main()
