"""Reads where a namespace's proxies send their spans, and how many requests they trace.

The one rule: whether a task's proxy traces at all is part of its service revision, since it is in the proxy's listeners, which
do not change while the task lives; the collector and the percentage may change at any time.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tsunagu.model.references import State
    from tsunagu.v1 import objects_pb2

DEFAULT_PERCENTAGE = 100.0


def is_on(namespace: str, state: State) -> bool:
    """Whether tasks that are deployed now trace."""
    found = state.get("Namespace", {}).get(namespace)
    return found is not None and bool(found.namespace.tracing.collector)


def percentage(tracing: objects_pb2.Tracing) -> float:
    """Of the requests that do not belong to a trace yet, how many begin one."""
    return tracing.sampling_percentage if tracing.HasField("sampling_percentage") else DEFAULT_PERCENTAGE


def address(collector: str) -> tuple[str, int]:
    """Return (DNS name or IP, port). Raises ValueError if the text is not of the form HOST:PORT."""
    host, _, port = collector.rpartition(":")
    if not host or not port.isascii() or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError(f"{collector!r} is not HOST:PORT")
    return host.removeprefix("[").removesuffix("]"), int(port)


def is_ip(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
