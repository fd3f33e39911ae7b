"""A NACK's words: Envoy refuses a response in part, and only the message says which part (docs/protocol.md 2).

Rule: what cannot be told from the message is about all of the response. And of the message only the reason is kept:
Envoy repeats in it what it could not read, up to the whole response, with whatever secret is in it (case 137).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection


WORDS = 4096  # characters of a reason; a client may have something to say of each of a thousand resources
_ECHO = "goo.gle/debug"  # begins protobuf's text format: its lines are those of a message, none begins with a colon


def reason(message: str) -> str:
    """The message without what it repeats of the response, and not longer than anybody reads."""
    words, *echoes = message.split(_ECHO)
    for echo in echoes:
        _, colon, why = echo.partition("\n: ")
        words += "[its content]" + (f": {why}" if colon else "")
    return words if len(words) <= WORDS else words[:WORDS] + " ..."


def refused_names(message: str, names: Collection[str]) -> tuple[str, ...]:
    """Which of a response's resources a NACK tells of: those whose names stand in the message, else all.

    Envoy: "Error adding/updating cluster(s) P: ..., Q: ...", "... listener(s) bad: ...".
    """
    found: list[str] = []
    for name in sorted(names, key=len, reverse=True):
        pattern = rf"(?<![\w/.-]){re.escape(name)}(?![\w/-]|\.\w)"
        message, hits = re.subn(pattern, "", message) if name in message else (message, 0)
        if hits:
            found.append(name)
    return tuple(sorted(found or names))
