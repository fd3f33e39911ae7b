"""For how long the rules across types (`order.py`) defer something, at most.

Rule: every wait ends by itself. These are times after which a client is sent what it needs, whatever else it has said.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Waits:
    """The longest waits of one server, in seconds."""

    warming: float = 1.0  # s; of listeners and routes for the ACK of new clusters and endpoints, after each of these
    warming_total: float = 3.0  # s; the same, altogether: or none would be sent while new clusters keep coming
    removals: float = 5.0  # s; of the removal of clusters for the ACK of listeners and routes that no longer need them
