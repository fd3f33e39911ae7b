"""A user's project may have folders that are called like ours: pytest, the plugin and `import tsunagu` do not mind."""

import subprocess
import sys
from pathlib import Path

import pytest

FOLDERS = (
    "agents",
    "controlplane",
    "proto",
    "tests",
    "tsunagu",
    "tsunagu/mesh",
    "tsunagu/serve/xds",
    "tsunagu/testing",
)
TEST = """
import tsunagu

def test_the_plugin_is_there_and_the_names_are_ours(pytestconfig):
    assert pytestconfig.pluginmanager.has_plugin("tsunagu")
    assert tsunagu.XdsServer.__module__ == "tsunagu.serve.library.xds_server"
    assert tsunagu.testing.Mesh.__module__ == "tsunagu.testing.mesh"
"""
SCRIPT = (str(Path(sys.executable).with_name("pytest")),)  # does not look for modules where it is started
MODULE = (sys.executable, "-m", "pytest")  # does


@pytest.fixture
def project(tmp_path):
    """A project in which none of the folders is a package, each with a module and a test of its own, one with a conftest."""
    for folder in FOLDERS:
        here = tmp_path / folder
        here.mkdir(parents=True)
        (here / "registry.py").write_text("raise AssertionError('nobody asked for this')\n")
        (here / f"test_in_{folder.replace('/', '_')}.py").write_text(TEST)
    (tmp_path / "tsunagu/serve/xds/conftest.py").touch()
    return tmp_path


@pytest.mark.parametrize(
    "command",
    [
        SCRIPT,
        MODULE,
        (*MODULE, "--import-mode=append"),
        (*MODULE, "--import-mode=importlib"),
        (*SCRIPT, "--import-mode=importlib", "tsunagu/serve/xds", "."),
        (*MODULE, "--override-ini=consider_namespace_packages=true"),
    ],
    ids=lambda command: " ".join([Path(command[0]).name, *command[1:4]]),
)
def test_a_project_with_folders_of_our_names(project, command):
    options = ("-q", "--no-header", "--color=no", "-p", "no:cacheprovider", "-p", "no:asyncio")
    done = subprocess.run([*command, *options], cwd=project, capture_output=True, text=True, timeout=60, check=False)
    assert f"{len(FOLDERS)} passed" in done.stdout, done.stdout + done.stderr


def test_importing_it_where_such_folders_are(project):
    code = "import tsunagu, tsunagu_node; print(tsunagu.XdsServer.__module__, tsunagu.__version__)"
    done = subprocess.run([sys.executable, "-c", code], cwd=project, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["tsunagu.serve.library.xds_server", "0.1.0"]
