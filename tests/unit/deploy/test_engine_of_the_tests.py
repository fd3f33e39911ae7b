"""Without a Docker engine its tests are skipped, and say why; where CI is set they fail."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.engine import engine, keeper

ROOT = Path(__file__).parents[3]


def test_an_engine_that_is_not_installed_is_named_with_its_package(monkeypatch):
    monkeypatch.setattr(keeper, "DOCKERD", "/nowhere/dockerd")
    assert engine.lacking() == "/nowhere/dockerd is not installed (of Debian's packages: docker.io)"


def test_who_is_not_root_is_told_how_to_use_an_engine_that_runs(monkeypatch):
    monkeypatch.setattr(keeper, "DOCKERD", sys.executable)
    monkeypatch.setattr(keeper, "DOCKER", sys.executable)
    monkeypatch.setattr(engine.os, "geteuid", lambda: 1000)
    assert "TSUNAGU_TEST_ENGINE=unix:///var/run/docker.sock lets them use yours" in engine.lacking()


@pytest.mark.parametrize(("ci", "outcome"), [("", "1 skipped"), ("true", "1 error")])
def test_they_are_skipped_but_fail_in_ci(tmp_path, ci, outcome):
    (tmp_path / "conftest.py").write_text(
        "from tests.engine import keeper\nkeeper.DOCKERD = '/nowhere/dockerd'\nfrom tests.conftest import engine\n"
    )
    (tmp_path / "test_one.py").write_text("def test_one(engine): pass\n")
    line = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-rs",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        str(tmp_path),
        str(tmp_path),
    ]
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "CI": ci}
    done = subprocess.run(line, env=environment, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert outcome in done.stdout, done.stdout + done.stderr
    assert "no Docker engine: /nowhere/dockerd is not installed" in done.stdout
