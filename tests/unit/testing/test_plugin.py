"""The plugin in a pytest of its own, with a mesh that only pretends."""

import pytest

import tsunagu.testing.mesh  # noqa: F401 - once, for the pytests that run in this process

pytest_plugins = ["pytester"]

PRETENDED = """
import pytest
import importlib

module = importlib.import_module("tsunagu.testing.mesh")

class Pretended:
    opened = []
    def __init__(self, runtime="auto"):
        self.runtime = runtime
    def __enter__(self):
        self.opened.append(self)
        module.LIVE.add(self)
        return self
    def __exit__(self, *_):
        module.LIVE.discard(self)
        print("closed")
    def __repr__(self):
        return "<Mesh in /tmp/m>"
    def last_words(self):
        return "the last words of serve"

@pytest.fixture(autouse=True, scope="session")
def _pretend():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "Mesh", Pretended)
        yield
"""


@pytest.fixture
def run(pytester):
    def go(tests, *options):
        pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope=function\n")
        pytester.makeconftest(PRETENDED)
        pytester.makepyfile(tests)
        return pytester.runpytest_inprocess("-p", "no:cacheprovider", "-s", *options)

    return go


def test_each_test_has_its_own_mesh(run):
    result = run(
        "def test_a(mesh):\n    assert len(mesh.opened) == 1\ndef test_b(mesh):\n    assert len(mesh.opened) == 2\n"
    )
    result.assert_outcomes(passed=2)


def test_the_shared_one_is_opened_once(run):
    result = run(
        "def test_a(shared_mesh):\n    pass\ndef test_b(shared_mesh):\n    assert len(shared_mesh.opened) == 1\n"
    )
    result.assert_outcomes(passed=2)
    assert result.outlines.count("closed") <= 1


def test_a_failure_shows_the_logs(run):
    result = run("def test_a(mesh):\n    assert False\n")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*logs of <Mesh in /tmp/m>*", "the last words of serve"])
    assert result.outlines.count("the last words of serve") == 1


ASKED = """
def test_a(mesh, shared_mesh, tsunagu_runtime):
    assert [mesh.runtime, shared_mesh.runtime, tsunagu_runtime] == ["{runtime}"] * 3
"""


def test_the_runtime_is_the_one_that_the_command_line_names(run):
    run(ASKED.format(runtime="docker"), "--tsunagu-runtime", "docker").assert_outcomes(passed=1)
    run(ASKED.format(runtime="auto")).assert_outcomes(passed=1)


OWN = """
import pytest

@pytest.fixture
def {name}():
    import tsunagu.testing.mesh
    with tsunagu.testing.mesh.Mesh() as running:
        {body}
        yield {given}

def test_a({name}):
    assert {name} is None
"""


@pytest.mark.parametrize(
    "tests",
    [
        OWN.format(name="shop", body="pass", given="running"),
        OWN.format(name="url", body="pass", given="'http://127.0.0.1'"),
        OWN.format(name="shop", body="1 / 0", given="running")
        .replace("with ", "if running := ")
        .replace("Mesh() as running:", "Mesh().__enter__():"),
    ],
    ids=["a fixture of one's own", "a fixture that keeps its mesh to itself", "a fixture that fails itself"],
)
def test_a_failure_with_a_mesh_of_ones_own_shows_its_logs_once(run, tests):
    result = run(tests)
    assert sum(result.parseoutcomes().get(kind, 0) for kind in ("failed", "errors", "error")) == 1
    assert result.outlines.count("the last words of serve") == 1
