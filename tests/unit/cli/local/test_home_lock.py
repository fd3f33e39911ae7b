import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tsunagu.cli.errors import CliError
from tsunagu.cli.local import home_lock
from tsunagu.cli.local.home_lock import Life, claimed
from tsunagu.client.is_up import is_up, pid_of
from tsunagu.kit.lockfile import LockFile, is_held
from tsunagu.settings import Home


def test_a_claimed_home_is_private_and_says_who_has_it(tmp_path):
    home = Home(tmp_path / "deep" / "mesh")
    assert not is_up(home)
    with claimed(home):
        assert is_up(home)
        assert pid_of(home) == os.getpid()
        assert stat.S_IMODE(home.root.stat().st_mode) == 0o700
        assert stat.S_IMODE(home.key.stat().st_mode) == 0o600
    assert not is_up(home)
    assert pid_of(home) == 0


def test_a_home_is_claimed_once(tmp_path):
    home = Home(tmp_path)
    with (
        claimed(home),
        pytest.raises(CliError, match=f"already running in {tmp_path} .process {os.getpid()}") as caught,
        claimed(home),
    ):
        pass
    assert caught.value.code == 5


def test_a_mesh_begins_and_ends_without_a_registry(tmp_path):
    home = Home(tmp_path)
    wal = home.database.with_name("registry.db-wal")
    home.database.write_text("old")
    with claimed(home):
        assert not home.database.exists()
        home.database.write_text("secrets")
        wal.write_text("secrets")
    assert not home.database.exists()
    assert not wal.exists()


def test_a_mesh_that_ends_with_an_error_leaves_no_registry_either(tmp_path):
    home = Home(tmp_path)

    def fail() -> None:
        home.database.write_text("secrets")
        raise CliError("serve ends again and again")

    with pytest.raises(CliError, match="again and again"), claimed(home):
        fail()
    assert not home.database.exists()
    assert pid_of(home) == 0
    assert not is_up(home)


def test_who_cannot_claim_a_home_takes_nothing_from_its_mesh(tmp_path):
    home = Home(tmp_path)
    with claimed(home):
        home.database.write_text("in use")
        with pytest.raises(CliError), claimed(home):
            pass
        assert home.database.exists()


def test_what_an_earlier_mesh_wrote_stays_until_the_next_and_nothing_else_goes(tmp_path):
    home = Home(tmp_path)
    written = [home.tasks / "web-1" / name for name in ("log/app.log", "log/app.log.1", "state.json")]
    own = [home.tasks / "web-1" / "notes.txt", home.tasks / "list.log"]
    with claimed(home):
        (home.tasks / "web-1" / "log").mkdir(parents=True)
        for path in (*written, *own):
            path.write_text("x")
    assert all(path.exists() for path in written)
    with claimed(home):
        assert [path.exists() for path in (*written, *own)] == [False, False, False, True, True]


def test_a_claim_waits_for_what_an_earlier_mesh_still_holds(tmp_path):
    home = Home(tmp_path)
    earlier = LockFile(tmp_path / "registry.db.lock")
    earlier.acquire()
    threading.Timer(0.05, earlier.release).start()
    with claimed(home):
        assert not is_held(earlier.path)


def test_the_pid_of_a_killed_up_counts_no_more_while_the_next_one_waits(tmp_path, monkeypatch):
    home = Home(tmp_path)
    home.pid.write_text("1\n")
    told = []
    monkeypatch.setattr(home_lock, "_await_predecessors", lambda home: told.append((is_up(home), pid_of(home))))
    with claimed(home):
        pass
    assert told == [(True, os.getpid())]
    assert not home.pid.exists()


SLEEPER = "import os, sys; os.read(int(sys.argv[1]), 1); print('over', flush=True); sys.stdin.read()"


async def test_a_life_tells_its_end_and_hears_when_the_last_one_is_gone():
    life = Life()
    with subprocess.Popen(  # noqa: ASYNC220 - it starts at once
        [sys.executable, "-c", SLEEPER, str(life.descriptor)],
        pass_fds=[life.descriptor],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        life.end()
        assert child.stdout.readline() == "over\n"
        child.stdin.close()
        assert await life.gone(10)


async def test_a_life_says_when_someone_stays():
    life = Life()
    kept = os.dup(life.descriptor)
    life.end()
    assert not await life.gone(0.01)
    os.close(kept)


def test_a_path_that_no_socket_can_have_is_refused_before_anything_is_made(tmp_path: Path):
    home = Home(tmp_path / ("x" * 120))
    with pytest.raises(ValueError, match="too long by"), claimed(home):
        pass
    assert not home.root.exists()


def test_a_home_that_cannot_be_is_told_with_what_would_be_right(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(CliError, match=r"cannot have its directory .*: Not a directory") as caught,
        claimed(Home(tmp_path / "file" / "mesh")),
    ):
        pass
    assert "--home" in caught.value.right
