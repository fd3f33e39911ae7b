"""Finds the Image for a reference without trying every pattern: ten thousand services may have an Image each.

The one rule: the answer is that of trying them all. A pattern can only match a reference that contains each of its literal
parts, so patterns are filed under the end of their longest one.
"""

from __future__ import annotations

import re
from collections import defaultdict
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tsunagu.v1 import objects_pb2

_LITERAL = re.compile(r"[^*?\[\]]+")
_LONGEST = 12


class ImageIndex(dict[str, "objects_pb2.Object"]):
    """The Images by name, which do not change any more. Invariant: ``_filed`` has each pattern once."""

    def __init__(self, images: Mapping[str, objects_pb2.Object]) -> None:
        super().__init__(images)
        self._filed: dict[str, list[tuple[str, str]]] = defaultdict(list)
        self._known: dict[str, str] = {}
        for name, obj in images.items():
            self._filed[_anchor(obj.image.pattern)].append((obj.image.pattern, name))
        self._lengths = sorted({len(anchor) for anchor in self._filed})

    def matching(self, reference: str) -> str:
        """Name of the Image whose pattern matches a reference; the longest pattern wins. Empty if none does."""
        if reference not in self._known:
            self._known[reference] = self._find(reference)
        return self._known[reference]

    def _find(self, reference: str) -> str:
        parts = {reference[at : at + length] for length in self._lengths for at in range(len(reference) - length + 1)}
        near = (one for part in parts if part in self._filed for one in self._filed[part])
        matching = [(len(pattern), pattern, name) for pattern, name in near if fnmatchcase(reference, pattern)]
        return max(matching)[2] if matching else ""


def _anchor(pattern: str) -> str:
    """A text that whatever matches the pattern contains; empty if there is none for sure."""
    if "[" in pattern:
        return ""
    return max(_LITERAL.findall(pattern), key=len, default="")[-_LONGEST:]
