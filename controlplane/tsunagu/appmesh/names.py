"""How App Mesh's names become names of ours.

The one rule: a name is changed only where ours take fewer characters, and two names never become one silently.
"""

from __future__ import annotations

import re
from typing import Final

_MOST: Final = 64


def slug(name: str) -> str:
    """The name in the characters of a port name: lower case, digits, `_`, `-`; at most 64 of them."""
    return re.sub(r"[^a-z0-9_-]+", "-", name.lower()).strip("-")[:_MOST]
