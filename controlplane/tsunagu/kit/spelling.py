"""Suggests the name that a user probably meant by one that does not exist.

The one rule: without a similar known name there is no suggestion, because a wrong one is worse than none.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def did_you_mean(wrong: str, known: Iterable[str], otherwise: str = "") -> str:
    """``did you mean "web"?``, or `otherwise` if no known name is similar. Case, '_' and '-' make no difference."""
    plain = {_plain(name): name for name in known}
    found = get_close_matches(_plain(wrong), plain, n=1)
    return f'did you mean "{plain[found[0]]}"?' if found else otherwise


def _plain(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "")
