"""`tsunagu serve` tells why it cannot run."""

import re
import subprocess
import sys

from tsunagu.kit.lockfile import LockFile


def test_a_home_that_is_served_already(tsunagu, tmp_path):
    with LockFile(tmp_path / "registry.db.lock"):
        result = tsunagu("serve", "--home", tmp_path)
    assert result.exit_code == 5
    assert "is held by process" in result.stderr


def test_a_registry_that_is_none(tsunagu, tmp_path):
    (tmp_path / "registry.db").write_text("not a registry, but a text that somebody has put there")
    result = tsunagu("serve", "--home", tmp_path)
    assert result.exit_code == 1
    assert "registry.db" in result.stderr


def test_an_environment_that_means_nothing(tsunagu, tmp_path, monkeypatch):
    monkeypatch.setenv("TSUNAGU_LIFE_FD", "many")
    assert tsunagu("serve", "--home", tmp_path).exit_code == 2


def test_a_key_that_others_may_read(tsunagu, tmp_path):
    (tmp_path / "key").write_bytes(b"0" * 32)
    (tmp_path / "key").chmod(0o644)
    result = tsunagu("serve", "--home", tmp_path)
    assert (result.exit_code, "0600" in result.stderr) == (1, True)


def test_the_child_of_up_says_the_same_without_the_command_line(tsunagu, tmp_path):
    (tmp_path / "registry.db").write_text("not a registry, but a text that somebody has put there")
    command = [sys.executable, "-X", "importtime", "-m", "tsunagu.cli.local.control_plane", str(tmp_path)]
    child = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    messages = [line for line in child.stderr.splitlines() if not line.startswith("import time:")]
    result = tsunagu("serve", "--home", tmp_path)
    assert (child.returncode, messages) == (result.exit_code, result.stderr.splitlines())
    assert not re.search(r"\| +(typer|pydantic|rich\.console)$", child.stderr, re.MULTILINE)
