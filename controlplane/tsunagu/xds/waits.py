"""The longest waits: for an answer of the client, of one type for another (`order.py`), and for an operator who wants to look.

Rule: every wait ends by itself. After these times a client is sent what it needs, whatever it has answered.
"""

from __future__ import annotations

from dataclasses import dataclass

LONGEST_HOLD = 60.0  # s; an operator may forget it


@dataclass(frozen=True, slots=True, kw_only=True)
class Waits:
    """The longest waits of one server, in seconds."""

    warming: float = 1.0  # s; of listeners and routes for the ACK of new clusters and endpoints, after each of these
    warming_total: float = 3.0  # s; the same, altogether: or none would be sent while new clusters keep coming
    warm_up: float = 0.25  # s; of newer content of a cluster for the answer to the older, which Envoy may withhold
    answer: float = 5.0  # s; the same of every other type
    connections: float = 0.5  # s; of the removal of clusters after a changed listener: its old connections need them
    removals: float = 5.0  # s; of the removal of clusters for the ACK of listeners and routes that no longer need them


class Holds:
    """The types of one stream whose responses an operator keeps back, to see what waits for them. A hold delays responses
    and loses none; heartbeats, and a good secret after a refused one, are not delayed.
    """

    __slots__ = ("types",)

    def __init__(self) -> None:
        self.types: dict[str, float] | None = None  # type url -> until when. Invariant: None, or not empty

    def hold(self, type_url: str, seconds: float, now: float) -> None:
        """Keep the responses of this type back, for at most LONGEST_HOLD; 0: no longer."""
        self.types = {**(self.types or {}), type_url: now + min(seconds, LONGEST_HOLD)}

    def until(self, type_url: str, now: float) -> float | None:
        """Until when the responses of this type are kept back; None: they are not."""
        if self.types is None:
            return None
        until = self.types.get(type_url, now)
        if until > now:
            return until
        self.types = {url: at for url, at in self.types.items() if url != type_url} or None
        return None
