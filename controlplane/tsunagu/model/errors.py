"""What is wrong with what a user wrote, said so that it can be mended: where, what, and what would be right.

The one rule: a reader of manifests collects every issue before it refuses, and never raises anything else.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class Issue:
    """One fault. ``file``, ``line`` and ``column`` (from 1) are empty or 0 where there is no text to point at."""

    file: str
    line: int
    column: int
    path: str  # of the member, e.g. "services[0].portName"; empty for the whole document
    message: str  # what is wrong
    suggestion: str = ""  # what would be right, e.g. 'did you mean "web"?'

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}: " if self.line else f"{self.file}: " if self.file else ""
        path = f"{self.path}: " if self.path else ""
        return place + path + self.message + (f"; {self.suggestion}" if self.suggestion else "")

    def at(self, file: str, line: int, column: int) -> Issue:
        """The same fault, with the place in a text where it was written."""
        return replace(self, file=file, line=line, column=column)


class ManifestError(ValueError):
    """What a user wrote is not accepted; ``issues`` says why, one by one."""

    def __init__(self, issues: Iterable[Issue]) -> None:
        self.issues: tuple[Issue, ...] = tuple(issues)
        super().__init__("\n".join(map(str, self.issues)))
