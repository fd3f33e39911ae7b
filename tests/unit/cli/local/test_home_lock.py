import os
import stat
import threading
from pathlib import Path

import pytest

from tsunagu.cli.errors import CliError
from tsunagu.cli.local import home_lock
from tsunagu.cli.local.home_lock import locked
from tsunagu.client.is_up import is_up, pid_of
from tsunagu.kit.lockfile import LockFile, is_held
from tsunagu.settings import Home


def test_a_locked_home_is_private_and_names_its_owner(tmp_path):
    home = Home(tmp_path / "deep" / "mesh")
    assert not is_up(home)
    with locked(home):
        assert is_up(home)
        assert pid_of(home) == os.getpid()
        assert stat.S_IMODE(home.root.stat().st_mode) == 0o700
        assert stat.S_IMODE(home.key.stat().st_mode) == 0o600
    assert not is_up(home)
    assert pid_of(home) == 0


def test_a_home_is_locked_once(tmp_path):
    home = Home(tmp_path)
    with (
        locked(home),
        pytest.raises(CliError, match=f"already running in {tmp_path} .process {os.getpid()}") as caught,
        locked(home),
    ):
        pass
    assert caught.value.code == 5


def test_a_mesh_begins_and_ends_without_a_registry(tmp_path):
    home = Home(tmp_path)
    wal = home.database.with_name("registry.db-wal")
    home.database.write_text("old")
    with locked(home):
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

    with pytest.raises(CliError, match="again and again"), locked(home):
        fail()
    assert not home.database.exists()
    assert pid_of(home) == 0
    assert not is_up(home)


def test_a_command_that_cannot_lock_a_home_deletes_nothing_of_its_mesh(tmp_path):
    home = Home(tmp_path)
    with locked(home):
        home.database.write_text("in use")
        with pytest.raises(CliError), locked(home):
            pass
        assert home.database.exists()


def test_what_an_earlier_mesh_wrote_stays_until_the_next_and_nothing_else_goes(tmp_path):
    home = Home(tmp_path)
    written = [home.tasks / "web-1" / name for name in ("log/app.log", "log/app.log.1", "state.json")]
    own = [home.tasks / "web-1" / "notes.txt", home.tasks / "list.log"]
    with locked(home):
        (home.tasks / "web-1" / "log").mkdir(parents=True)
        for path in (*written, *own):
            path.write_text("x")
    assert all(path.exists() for path in written)
    with locked(home):
        assert [path.exists() for path in (*written, *own)] == [False, False, False, True, True]


def test_a_claim_waits_for_what_an_earlier_mesh_still_holds(tmp_path):
    home = Home(tmp_path)
    earlier = LockFile(tmp_path / "registry.db.lock")
    earlier.acquire()
    threading.Timer(0.05, earlier.release).start()
    with locked(home):
        assert not is_held(earlier.path)


def test_the_pid_of_a_killed_up_counts_no_more_while_the_next_one_waits(tmp_path, monkeypatch):
    home = Home(tmp_path)
    home.pid.write_text("1\n")
    seen = []
    monkeypatch.setattr(home_lock, "_await_predecessors", lambda home: seen.append((is_up(home), pid_of(home))))
    with locked(home):
        pass
    assert seen == [(True, os.getpid())]
    assert not home.pid.exists()


def test_a_path_that_no_socket_can_have_is_refused_before_anything_is_made(tmp_path: Path):
    home = Home(tmp_path / ("x" * 120))
    with pytest.raises(ValueError, match="too long by"), locked(home):
        pass
    assert not home.root.exists()


def test_a_home_that_cannot_be_created_is_refused_with_what_would_be_right(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(CliError, match=r"cannot have its directory .*: Not a directory") as caught,
        locked(Home(tmp_path / "file" / "mesh")),
    ):
        pass
    assert "--home" in caught.value.right
