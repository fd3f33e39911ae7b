"""No root needed: the shop as a user who may do nothing that others may not."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.e2e.both_runtimes import RECIPE
from tests.e2e.docker_shop import left
from tests.e2e.test_choosing import image  # noqa: F401
from tsunagu.testing import leaks, processes
from tsunagu.testing.ports import free_port

pytestmark = [pytest.mark.e2e, pytest.mark.envoy]

HERE = Path(__file__).parent
GROUP = 23456


@pytest.fixture
def home():
    """A folder that will be the user's. Short, since sockets will be in it."""
    path = Path(tempfile.mkdtemp(prefix="tsunagu-", dir="/tmp"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def as_plain_user(home, *command, **environment):
    arguments = [sys.executable, HERE / "plain_user.py", home, sys.executable, *map(str, command)]
    env = {**os.environ, **environment}
    return subprocess.run(arguments, capture_output=True, text=True, timeout=240, check=False, env=env)


@pytest.mark.slow("a whole mesh is brought up and ended in it, by a user who cannot share one")
def test_the_shop_as_an_ordinary_user(home):
    if as_plain_user(home, "-c", "import tsunagu.cli").returncode:
        pytest.skip("an ordinary user may not read the project's files")
    done = as_plain_user(home, HERE / "plain_shop.py", home / "m", free_port())
    assert done.returncode == 0, done.stderr
    left = leaks.left_behind(home / "m", set(processes.of_home(home / "m").everything), set(), leaks.ticks())
    assert left == []


@pytest.fixture
def group(engine):
    """A group whose members may use the engine's socket."""
    before = engine.socket.stat()
    os.chown(engine.socket, -1, GROUP)
    engine.socket.chmod(0o660)
    yield str(GROUP)
    os.chown(engine.socket, -1, before.st_gid)
    engine.socket.chmod(before.st_mode & 0o777)


@pytest.mark.slow("a mesh of containers, brought up and ended by a user who cannot share one")
@pytest.mark.parametrize("story", ["plain_docker.py", "plain_both.py"])
def test_containers_as_an_ordinary_user_of_the_engine_s_group(home, engine, group, image, story):  # noqa: F811
    if as_plain_user(home, "-c", "import tsunagu.cli").returncode:
        pytest.skip("an ordinary user may not read the project's files")
    used = engine.image("both-boxed", RECIPE) if story == "plain_both.py" else image
    story = (HERE / story, home / "m", used)
    known = {"DOCKER_HOST": engine.host, "PYTHONPATH": str(HERE.parents[1])}
    done = as_plain_user(home, *story, PLAIN_GROUP=group, **known)
    assert done.returncode == 0, done.stderr
    assert left(engine, home / "m") == []
    assert leaks.left_behind(home / "m", set(processes.of_home(home / "m").everything), set(), leaks.ticks()) == []


@pytest.mark.slow("it fails at once; the engine takes its time to start")
def test_who_may_not_use_the_engine_is_told_which_group_may(home, engine, group):
    (home / "mesh.yaml").write_text("kind: Cluster\nclusterName: default\n")
    up = ("-m", "tsunagu.cli", "up", "--runtime", "docker", "--home", home / "m", home / "mesh.yaml")
    done = as_plain_user(home, *up, DOCKER_HOST=engine.host)
    assert done.returncode == 1
    assert f"user nobody may not use {engine.socket}, which is for the group {group}" in done.stderr
