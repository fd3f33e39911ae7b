"""Exclusive ownership between processes: a lock file, held with flock(2) for as long as its owner lives.

The kernel releases the lock when the owner dies, whatever killed it, so no lock is ever stale. The one rule: a lock file is
never unlinked, because two processes could then each lock a different file of the same name.
"""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType


class LockedError(Exception):
    """Another process holds the lock. ``pid``: of that process, or 0 if it has not written it yet."""

    def __init__(self, path: Path, pid: int) -> None:
        self.path, self.pid = path, pid
        owner = f"process {pid}" if pid else "another process"
        super().__init__(f"{path} is held by {owner}; stop that one first, or use another directory")


def is_held(path: Path) -> bool:
    """Whether a process holds the lock file ``path``; no when there is no such file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(descriptor)


class LockFile:
    """Holds the lock on ``path`` from `acquire` to `release`; also a context manager. Child processes do not inherit it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lock. Raises LockedError at once if it is held, even by this process."""
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(descriptor, 32).decode(errors="replace").strip()
            os.close(descriptor)
            raise LockedError(self.path, int(owner) if owner.isdecimal() else 0) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        self._descriptor = descriptor

    def release(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
