"""The pytest plugin: a whole mesh as a fixture.

`mesh` is a fresh one for each test, `shared_mesh` one for the session. Both start nothing before a test asks for them,
take everything away afterwards, and fail the test when something was left behind (see `Mesh.close`). `tsunagu_runtime` is what
`--tsunagu-runtime` says, for meshes that a project makes itself. Rule: importing
this module costs nothing, since pytest imports it in every project that has tsunagu installed.
"""

import pkgutil
import sys
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any

import pytest

import tsunagu

if TYPE_CHECKING:
    from tsunagu.testing.mesh import Mesh


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --tsunagu-runtime."""
    what = "what runs the tasks of the fixtures mesh and shared_mesh"
    kinds = ("auto", "linux", "docker", "linux,docker")
    parser.getgroup("tsunagu").addoption("--tsunagu-runtime", choices=kinds, default="auto", help=what)


@pytest.fixture(scope="session")
def tsunagu_runtime(pytestconfig: pytest.Config) -> str:
    """What --tsunagu-runtime says: auto, linux, docker, or both."""
    return str(pytestconfig.getoption("--tsunagu-runtime"))


@pytest.fixture
def mesh(tsunagu_runtime: str) -> Iterator["Mesh"]:
    """A mesh of real Envoys for this test alone."""
    yield from _running(tsunagu_runtime)


@pytest.fixture(scope="session")
def shared_mesh(tsunagu_runtime: str) -> Iterator["Mesh"]:
    """One mesh for all tests of the session that ask for it: they share names, ports and each other's load."""
    yield from _running(tsunagu_runtime)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Shows with a test that failed the ends of the logs of the meshes that it used, whoever made them."""
    report = yield
    if report.failed and report.when != "teardown":
        for mesh in _meshes(getattr(item, "funcargs", {})):
            report.sections.append((f"logs of {mesh!r}", mesh.last_words()))
    return report


def _meshes(arguments: dict[str, Any]) -> list["Mesh"]:
    """The meshes that run and are among a test's fixtures; all that run, when a fixture keeps its mesh to itself."""
    module = sys.modules.get("tsunagu.testing.mesh")
    live = list(module.LIVE) if module else []
    return [mesh for mesh in live if any(mesh is one for one in arguments.values())] or live


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Keep a project's folder `tsunagu` from hiding our packages of the same names.

    With `--import-mode=importlib` pytest makes a module of each folder above a test, named by its path from the root:
    of `tsunagu/mesh/test_shop.py` a `tsunagu.mesh`, unless there is one already. So ours are imported first.
    """
    if early_config.known_args_namespace.importmode != "importlib" or not (early_config.rootpath / "tsunagu").is_dir():
        return
    for _ in pkgutil.walk_packages(tsunagu.__path__, "tsunagu."):  # imports the packages, not their modules
        pass


def _running(runtime: str) -> Iterator["Mesh"]:
    from tsunagu.testing.mesh import Mesh  # noqa: PLC0415 - see the rule above

    with Mesh(runtime=runtime) as running:
        yield running
