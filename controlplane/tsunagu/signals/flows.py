"""Arithmetic of flows: what was counted between two readings of one Envoy, or one relay, and sums over tasks and times.

Rule: a counter that is less than before was counted anew from 0 (its cluster was taken away and came back), as Prometheus reads
counters. Nothing here is ever negative, and gauges are never subtracted: a difference has the later reading's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tsunagu.signals import latency
from tsunagu.v1 import signals_pb2

if TYPE_CHECKING:
    from collections.abc import Iterable

#: direction, namespace, discovery name, port name, target revision.
Key = tuple[str, str, str, str, str]

COUNTERS: Final = (
    *("connections", "connect_failures", "bytes_received", "bytes_sent", "tls_errors"),
    *("requests", "attempts", "responses_1xx", "responses_2xx", "responses_3xx", "responses_4xx", "responses_5xx"),
    *("grpc_requests", "grpc_failures", "retries", "timeouts", "overflows", "ejections"),
    *("access_allowed", "access_refused", "access_audited"),
)
GAUGES: Final = ("active_connections", "active_requests", "ejections_active")
INGRESS: Final = "ingress"
EGRESS: Final = "egress"
OUTSIDE: Final = "outside"


def key_of(flow: signals_pb2.Flow) -> Key:
    return flow.direction, flow.namespace, flow.discovery_name, flow.port_name, flow.target_revision


def empty(like: signals_pb2.Flow) -> signals_pb2.Flow:
    """Return a flow of the same key, in which nothing was counted."""
    return signals_pb2.Flow(
        direction=like.direction,
        namespace=like.namespace,
        discovery_name=like.discovery_name,
        port_name=like.port_name,
        protocol=like.protocol,
        target_revision=like.target_revision,
    )


def difference(after: signals_pb2.Flow, before: signals_pb2.Flow | None) -> signals_pb2.Flow:
    """Return what was counted between two readings; `before` None: since its start."""
    found = signals_pb2.Flow()
    found.CopyFrom(after)
    if before is None:
        return found
    for name in COUNTERS:
        setattr(found, name, _since(getattr(after, name), getattr(before, name)))
    earlier = {_flag(flag): flag.count for flag in before.flags}
    del found.flags[:]
    for flag in after.flags:
        count = _since(flag.count, earlier.get(_flag(flag), 0))
        if count:
            found.flags.add().CopyFrom(flag)
            found.flags[-1].count = count
    for reason, count in after.refused.items():
        found.refused[reason] = _since(count, before.refused.get(reason, 0))
    found.latency.CopyFrom(latency.difference(after.latency, before.latency))
    return found


def add(total: signals_pb2.Flow, more: signals_pb2.Flow, *, gauges: bool = False) -> None:
    """Add `more` to `total`: its counters; with `gauges` its gauges, too."""
    for name in COUNTERS:
        value = getattr(more, name)
        if value:
            setattr(total, name, getattr(total, name) + value)
    if more.flags:
        known = {_flag(flag): flag for flag in total.flags}
        for flag in more.flags:
            if _flag(flag) in known:
                known[_flag(flag)].count += flag.count
            else:
                total.flags.add().CopyFrom(flag)
    for reason, count in more.refused.items():
        total.refused[reason] = total.refused.get(reason, 0) + count
    if more.latency.counts:
        total.latency.CopyFrom(latency.total((total.latency, more.latency)))
    if gauges:
        for name in GAUGES:
            if more.HasField(name):  # type: ignore[arg-type] # the name of an optional field
                setattr(total, name, getattr(total, name) + getattr(more, name))


def replace_gauges(total: signals_pb2.Flow, last: signals_pb2.Flow) -> None:
    """Make the gauges of `total` those of `last`."""
    for name in GAUGES:
        total.ClearField(name)
        if last.HasField(name):
            setattr(total, name, getattr(last, name))


def by_key(flows: Iterable[signals_pb2.Flow]) -> dict[Key, signals_pb2.Flow]:
    return {key_of(flow): flow for flow in flows}


def _flag(flag: signals_pb2.Flag) -> tuple[str, int, str, int | None]:
    return flag.flags, flag.code, flag.proxy_error, flag.grpc_status if flag.HasField("grpc_status") else None


def _since(after: int, before: int) -> int:
    return after - before if after >= before else after
