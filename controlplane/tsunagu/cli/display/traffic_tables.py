"""What passes through the mesh, as tables: services by what comes in, edges from a caller to what it calls, and what leaves the mesh.

The one rule: a cell of which nothing is known is "-", never 0; a number is written as a person reads it, the exact one is in JSON.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from tsunagu.cli.output import Cell
from tsunagu.signals import flows, made_by, windows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tsunagu.v1 import signals_pb2

SERVICES: Final = (
    *("SERVICE", "NAME", "TASKS", "RATE", "SUCCESS", "P50", "P99", "CONNECTIONS"),
    *("PROXY ERRORS", "REFUSED", "AUDITED"),
)
EDGES: Final = ("CALLER", "CALLS", "RATE", "SUCCESS", "P50", "P99", "CONNECTIONS", "RETRIES", "EJECTED", "FLAGS")
LEAVING: Final = ("LEAVES THE MESH", "RATE", "CONNECTIONS", "SENT", "RECEIVED", "REFUSED")
HISTORY: Final = (
    *("TIME", "WHAT", "REQUESTS", "2XX", "3XX", "4XX", "5XX", "PROXY ERRORS", "P50", "P99"),
    *("CONNECTIONS", "BYTES", "RETRIES", "EJECTED", "REFUSED"),
)
NOTHING: Final = "-"
_GOOD, _POOR = 0.999, 0.95
_LARGE: Final = 1024
_SECOND: Final = 1.0


def services(found: Sequence[signals_pb2.Window]) -> list[list[Any]]:
    """Rows of what comes in: a service, and the name of the port."""
    return [
        [
            _service(window),
            window.flow.discovery_name,
            window.tasks,
            *_figures(window),
            _gauge(window.flow, "active_connections"),
            made_by.proxy_errors(window.flow) or NOTHING,
            _refused(window.flow),
            window.flow.access_audited or NOTHING,
        ]
        for window in found
        if window.flow.direction == flows.INGRESS
    ]


def edges(found: Sequence[signals_pb2.Window]) -> list[list[Any]]:
    """Rows of what is called: the caller, and the name."""
    return [
        [
            _service(window),
            window.flow.discovery_name or "(no cluster)",
            *_figures(window),
            _gauge(window.flow, "active_connections"),
            window.flow.retries or NOTHING,
            _ejected(window.flow),
            flags(window.flow),
        ]
        for window in found
        if window.flow.direction == flows.EGRESS
    ]


def leaving(found: Sequence[signals_pb2.Window]) -> list[list[Any]]:
    """Rows of what left the mesh, through the relays of nodes: the service that called, and why connections were refused."""
    return [
        [
            _service(window),
            f"{windows.seen(window).request_rate:.1f}/s" if window.seconds else NOTHING,
            _gauge(window.flow, "active_connections"),
            size(window.flow.bytes_sent),
            size(window.flow.bytes_received),
            reasons(window.flow),
        ]
        for window in found
        if window.flow.direction == flows.OUTSIDE
    ]


def history(found: Sequence[signals_pb2.Window]) -> list[list[Any]]:
    """Rows of one service's windows by time: what it serves, who calls that, and what it calls."""
    return [
        [
            f"{datetime.fromtimestamp(window.start, UTC).astimezone():%H:%M:%S}",
            what(window),
            windows.ended(window.flow),
            *(made_by.app_responses(window.flow, hundred) or NOTHING for hundred in (2, 3, 4, 5)),
            made_by.proxy_errors(window.flow) or NOTHING,
            _milliseconds(windows.seen(window).latency(0.5)),
            _milliseconds(windows.seen(window).latency(0.99)),
            _gauge(window.flow, "active_connections"),
            size(window.flow.bytes_received + window.flow.bytes_sent),
            window.flow.retries or NOTHING,
            _ejected(window.flow),
            _refused(window.flow) if window.flow.direction == flows.INGRESS else reasons(window.flow),
        ]
        for window in found
    ]


def what(window: signals_pb2.Window) -> str:
    """Say which flow a window is of."""
    if window.flow.direction == flows.INGRESS:
        return f"serves {window.flow.discovery_name}"
    if window.flow.direction == flows.OUTSIDE:
        return f"{_service(window)} leaves the mesh"
    return f"{_service(window)} calls {window.flow.discovery_name}"


def flags(flow: signals_pb2.Flow) -> str:
    """The response flags with their counts, the most first; what the target's proxy says of its own responses beside them."""
    counts: dict[str, int] = {}
    for flag in flow.flags:
        name = " ".join(filter(None, (flag.flags, flag.proxy_error and f"({flag.proxy_error})")))
        if name:
            counts[name] = counts.get(name, 0) + flag.count
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    return ", ".join(f"{name} {count}" for name, count in ordered) or NOTHING


def reasons(flow: signals_pb2.Flow) -> Any:
    """Why connections out of the mesh were refused, each with its count, the most first."""
    ordered = sorted(flow.refused.items(), key=lambda item: (-item[1], item[0]))
    text = ", ".join(f"{reason} {count}" for reason, count in ordered if count)
    return Cell(text, "red") if text else NOTHING


def size(number: float) -> str:
    """Bytes, in short."""
    for unit in ("B", "KiB", "MiB"):
        if number < _LARGE:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= _LARGE
    return f"{number:.1f} GiB"


def _figures(window: signals_pb2.Window) -> list[Any]:
    """Rate, success, p50 and p99."""
    seen = windows.seen(window)
    errors = seen.error_rate
    return [
        f"{seen.request_rate:.1f}/s" if window.seconds else NOTHING,
        NOTHING if errors is None else Cell(f"{(1 - errors) * 100:.2f} %", _colour(1 - errors)),
        _milliseconds(seen.latency(0.5)),
        _milliseconds(seen.latency(0.99)),
    ]


def _colour(success: float) -> str:
    return "green" if success >= _GOOD else "yellow" if success >= _POOR else "red"


def _milliseconds(seconds: float | None) -> str:
    if seconds is None:
        return NOTHING
    return f"{seconds:.1f} s" if seconds >= _SECOND else f"{seconds * 1000:.0f} ms"


def _gauge(flow: signals_pb2.Flow, name: str) -> Any:
    return getattr(flow, name) if flow.HasField(name) else NOTHING  # type: ignore[arg-type]


def _refused(flow: signals_pb2.Flow) -> Any:
    """What AccessPolicies refused."""
    return Cell(str(flow.access_refused), "red") if flow.access_refused else NOTHING


def _ejected(flow: signals_pb2.Flow) -> Any:
    now = flow.ejections_active if flow.HasField("ejections_active") else 0
    return Cell(str(now), "red") if now else NOTHING


def _service(window: signals_pb2.Window) -> str:
    source = window.source
    return f"gateway {source.gateway}" if source.gateway else source.service or "(no service)"
