"""What a user probably meant by a name that does not exist.

The one rule: an offer is made only when a known name is near, because a wrong offer is worse than none.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def did_you_mean(wrong: str, known: Iterable[str], otherwise: str = "") -> str:
    """``did you mean "web"?``, or `otherwise` when no known name is near. Case, '_' and '-' make no difference."""
    plain = {_plain(name): name for name in known}
    found = get_close_matches(_plain(wrong), plain, n=1)
    return f'did you mean "{plain[found[0]]}"?' if found else otherwise


def _plain(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "")
