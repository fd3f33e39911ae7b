"""Errors in what a user wrote: where the error is, what is wrong, and what would be right.

The one rule: code that reads manifests collects all issues before it raises ManifestError, and raises nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class Issue:
    """One error. ``line`` and ``column`` count from 1; without a text to point at, ``file`` is empty and both are 0."""

    file: str
    line: int
    column: int
    path: str  # of the field, e.g. "services[0].portName"; empty for the whole document
    message: str  # what is wrong
    suggestion: str = ""  # what would be right, e.g. 'did you mean "web"?'

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}: " if self.line else f"{self.file}: " if self.file else ""
        path = f"{self.path}: " if self.path else ""
        return place + path + self.message + (f"; {self.suggestion}" if self.suggestion else "")

    def at(self, file: str, line: int, column: int) -> Issue:
        """Return the same issue with a place in a text."""
        return replace(self, file=file, line=line, column=column)


class ManifestError(ValueError):
    """What a user wrote is not accepted; ``issues`` are the reasons."""

    def __init__(self, issues: Iterable[Issue]) -> None:
        self.issues: tuple[Issue, ...] = tuple(issues)
        super().__init__("\n".join(map(str, self.issues)))
