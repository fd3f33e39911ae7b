"""What is wrong with `egress` of a Namespace."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tsunagu.model.outside.egress import ALLOW, DENY
from tsunagu.model.rules.constraints import issue

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tsunagu.model.errors import Issue
    from tsunagu.model.rules.subject import Subject


def namespace_egress(subject: Subject) -> Iterator[Issue]:
    """A word stands alone."""
    found = subject.obj.namespace.egress
    if len(found) > 1 and (word := next((one for one in found if one in (ALLOW, DENY)), "")):
        yield issue("egress", f"{word} is there beside names", f"write `egress: {word}`, or the names alone")
