"""What users install: the wheel, in environments that have nothing of ours but it. Needs a package index."""

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

import tsunagu

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]
#: What the xDS server needs none of: the mesh's libraries, and all of ours that is not serve, xds, kit and the stubs.
FORBIDDEN = {
    *(
        "betterproto2",
        "envoy",
        "envoy_data_plane",
        "h11",
        "pydantic",
        "pyroute2",
        "rich",
        "ruamel",
        "structlog",
        "typer",
    ),
    *("sqlite3", "tsunagu_node", "tsunagu_sidecar"),
    *(
        f"tsunagu.{room}"
        for room in (
            "app",
            "cli",
            "client",
            "controllers",
            "lessons",
            "mesh",
            "model",
            "registry",
            "settings",
            "testing",
            "translate",
        )
    ),
}
XDS_SERVER = "import sys, tsunagu; print(tsunagu.__version__, tsunagu.XdsServer.__name__, *sys.modules)"


class Environment:
    """A virtual environment, with what was installed into it."""

    def __init__(self, folder: Path, *requirements: str) -> None:
        venv.create(folder, with_pip=True)
        self.programs = folder / "bin"
        pip = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check")
        assert self.run("python", *pip, *requirements).returncode == 0

    def run(self, program, *arguments, cwd=None):
        outside = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
        command = [str(self.programs / program), *map(str, arguments)]
        return subprocess.run(command, cwd=cwd, env=outside, capture_output=True, text=True, timeout=900, check=False)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run(command, timeout=300, check=True)
    [built] = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def library(wheel, tmp_path_factory):
    return Environment(tmp_path_factory.mktemp("library") / "env", str(wheel))


@pytest.fixture(scope="module")
def whole(wheel, tmp_path_factory):
    return Environment(tmp_path_factory.mktemp("whole") / "env", f"{wheel}[mesh]", "pytest", "mypy")


def rooms(modules):
    """The names of modules up to the room: of ours two parts, of others the first."""
    return {".".join(name.split(".")[: 2 if name.startswith("tsunagu.") else 1]) for name in modules}


def test_the_wheel_takes_three_names(wheel):
    paths = [Path(name) for name in zipfile.ZipFile(wheel).namelist()]
    tops = {path.parts[0] for path in paths}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"tsunagu", "tsunagu_node", "tsunagu_sidecar"}
    assert {str(path.parent) for path in paths if path.name == "py.typed"} >= {"tsunagu"}


def test_the_xds_server_needs_no_extra_and_loads_nothing_of_the_mesh(library):
    done = library.run("python", "-c", XDS_SERVER)
    version, name, *modules = done.stdout.split()
    assert (version, name) == (tsunagu.__version__, "XdsServer")
    assert rooms(modules) & FORBIDDEN == set()


def test_it_loads_nothing_of_the_mesh_where_all_of_it_is_installed(whole):
    _, _, *modules = whole.run("python", "-c", XDS_SERVER).stdout.split()
    assert {"tsunagu.serve", "tsunagu.xds", "grpc"} <= rooms(modules)
    assert rooms(modules) & FORBIDDEN == set()


def test_the_command_without_the_extra_says_what_to_install(library):
    done = library.run("tsunagu", "version")
    assert done.returncode == 1
    assert "pip install '.[mesh]'" in done.stderr


def test_a_type_checker_sees_the_public_names_and_no_others(whole, tmp_path):
    (tmp_path / "good.py").write_text(
        "import tsunagu\n\n"
        "server: tsunagu.XdsServer = tsunagu.XdsServer(checks=[tsunagu.dangling])\n"
        "version: str = tsunagu.__version__\n"
        "mesh: tsunagu.testing.Mesh = tsunagu.testing.Mesh('shop.yaml')\n"
    )
    (tmp_path / "bad.py").write_text("import tsunagu\n\ntsunagu.XdsSrever()\ntsunagu.testing.Mash()\n")
    options = ("-m", "mypy", "--strict", "--follow-imports=silent", "--cache-dir", tmp_path / "cache")
    good = whole.run("python", *options, "good.py", cwd=tmp_path)
    assert good.stdout == "Success: no issues found in 1 source file\n"
    bad = whole.run("python", *options, "bad.py", cwd=tmp_path)
    assert 'no attribute "XdsSrever"' in bad.stdout
    assert 'no attribute "Mash"' in bad.stdout


MESH = '''
SERVICE = """
kind: TaskDefinition
family: pages
networkMode: awsvpc
memory: "256"
containerDefinitions:
- name: app
  image: pages:1
  command: [python3, -m, http.server, "80"]
  portMappings: [{name: http, containerPort: 80, appProtocol: http}]
---
kind: Service
serviceName: pages
taskDefinition: pages
desiredCount: 1
serviceConnectConfiguration:
  enabled: true
  namespace: shop
  services: [{portName: http, clientAliases: [{port: 80, dnsName: pages}]}]
"""


def test_a_mesh_of_one_service(mesh):
    mesh.apply(text=SERVICE)
    mesh.wait_steady()
    mesh.publish("pages")
    answer = mesh.call("http://pages/")
    assert answer.status == 200
    assert answer.headers["server"] == "envoy"
    assert mesh.call("http://pages/", from_task="pages").status == 200
'''


@pytest.mark.envoy
def test_the_fixture_runs_a_mesh_in_a_project_with_folders_of_our_names(whole, tmp_path):
    for folder in ("agents", "controlplane", "proto", "tests", "tsunagu/mesh"):
        (tmp_path / folder).mkdir(parents=True)
    for module in ("grpc", "secrets", "typer"):
        (tmp_path / f"{module}.py").write_text("raise SystemExit('this is not the module that was meant')\n")
    (tmp_path / "tests" / "test_pages.py").write_text(MESH)
    done = whole.run("pytest", "-q", "--color=no", "-p", "no:cacheprovider", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout


@pytest.mark.slow("a lesson at its pace, with an exercise that is marked")
@pytest.mark.envoy
def test_the_lessons_and_their_recordings_come_with_it(whole, tmp_path):
    replayed = whole.run("tsunagu", "xds", "replay", "boot", cwd=tmp_path)
    assert (replayed.returncode, "svc/lesson/orders" in replayed.stdout) == (0, True), replayed.stderr
    led = whole.run("tsunagu", "lesson", "10", "--auto", cwd=tmp_path)
    assert led.returncode == 0, led.stdout + led.stderr
    whole.run("tsunagu", "lesson", "10", "--exercise", "mine", cwd=tmp_path)
    assert {path.name for path in (tmp_path / "mine").iterdir()} >= {"control_plane.py", "edge.yaml", "envoy.yaml"}
