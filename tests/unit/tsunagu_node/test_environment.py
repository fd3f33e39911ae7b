"""What every container starts with."""

import sys
from pathlib import Path

from tsunagu_node.main import _environment


def test_the_programs_of_a_task_are_its_users_and_ours_are_the_last_to_be_found(monkeypatch):
    monkeypatch.setenv("PATH", "/home/me/bin:/usr/bin")
    assert _environment()["PATH"] == f"/home/me/bin:/usr/bin:{Path(sys.executable).parent}"
