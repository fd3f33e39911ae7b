"""What a lesson runs on: the contract of a stage.

The one rule: a stage brings up all that its lesson needs, in a folder of its own and on free ports, and leaves nothing
behind, however the lesson ends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from tsunagu.lessons.shown import Shown
    from tsunagu.testing import Load, Plan
    from tsunagu.v1.inspector_pb2 import TimelineEvent


class Stage(Protocol):
    """Where a lesson plays."""

    @property
    def folder(self) -> Path:
        """A directory for the lesson's files."""
        ...

    @property
    def invites(self) -> str:
        """How one looks into it from another terminal; empty when one cannot."""
        ...

    def words(self) -> Mapping[str, str]:
        """What stands for the $NAMES in commands and files."""
        ...

    def messages(self, after: int) -> Sequence[TimelineEvent]:
        """The xDS messages after a sequence number, oldest first."""
        ...

    def run(self, command: str, expected: int) -> Sequence[Shown]:
        """Run a command line, or a piece of the stage's language. Raises LessonFailed when it ends otherwise than
        `expected`.
        """
        ...

    def load(self, plan: Plan) -> Load:
        """Load on what the stage serves, for a `with` block."""
        ...
