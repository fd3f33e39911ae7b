"""A lock file has one owner, who is named to others, and dies with it."""

import os
import subprocess
import sys

import pytest

from tsunagu.kit.lockfile import LockedError, LockFile


def test_the_owner_is_named(tmp_path):
    with LockFile(tmp_path / "lock"), pytest.raises(LockedError) as caught:
        LockFile(tmp_path / "lock").acquire()

    assert caught.value.pid == os.getpid()


def test_a_released_lock_can_be_had_again(tmp_path):
    lock = LockFile(tmp_path / "lock")
    for _ in range(2):
        lock.acquire()
        lock.release()
        lock.release()


def test_a_killed_owner_leaves_no_lock(tmp_path):
    script = (
        "import pathlib, sys, time; from tsunagu.kit.lockfile import LockFile;"
        "LockFile(pathlib.Path(sys.argv[1])).acquire(); print(flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "lock")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as owner:
        try:
            owner.stdout.readline()
        finally:
            owner.kill()

    with LockFile(tmp_path / "lock"):
        assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"


def test_programs_that_are_started_do_not_inherit_it(tmp_path):
    lock = LockFile(tmp_path / "lock")
    lock.acquire()
    command = [sys.executable, "-c", "print(flush=True); input()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, close_fds=False) as other:
        other.stdout.readline()
        lock.release()
        with LockFile(tmp_path / "lock"):
            other.communicate(b"\n")
