"""Names that a task asked for and that the mesh does not have: most often a misspelled one.

Rule: bounded: of each task the last `MOST` names with how often they were asked for.
"""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Final

MOST: Final = 32


class UnknownNames:
    """The names, those that were asked for last at the end."""

    def __init__(self) -> None:
        self._counts: OrderedDict[str, int] = OrderedDict()

    def note(self, name: str) -> None:
        self._counts[name] = self._counts.pop(name, 0) + 1
        if len(self._counts) > MOST:
            self._counts.popitem(last=False)

    @property
    def counts(self) -> Mapping[str, int]:
        """Return how often each was asked for."""
        return dict(self._counts)
