"""`make quick` runs each test that a change could break, and leaves out those that it could not."""

import subprocess
from pathlib import PurePosixPath

import grimp
import pytest

from tests import affected

TESTS = {
    "tests/conftest.py": "",
    "tests/unit/kit/test_log.py": "from tsunagu.kit import log",
    "tests/unit/xds/test_group.py": "from tsunagu.xds.group import Group",
    "tests/unit/xds/dialogue.py": "import tsunagu.xds.watch",
    "tests/unit/xds/script.py": "from tests.unit.xds.dialogue import talk",
    "tests/unit/xds/test_machine.py": "from tests.unit.xds.script import play",
    "tests/unit/cli/conftest.py": "from tsunagu.cli.main import main\n@pytest.fixture\ndef tsunagu(): ...",
    "tests/unit/app/conftest.py": "from tsunagu.app import serve\n@pytest.fixture(autouse=True)\ndef server(): ...",
    "tests/unit/app/test_serve.py": "def test_it(): ...",
    "tests/unit/cli/test_up.py": "def test_up(tsunagu): COMMAND = [sys.executable, '-m', 'tsunagu_node.main']",
    "tests/unit/cli/test_pages.py": "PAGE = ROOT / 'docs' / 'cli.md'",
    "tests/transcripts/test_transcripts.py": "HERE.glob('*.txt')",
}


def affected_by(*changed: str, modules: frozenset[str] = frozenset()) -> set[str]:
    def is_affected(name: str) -> bool:
        return any(name == module or name.startswith(module + ".") for module in modules)

    found = affected.affected_tests(TESTS, set(changed), is_affected)
    return {PurePosixPath(path).stem for path in found}


@pytest.mark.parametrize(
    ("path", "module"),
    [
        ("controlplane/tsunagu/kit/log.py", "tsunagu.kit.log"),
        ("controlplane/tsunagu/xds/__init__.py", "tsunagu.xds"),
        ("agents/tsunagu_node/main.py", "tsunagu_node.main"),
        ("controlplane/tsunagu/py.typed", None),
        ("tests/affected.py", None),
        ("README.md", None),
    ],
)
def test_a_path_is_a_module_of_the_packages_or_none(path, module):
    assert affected.module_of(path) == module


def test_a_module_reaches_whatever_imports_it_however_long_the_path():
    graph = grimp.ImportGraph()
    graph.add_import(importer="tsunagu.xds.session", imported="tsunagu.xds.watch")
    graph.add_import(importer="tsunagu.serve.xds.ads", imported="tsunagu.xds.session")
    graph.add_import(importer="tsunagu.xds.watch", imported="tsunagu.xds.group")

    assert affected.affected_modules(graph, ["tsunagu.xds.session"]) == {"tsunagu.xds.session", "tsunagu.serve.xds.ads"}
    assert "tsunagu.serve.xds.ads" in affected.affected_modules(graph, ["tsunagu.xds.group"])


def test_a_package_reaches_whatever_imports_one_of_its_modules():
    graph = grimp.ImportGraph()
    graph.add_module("tsunagu.xds")
    graph.add_import(importer="tsunagu.serve.xds.ads", imported="tsunagu.xds.session")

    assert affected.affected_modules(graph, ["tsunagu.xds"]) >= {"tsunagu.xds.session", "tsunagu.serve.xds.ads"}


def test_a_test_is_affected_by_what_it_imports():
    assert affected_by(modules=frozenset({"tsunagu.kit.log"})) == {"test_log"}
    assert affected_by(modules=frozenset({"tsunagu.xds.group"})) == {"test_group"}


def test_the_word_tsunagu_is_no_import():
    assert affected.mentioned("NAME = 'tsunagu'") == set()
    assert affected.mentioned("import tsunagu") == {"tsunagu"}
    assert affected.mentioned("from tsunagu import XdsServer") == {"tsunagu", "tsunagu.XdsServer"}
    assert affected.mentioned("from tsunagu.kit import log\nlog.get('x')") == {"tsunagu.kit", "tsunagu.kit.log"}


def test_a_test_is_affected_by_a_program_that_it_names():
    assert affected_by(modules=frozenset({"tsunagu_node.main"})) == {"test_up"}


def test_a_test_is_affected_by_what_its_helpers_and_fixtures_import():
    assert affected_by(modules=frozenset({"tsunagu.xds.watch"})) == {"test_machine"}
    assert affected_by(modules=frozenset({"tsunagu.cli.main"})) == {"test_up"}
    assert affected_by(modules=frozenset({"tsunagu.app"})) == {"test_serve"}


def test_a_changed_test_is_affected_and_a_changed_helper_affects_those_who_name_it():
    assert affected_by("tests/unit/kit/test_log.py") == {"test_log"}
    assert affected_by("tests/unit/xds/dialogue.py") == {"test_machine"}


def test_a_test_is_affected_by_a_page_that_it_names_and_by_files_in_its_folder():
    assert affected_by("docs/cli.md") == {"test_pages"}
    assert affected_by("tests/transcripts/sotw/hello.txt") == {"test_transcripts"}


def test_what_everything_depends_on_affects_every_test():
    assert affected_by("pyproject.toml") == {PurePosixPath(path).stem for path in TESTS if "test_" in path}


def test_nothing_changed_affects_nothing():
    assert affected_by() == set()


def test_changed_files_are_those_that_git_knows_to_differ_and_new_ones(tmp_path):
    def git(*arguments: str) -> None:
        identity = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
        subprocess.run(["git", *identity, *arguments], cwd=tmp_path, check=True, capture_output=True)

    git("init")
    for name in ("same.py", "other.py"):
        (tmp_path / name).write_text("1")
    git("add", ".")
    git("commit", "-m", "first")
    (tmp_path / "other.py").write_text("2")
    (tmp_path / "new.py").write_text("3")

    assert affected.changed_files(tmp_path) == {"other.py", "new.py"}
