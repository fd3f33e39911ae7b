"""What left the mesh, counted by task: connections, bytes, refusals.

Rule: bounded: of each task the last places that were refused, MOST at most, and no counter but these. Standard library only.
"""

from collections import Counter, OrderedDict
from dataclasses import dataclass, field
from typing import Any, Final

from tsunagu_node.outside.relay.destinations import Place, Reason

MOST: Final = 16


@dataclass
class Counts:
    """Of one task. `opened`: connections that were made; bytes: as seen by the task. `places`: (address, port) -> why, how often."""

    opened: int = 0
    active: int = 0
    sent: int = 0
    received: int = 0
    refused: Counter[Reason] = field(default_factory=Counter)
    places: OrderedDict[Place, tuple[Reason, int]] = field(default_factory=OrderedDict)

    def refuse(self, called: Place, reason: Reason) -> None:
        self.refused[reason] += 1
        _, before = self.places.pop(called, (reason, 0))
        self.places[called] = reason, before + 1
        if len(self.places) > MOST:
            self.places.popitem(last=False)

    def told(self, *, places: bool = True) -> dict[str, Any]:
        """Return it as JSON, with or without the places."""
        numbers: dict[str, Any] = {
            "opened": self.opened,
            "active": self.active,
            "sent": self.sent,
            "received": self.received,
            "refused": dict(self.refused),
        }
        if places:
            numbers["places"] = [[ip, port, reason, count] for (ip, port), (reason, count) in self.places.items()]
        return numbers
