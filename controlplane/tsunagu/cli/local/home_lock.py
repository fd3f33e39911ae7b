"""One mesh in one home: the lock that ensures it, and the files that a mesh begins with.

The one rule: whoever holds `up.lock` owns everything in the home. The kernel drops the lock when its holder dies, so a
home is never left locked, and a pid in `up.pid` counts only while the lock is held.
"""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tsunagu.cli.errors import CONFLICT, FAILED, CliError
from tsunagu.cli.local.resume import is_left
from tsunagu.client.is_up import pid_of
from tsunagu.kit.lockfile import LockedError, LockFile, is_held
from tsunagu.kit.tokens import BadKey, load_key

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tsunagu.settings import Home

#: A command that only asks whether a mesh is up holds the lock, shared, for some microseconds.
_ASKING_SECONDS = 0.2
_ENDING_SECONDS = 6.0


@contextmanager
def locked(home: Home, asked: str = "") -> Iterator[bool]:
    """Hold the home's lock for the length of the block. The home begins and ends without the objects of a mesh, but that
    which a killed `up` left that was asked for the same (`asked`, see `resume`): then it yields True.

    A mesh is its manifests: what `scale` or `apply` made of an earlier one does not come back by surprise. What an
    earlier one's containers wrote goes as well: its tasks may have had the same names.
    Raises CliError when a mesh is running there.
    """
    home.check()
    make(home)
    lock = _lock(home)
    try:
        home.pid.write_text(f"{os.getpid()}\n")  # at once: who was killed here left his, and `down` would signal that
        _await_predecessors(home)
        home.root.chmod(0o700)  # proxies and apps are this user to the kernel: nobody else has a reason to come in
        home.aws_endpoint.unlink(missing_ok=True)
        resumed = is_left(home, asked)
        if not resumed:
            delete_registry(home)
        _delete_tasks(home)
        try:
            _make_key(home)
            yield resumed
        finally:  # an error ends a mesh as well, and its registry holds secrets
            delete_registry(home)
    finally:
        home.pid.unlink(missing_ok=True)
        home.aws_endpoint.unlink(missing_ok=True)
        lock.release()


def make(home: Home) -> None:
    """Create the directories that a mesh begins with. Raises CliError when that fails."""
    try:
        home.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        home.log("up").parent.mkdir(mode=0o700, exist_ok=True)
        home.lock.touch(mode=0o600)
    except OSError as error:
        raise CliError(
            f"the mesh cannot have its directory {home.root}: {error.strerror}",
            FAILED,
            "give it one that you may write to, with --home or TSUNAGU_HOME",
        ) from error


def _lock(home: Home) -> LockFile:
    lock = LockFile(home.lock)
    deadline = time.monotonic() + _ASKING_SECONDS
    while True:
        try:
            lock.acquire()
        except LockedError as error:
            if time.monotonic() > deadline:
                raise already_up(home) from error
            time.sleep(0.01)
        else:
            return lock


def _await_predecessors(home: Home) -> None:
    """Wait for the processes of a mesh whose `up` was killed just now: they are ending, and hold locks that we need."""
    deadline = time.monotonic() + _ENDING_SECONDS
    while held := [lock for lock in sorted(home.locks) if lock != home.lock and is_held(lock)]:
        if time.monotonic() > deadline:
            raise CliError(
                f"processes of an earlier mesh still hold {', '.join(map(str, held))}", CONFLICT, "end them first"
            )
        time.sleep(0.01)


def _make_key(home: Home) -> None:
    try:
        load_key(home.key)
    except BadKey as error:
        raise CliError(str(error), FAILED) from error


def delete_registry(home: Home) -> None:
    """Delete the objects of a mesh, and the note of what it was asked for."""
    home.applied.unlink(missing_ok=True)
    database = home.database
    for path in (database, *(database.with_name(database.name + end) for end in ("-wal", "-shm"))):
        path.unlink(missing_ok=True)


def _delete_tasks(home: Home) -> None:
    """Delete what a node agent leaves and nothing else: the home may be a user's own directory, with a `tasks` of theirs."""
    for pattern in ("*/log/*.log", "*/log/*.log.1", "*/state.json"):
        for tasks in home.task_folders:
            for path in tasks.glob(pattern):
                path.unlink(missing_ok=True)


def already_up(home: Home) -> CliError:
    """The error for a home whose lock another process holds."""
    holder = pid_of(home)
    who = f" (process {holder})" if holder else ""
    return CliError(
        f"a mesh is already running in {home.root}{who}",
        CONFLICT,
        "'tsunagu apply' changes it, 'tsunagu down' ends it, --name or --home starts another beside it",
    )
