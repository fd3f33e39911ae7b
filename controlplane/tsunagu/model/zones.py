"""Availability zones: the places between which a call costs more than within one.

The one rule: a zone is a word like `ap-northeast-1a` or `a`, so that it may stand in names of bundles and on command lines.
"""

from __future__ import annotations

import re
from typing import Final

#: The variable by which a node agent is told its zone, or several to try with.
VARIABLE: Final = "TSUNAGU_ZONE"
_ZONE: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


def parse(text: str) -> tuple[str, ...]:
    """The zones of "a" or "a,b,c", in that order; none of an empty text. Raises ValueError, which says what would be right."""
    zones = tuple(word.strip() for word in text.split(",")) if text.strip() else ()
    for zone in zones:
        if not _ZONE.fullmatch(zone):
            raise ValueError(
                f"{zone!r} is not a zone: lower-case letters, digits and '-', as in a,b,c or ap-northeast-1a"
            )
    if len(set(zones)) < len(zones):
        raise ValueError(f"{text!r} names a zone twice")
    return zones
