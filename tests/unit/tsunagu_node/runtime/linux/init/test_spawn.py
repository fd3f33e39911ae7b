"""A program is looked for as a shell does it."""

import os
from pathlib import Path

import pytest

from tsunagu_node.runtime.linux.init.spawn import Spawn, _execute


@pytest.fixture
def wanted(tmp_path, monkeypatch):
    """`web`, looked for in two directories; the kernel refuses what is in the first one."""

    def execve(program, *_):
        closed = program.startswith(f"{tmp_path}/closed/")
        raise (PermissionError if closed else FileNotFoundError)(13 if closed else 2, "refused", program)

    monkeypatch.setattr(os, "execve", execve)
    (tmp_path / "closed").mkdir()
    path = f"{tmp_path}/closed:{tmp_path}/open"
    return Spawn(["web"], {"PATH": path}, cwd="/", user="app", home="/", directory=str(tmp_path))


def test_a_directory_that_cannot_be_looked_into_does_not_hide_that_there_is_no_such_program(wanted):
    with pytest.raises(FileNotFoundError) as raised:
        _execute(wanted)
    assert raised.value.filename == "web"


def test_a_program_that_is_there_and_may_not_be_run_is_told(wanted, tmp_path):
    program = Path(tmp_path, "closed", "web")
    program.touch()
    with pytest.raises(PermissionError) as raised:
        _execute(wanted)
    assert raised.value.filename == str(program)
