"""No root needed: the shop as a user who may do nothing that others may not."""

import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tsunagu.testing import leaks, processes

pytestmark = [pytest.mark.e2e, pytest.mark.envoy]

HERE = Path(__file__).parent


@pytest.fixture
def home():
    """A folder that will be the user's. Short, since sockets will be in it."""
    path = Path(tempfile.mkdtemp(prefix="tsunagu-", dir="/tmp"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def as_plain_user(home, *command):
    arguments = [sys.executable, HERE / "plain_user.py", home, sys.executable, *map(str, command)]
    return subprocess.run(arguments, capture_output=True, text=True, timeout=100, check=False)


@pytest.mark.slow("a whole mesh is brought up and ended in it, by a user who cannot share one")
def test_the_shop_as_an_ordinary_user(home):
    if as_plain_user(home, "-c", "import tsunagu.cli").returncode:
        pytest.skip("an ordinary user may not read the project's files")
    done = as_plain_user(home, HERE / "plain_shop.py", home / "m", free_port())
    assert done.returncode == 0, done.stderr
    left = leaks.left_behind(home / "m", set(processes.of_home(home / "m").everything), set(), leaks.ticks())
    assert left == []
