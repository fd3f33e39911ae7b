"""A NACK's words: Envoy refuses a response in part, and only the message says which part (reference/xds.md 1.4).

Rule: what cannot be told from the message is about all of the response.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection


def refused_names(message: str, names: Collection[str]) -> tuple[str, ...]:
    """Which of a response's resources a NACK tells of: those whose names stand in the message, else all.

    Envoy: "Error adding/updating cluster(s) P: ..., Q: ...", "... listener(s) bad: ..." (reference/spikes.md 1).
    """
    found: list[str] = []
    for name in sorted(names, key=len, reverse=True):
        pattern = rf"(?<![\w/.-]){re.escape(name)}(?![\w/-]|\.\w)"
        message, hits = re.subn(pattern, "", message) if name in message else (message, 0)
        if hits:
            found.append(name)
    return tuple(sorted(found or names))
