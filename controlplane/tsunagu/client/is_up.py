"""Whether a mesh runs in a home, without asking it."""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from tsunagu.settings import Home


def is_up(home: Home) -> bool:
    """Whether an `up` holds this home."""
    return is_held(home.lock)


def is_held(lock: Path) -> bool:
    """Whether a process holds the lock on that file."""
    try:
        file = os.open(lock, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(file)


def pid_of(home: Home) -> int:
    """The process that holds the home, as it says itself; 0 when it does not."""
    try:
        text = home.pid.read_text().strip()
    except FileNotFoundError:
        return 0
    return int(text) if text.isdecimal() else 0
