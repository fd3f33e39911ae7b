"""The docker runtime of an ordinary user who may use the engine's socket by a group: what depends on who one is."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NOBODY = 65534
#: Configuration, Envoy's socket, nat rules, published ports, adoption, and signals to processes of other users.
PARTS = (
    "configuration_file or admin_endpoint or captured or adopts or published_ports_are_open or given_up or handed_over"
)


@pytest.mark.e2e
@pytest.mark.slow("it is a part of a suite, run as another user")
def test_an_ordinary_user_of_the_engine_s_group(engine):
    if os.geteuid():
        pytest.skip("whoever is no root already runs all of test_docker_runtime as an ordinary user")
    before = engine.socket.stat()
    with tempfile.TemporaryDirectory(prefix="tsunagu-") as folder:
        Path(folder).chmod(0o755)
        os.chown(engine.socket, before.st_uid, NOBODY)
        engine.socket.chmod(0o660)
        try:
            done = suite(folder, engine)
        finally:
            os.chown(engine.socket, before.st_uid, before.st_gid)
            engine.socket.chmod(before.st_mode & 0o777)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert " passed" in done.stdout
    assert "skipped" not in done.stdout


def suite(folder: str, engine) -> subprocess.CompletedProcess[str]:
    options = ["-q", "-x", "-c", str(ROOT / "pyproject.toml"), f"--rootdir={ROOT / 'tests' / 'contract'}"]
    options += [f"--basetemp={folder}/t", "-o", f"cache_dir={folder}/cache", "-k", PARTS]
    tests = [sys.executable, "-m", "pytest", *options, str(ROOT / "tests" / "contract" / "test_docker_runtime.py")]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "TSUNAGU_TEST_ENGINE": engine.host}
    line = [sys.executable, str(ROOT / "tests" / "e2e" / "plain_user.py"), folder, *tests]
    return subprocess.run(line, capture_output=True, text=True, timeout=280, check=False, env=env)
