"""The longest waits: for an answer of the client, and of one type for another (`order.py`).

Rule: every wait ends by itself. After these times a client is sent what it needs, whatever it has answered.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Waits:
    """The longest waits of one server, in seconds."""

    warming: float = 1.0  # s; of listeners and routes for the ACK of new clusters and endpoints, after each of these
    warming_total: float = 3.0  # s; the same, altogether: or none would be sent while new clusters keep coming
    warm_up: float = 0.25  # s; of newer content of a cluster for the answer to the older, which Envoy may withhold
    answer: float = 5.0  # s; the same of every other type
    connections: float = 0.5  # s; of the removal of clusters after a changed listener: its old connections need them
    removals: float = 5.0  # s; of the removal of clusters for the ACK of listeners and routes that no longer need them
