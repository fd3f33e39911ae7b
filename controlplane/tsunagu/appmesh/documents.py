"""One manifest of ours that the conversion made, and what it has to say beside.

The one rule: documents are plain values, as a user would write them; whether they are sound says the reader of manifests.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tsunagu.appmesh.reading import Part
    from tsunagu.model.errors import Issue


@dataclass(frozen=True, slots=True)
class Made:
    """A document of ours (`kind` and its members), and from what it was made: FILE: appmesh/KIND NAME."""

    document: dict[str, Any]
    origin: str


@dataclass(slots=True)
class Report:
    """What is told beside the documents: refused members (`issues`), and remarks (`notes`), each with its place."""

    issues: list[Issue] = field(default_factory=list)
    notes: list[Issue] = field(default_factory=list)

    def refuse(self, part: Part, member: str, why: str, hint: str = "") -> None:
        self.issues.append(part.issue(member, why, hint))

    def note(self, part: Part, member: str, what: str) -> None:
        self.notes.append(part.issue(member, what))


def without_empty(values: dict[str, Any]) -> dict[str, Any]:
    """The members that say something."""
    return {name: value for name, value in values.items() if value not in (None, "", [], {})}
