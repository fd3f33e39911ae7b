"""What one client, or a storm of them, may take of the server before it harms the others.

Rule: nothing that a client causes is without a bound, and each bound that an operator could want to move stands here, with
its unit. docs/library.md shows this table; a test holds the two equal.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The bounds of one xDS server."""

    first_message: float = 30.0  # s; a stream on which nothing is said for so long is closed
    admitted_at_once: int = (
        64  # streams that get their first answers at a time; the others wait in the order of arrival
    )
    admission: float = 1.0  # s; how long a client that does not answer makes the others wait for its place
    outbox_bytes: int = 8 << 20  # of answers that wait to be written: a client that asks for more has to read first
    message_bytes: int = 64 << 20  # of one request; reconnects of large clients exceed gRPC's 4 MB
    pending_calls: int = 100_000  # streams that gRPC holds before they are served; a connect storm is not refused
    keepalive: float = 30.0  # s; how often a silent connection is pinged
    keepalive_timeout: float = 10.0  # s; a connection that leaves a ping unanswered for so long is closed
