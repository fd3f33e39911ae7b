"""What one client, or a storm of them, may take of the server before it harms the others.

Rule: nothing that a client causes is without a bound, and each bound that an operator could want to move stands here or in
`tsunagu.xds.requests.limits`, with its unit and its reason. docs/library.md shows this table; a test holds the two equal.
"""

from __future__ import annotations

from dataclasses import dataclass

from tsunagu.xds.requests.limits import RequestLimits


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits(RequestLimits):
    """The bounds of one xDS server."""

    # Connections, of each address that is listened at.
    connections: int = 10_000  # open at a time; a connection above that is closed at once
    handshake: float = 5.0  # s; a connection that has not spoken HTTP/2 by then is closed
    idle_connection: float = 10.0  # s; a connection without a stream is closed after that
    streams_per_connection: int = 1024  # Envoy's own default for connections that it serves
    keepalive: float = 30.0  # s; how often a silent connection is pinged
    keepalive_timeout: float = 10.0  # s; a connection that leaves a ping unanswered for so long is closed
    pending_calls: int = 100_000  # streams that gRPC holds before they are served; a connect storm is not refused
    # Streams that have not proved who they are.
    first_message: float = 30.0  # s; a stream on which nothing is said for so long is closed
    first_message_hurried: float = 1.0  # s; the same while others wait to be read
    first_reads: int = 64  # such streams that are read at a time; each may make gRPC hold message_bytes
    strangers: int = 10_000  # such streams that wait to be read; one above that is refused
    first_request_bytes: int = 8 << 20  # of their first request; one that names 10,000 of 600 characters has 6 MB
    # Streams of clients that have.
    message_bytes: int = 16 << 20  # of one request; an ACK over SotW that names 10,000 of 600 characters has 6 MB
    streams_per_client: int = 1024  # open at a time under one name; Envoy may open one for each cluster's endpoints
    admitted_at_once: int = 64  # streams that get their first answers at a time; the others wait in order of arrival
    admission: float = 1.0  # s; how long a client that does not answer makes the others wait for its place
    outbox_bytes: int = 8 << 20  # of answers that wait to be written: a client that asks for more has to read first
    lookup: float = 5.0  # s; how long a name that nobody has is looked for, and the client waits for the answer
    work_burst: float = 0.25  # s of CPU that the requests of one client may take at once
    work_share: float = 0.1  # of the event loop, that they may take in the long run; above it they are read later
    silent_client: float = 5.0  # s; a client of a shared name that owes an answer for longer is not waited for
