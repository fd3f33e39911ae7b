"""Whether a mesh runs in a home: its `up` holds a lock for as long as it lives, so the mesh itself is not asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tsunagu.kit.lockfile import is_held

if TYPE_CHECKING:
    from tsunagu.settings import Home


def is_up(home: Home) -> bool:
    """Whether an `up` holds this home."""
    return is_held(home.lock)


def pid_of(home: Home) -> int:
    """The pid of the process that holds the home, as it has written it down; 0 when it has not."""
    try:
        text = home.pid.read_text().strip()
    except FileNotFoundError:
        return 0
    return int(text) if text.isdecimal() else 0
