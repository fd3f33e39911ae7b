"""Whether a mesh runs in a home, told by the lock that its `up` holds: the mesh itself is not asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tsunagu.kit.lockfile import is_held

if TYPE_CHECKING:
    from tsunagu.settings import Home


def is_up(home: Home) -> bool:
    """Whether an `up` holds this home."""
    return is_held(home.lock)


def pid_of(home: Home) -> int:
    """The process that holds the home, as it says itself; 0 when it does not."""
    try:
        text = home.pid.read_text().strip()
    except FileNotFoundError:
        return 0
    return int(text) if text.isdecimal() else 0
