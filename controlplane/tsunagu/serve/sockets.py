"""Unix sockets with one owner: gRPC binds over a live socket without a word, and makes it 0755.

The one rule: who listens at a path holds the lock of `PATH.lock`; only then is a file at PATH stale and may go. A socket that
lies elsewhere is known by a link at PATH.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tsunagu.kit.lockfile import LockedError, LockFile

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

#: What the kernel takes as the path of a Unix socket: sun_path holds 108 bytes with the final NUL (unix(7)).
PATH_BYTES = 107


class SocketPathError(ValueError):
    """No socket can be at that path."""


class SocketInUseError(Exception):
    """Another process listens there."""

    def __init__(self, path: Path, pid: int) -> None:
        self.path, self.pid = path, pid
        super().__init__(f"{path} is served by process {pid or 'unknown'}; stop it first, or use another directory")


def check_path(path: Path) -> None:
    """Raises SocketPathError when the path is too long for a socket, or its directory is missing."""
    length = len(os.fsencode(path))
    if length > PATH_BYTES:
        raise SocketPathError(
            f"{path} has {length} bytes; the path of a Unix socket may have {PATH_BYTES}: use a shorter directory"
        )
    if not path.parent.is_dir():
        raise SocketPathError(f"{path.parent} is not a directory; make it before serving at {path}")


class OwnedSocket:
    """The right to serve at a path, from `bind` to `release`. ``place``: where the socket itself lies, if not there."""

    def __init__(self, path: Path, mode: int = 0o600, place: Path | None = None) -> None:
        self.path = path
        self._place = place or path
        self._mode = mode
        self._lock = LockFile(path.with_name(path.name + ".lock"))

    def bind(self, listen: Callable[[str], object]) -> None:
        """Calls ``listen`` with the address (``unix:`` and the place) when the path is ours and free, then sets the mode.

        Raises SocketPathError, SocketInUseError.
        """
        check_path(self.path)
        check_path(self._place)
        try:
            self._lock.acquire()
        except LockedError as error:
            raise SocketInUseError(self.path, error.pid) from error
        try:
            self._unlink()
            listen(f"unix:{self._place}")
            self._place.chmod(self._mode)
            if self._place != self.path:
                self.path.symlink_to(self._place)
        except BaseException:
            self._lock.release()
            raise

    def release(self) -> None:
        """Removes the socket and lets the next one have the path; to be called when nobody listens any more."""
        self._unlink()
        self._lock.release()

    def _unlink(self) -> None:
        self._place.unlink(missing_ok=True)
        self.path.unlink(missing_ok=True)
