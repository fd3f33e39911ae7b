"""Reads the error of a NACK: Envoy refuses a response in part, and only the error says which part (docs/protocol.md 2).

Rule: an error that names no resource concerns all of the response. Only the reason in it is kept: Envoy repeats what it
could not read, up to the whole response, with whatever secrets are in it (case 137).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection


WORDS = 4096  # characters of a reason; a client may give one for each of a thousand resources
READ = 1 << 18  # characters that are searched for names; a client can send as many as it likes
_ECHO = "goo.gle/debug"  # begins protobuf's text format: its lines are those of a message, none begins with a colon
_GAP = re.compile(r"[\s,;'\"()\[\]{}<>]+")
_LISTED = re.compile(
    r"(?:cluster|listener)\(s\) "
)  # from here on each name has a colon behind it, other words have none


def reason(message: str) -> str:
    """Return the error without what it repeats of the response, cut to WORDS characters."""
    words = _without_echoes(message)
    return words if len(words) <= WORDS else words[:WORDS] + " ..."


def refused_names(message: str, names: Collection[str]) -> tuple[str, ...]:
    """Return the refused resources of a response: those whose names stand in the reason, else in what the error repeats,
    else all `names`. The error is read once, whatever the number of names.

    Envoy writes: "Error adding/updating cluster(s) P: ..., Q: ...", "... listener(s) bad: ...".
    """
    found = _named(_without_echoes(message)[:READ], names) or _named(message[:READ], names)
    return tuple(sorted(found or names))


def mentions(error: str, names: Collection[str]) -> bool:
    """True when one of these names stands in an error ("unknown cluster 'a'")."""
    return bool(_words(error).intersection(names))


def _words(told: str) -> set[str]:
    words = _GAP.split(told)
    return {*words, *(word.rstrip(".:") for word in words)}


def _named(told: str, names: Collection[str]) -> list[str]:
    header = _LISTED.search(told)
    if header is None:
        named = _words(told)
    else:
        named = {word[:-1] for word in _GAP.split(told[header.end() :]) if word.endswith(":")}
    return [name for name in names if name in named or (_GAP.search(name) and name in told)]


def _without_echoes(message: str) -> str:
    words, *echoes = message.split(_ECHO)
    parts = [words]
    for echo in echoes:
        _, colon, why = echo.partition("\n: ")
        parts.append("[its content]" + (f": {why}" if colon else ""))
    return "".join(parts)
