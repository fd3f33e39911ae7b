"""What grpcio has to be told, so that it serves many clients, and bears those that mean harm.

Rule: whatever gRPC can refuse by itself is refused there: it costs no memory and no time of the event loop. Each option
has the surprise beside it that it prevents (docs/adr/0015-limits-of-clients.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tsunagu.serve.xds.limits import Limits


def grpc_options(limits: Limits) -> tuple[tuple[str, int], ...]:
    """The options of the server."""
    ping_timeout = _milliseconds(limits.keepalive_timeout)
    return (
        ("grpc.so_reuseport", 0),  # or a second server silently shares the port
        ("grpc.http2.max_ping_strikes", 0),  # or clients that ping often are disconnected (docs/protocol.md 12)
        ("grpc.server.max_pending_requests", limits.pending_calls),  # or a part of a connect storm is cancelled
        ("grpc.server.max_pending_requests_hard_limit", limits.pending_calls),
        ("grpc.keepalive_time_ms", _milliseconds(limits.keepalive)),
        ("grpc.keepalive_timeout_ms", ping_timeout),
        ("grpc.http2.ping_timeout_ms", ping_timeout),  # ends half-open connections; else a minute
        ("grpc.http2.max_pings_without_data", 0),  # or an idle stream is pinged twice, and never again
        ("grpc.max_receive_message_length", limits.message_bytes),  # a larger one is refused by its header, unread
        ("grpc.per_message_decompression", 0),  # or 50 KB become 50 MB, past the limit; no client of xDS compresses
        ("grpc.http2.bdp_probe", 0),  # or a stream that nobody reads may fill megabytes instead of 64 KB
        ("grpc.max_concurrent_streams", limits.streams_per_connection),
        ("grpc.max_allowed_incoming_connections", limits.connections),  # or clients take all descriptors
        ("grpc.server_handshake_timeout_ms", _milliseconds(limits.handshake)),  # who does not speak TLS; else 2 minutes
        ("grpc.http2.settings_timeout", _milliseconds(limits.handshake)),  # who does not speak HTTP/2
        ("grpc.max_connection_idle_ms", _milliseconds(limits.idle_connection)),  # who opens no stream; else for ever
    )


def _milliseconds(seconds: float) -> int:
    return max(1, int(seconds * 1000))
