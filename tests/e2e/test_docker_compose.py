"""deploy/docker/compose.yaml on a clean engine: the whole mesh in containers, and nothing left of it."""

import json
import shutil
import subprocess
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest

from tsunagu.testing.ports import free_port

pytestmark = [pytest.mark.e2e, pytest.mark.docker]

ROOT = Path(__file__).parents[2]
SHOP = ROOT / "examples" / "01-shop"
COMPOSE = "/usr/bin/docker-compose"
PATIENCE = 60.0
SERVICES = 4  # of the shop


class Project:
    """A compose project of a name of its own, whose front is published at `port`."""

    def __init__(self, engine, name, folder):
        self.engine, self.name = engine, name
        self.port = free_port()
        shutil.copy(SHOP / "shop.yaml", folder)
        shutil.copytree(SHOP / "apps", folder / "apps")
        front = (SHOP / "front.yaml").read_text()
        (folder / "front.yaml").write_text(front.replace("hostPort: 8080", f"hostPort: {self.port}"))
        self._environment = {
            **engine.environment,
            "TSUNAGU_TAG": engine.mesh.partition(":")[2],
            "TSUNAGU_DOCKER_SOCKET": str(engine.socket),
            "TSUNAGU_MANIFESTS": str(folder),
        }

    def compose(self, *words):
        line = [COMPOSE, "-p", self.name, "-f", str(ROOT / "deploy" / "docker" / "compose.yaml"), *words]
        done = subprocess.run(line, env=self._environment, capture_output=True, text=True, check=False, timeout=90)
        assert done.returncode == 0, f"docker-compose {' '.join(words)}: {done.stdout}\n{done.stderr}"
        return done.stdout

    def tsunagu(self, *words):
        """What the command says in the control plane's container."""
        return self.compose("exec", "-T", "control", "tsunagu", *words)

    def answer(self):
        """What the shop's front says; None while it does not serve."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/", timeout=10) as response:
                return json.load(response)
        except OSError:
            return None

    def until(self, condition, what):
        deadline = time.monotonic() + PATIENCE
        while not (found := condition()):
            assert time.monotonic() < deadline, (
                f"no {what} after {PATIENCE:g} s\n{self.compose('logs', '--tail', '20')}"
            )
            time.sleep(0.1)
        return found

    def containers(self, process):
        """The inspected containers of that process of every task."""
        ids = self.engine.docker(
            "ps", "-q", "--filter", self.label, "--filter", f"label=tsunagu.process={process}"
        ).split()
        return json.loads(self.engine.docker("inspect", *ids)) if ids else []

    @property
    def label(self):
        return f"label=tsunagu.mesh={self.name}"

    def left(self):
        """Names of what the engine has of this project and its mesh, whoever made it."""
        found = []
        for words in (("ps", "--all", "--format", "{{.Names}}"), ("network", "ls", "--format", "{{.Name}}"),
                      ("volume", "ls", "--format", "{{.Name}}")):  # fmt: skip
            names = self.engine.docker(*words).split()
            found += [name for name in names if self.name in name]
            found += self.engine.docker(*words, "--filter", self.label).split()
        return found


@contextmanager
def serving(engine, name, folder):
    """The shop of this project serves, and all of its tasks run; afterwards whatever there still is of it is taken away."""
    assert engine.shop
    project = Project(engine, name, folder)
    try:
        project.compose("up", "--detach")
        project.until(
            lambda: project.tsunagu("get", "services").count("COMPLETED") == SERVICES, "roll-outs of all services"
        )
        project.tsunagu("wait", "--steady")
        project.until(project.answer, "answer of the shop")
        yield project
    finally:
        if project.left():  # the test has failed
            project.compose("kill")
            project.compose("run", "--rm", "janitor", "--once")
            project.compose("down", "--volumes")


@pytest.mark.slow("images of a whole mesh are started, and taken away again")
def test_one_command_brings_up_a_mesh_that_serves_and_one_takes_all_of_it_away(engine, tmp_path):
    with serving(engine, "composed", tmp_path) as project:
        said = project.answer()
        assert said["orders"]["inventory"]["items"]
        assert said["orders"]["stock"].startswith("apples 42 stock-")
        assert project.tsunagu("ps").count("RUNNING") >= 7
        no_sidecar_reads_anothers_token(project)
        project.compose("restart", "control")
        assert project.answer() is not None
        project.until(lambda: "NOT_READY" not in project.tsunagu("get", "nodes"), "node")
        project.compose("down", "--volumes")
        assert project.left() == []


def no_sidecar_reads_anothers_token(project):
    """Each Envoy has a volume that no other has, beside the one with the socket; apps have neither, and nobody the home."""
    envoys = project.containers("envoy")
    own = [{one["Name"] for one in envoy["Mounts"]} - {f"{project.name}_xds"} for envoy in envoys]
    assert len(envoys) >= 8
    assert [len(names) for names in own] == [1] * len(envoys)
    assert len(set.union(*own)) == len(envoys)
    for app in project.containers("app"):
        mounted = {one.get("Name") for one in app["Mounts"]}
        assert not mounted & set.union(*own)
        assert f"{project.name}_home" not in mounted


@pytest.mark.slow("images of a whole mesh are started, and taken away again")
def test_after_the_node_agents_death_the_mesh_goes_on_and_nothing_is_left_either(engine, tmp_path):
    with serving(engine, "headless", tmp_path) as project:
        project.compose("kill", "node")
        assert project.answer() is not None
        project.compose("down", "--volumes")
        assert project.left() == []


@pytest.mark.slow("images of a whole mesh are started, and taken away again")
def test_what_a_mesh_left_that_was_killed_is_taken_away_by_its_janitor(engine, tmp_path):
    with serving(engine, "killed", tmp_path) as project:
        project.compose("kill")
        assert project.answer() is not None  # nobody has told the tasks
        project.compose("run", "--rm", "janitor", "--once")
        project.compose("down", "--volumes")
        assert project.left() == []
