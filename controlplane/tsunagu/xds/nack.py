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
READ = 1 << 20  # characters that are looked through for names; a client can say as much as it likes
_ECHO = "goo.gle/debug"  # begins protobuf's text format: its lines are those of a message, none begins with a colon
_GAP = re.compile(r"[\s,;'\"()\[\]{}<>]+")
_LISTED = re.compile(
    r"(?:cluster|listener)\(s\) "
)  # from here on each name has a colon behind it, other words have none


def reason(message: str) -> str:
    """The message without what it repeats of the response, and not longer than anybody reads."""
    words = _without_echoes(message)
    return words if len(words) <= WORDS else words[:WORDS] + " ..."


def refused_names(message: str, names: Collection[str]) -> tuple[str, ...]:
    """Which of a response's resources a NACK tells of: those whose names stand in its reason, else in what it repeats, else
    all. It is read once, whatever the number of names.

    Envoy: "Error adding/updating cluster(s) P: ..., Q: ...", "... listener(s) bad: ...".
    """
    found = _named(_without_echoes(message)[:READ], names) or _named(message[:READ], names)
    return tuple(sorted(found or names))


def _named(told: str, names: Collection[str]) -> list[str]:
    header = _LISTED.search(told)
    words = _GAP.split(told[header.end() :] if header else told)
    named = (
        {word[:-1] for word in words if word.endswith(":")} if header else {*words, *(w.rstrip(".:") for w in words)}
    )
    return [name for name in names if name in named or (_GAP.search(name) and name in told)]


def _without_echoes(message: str) -> str:
    words, *echoes = message.split(_ECHO)
    parts = [words]
    for echo in echoes:
        _, colon, why = echo.partition("\n: ")
        parts.append("[its content]" + (f": {why}" if colon else ""))
    return "".join(parts)
