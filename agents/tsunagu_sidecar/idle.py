"""Decides from Envoy's stats when a task's app may be stopped: when nothing has gone through its ingress for a while.

Rule: a missing stat is an error, never "idle". That the removal of the endpoint was ACKed is not enough, since a request
may still start some ms later; and a stats inclusion list that lost a prefix would otherwise cut connections silently.

What is not read is not known: it has been idle between two reads that say so, and not since. On a machine whose processors are all taken a
read may take longer than the idleness that it is to show, and the next one come late.

HTTP counts requests (a caller's idle keep-alive connection delays nothing), TCP counts connections. Between two reads of
the stats a short request may come and go, so a total that changed breaks the idleness, as an active request does.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

IDLE_SECONDS = 0.25

CALLS = r"^cluster[.]svc/.*[.]upstream_rq_(active|total)$"
"""The regular expression for `Admin.stats` that matches the stats of calls to services. A request of HTTP counts until it
is answered, a connection of TCP until it is closed."""


class MissingGauge(Exception):
    """Envoy does not report the stats from which idleness is known."""

    def __init__(self, missing: Iterable[str]) -> None:
        self.missing = tuple(missing)
        super().__init__(
            f"Envoy reports no {', '.join(self.missing)}: cannot tell whether the ingress is idle"
            " (is the listener there, and the stat in the bootstrap's inclusion list?)",
        )


@dataclass(frozen=True, slots=True)
class IngressPort:
    """One ingress listener: its port name, its port, and whether it speaks HTTP (http, http2, grpc)."""

    name: str
    port: int
    http: bool


class Read(NamedTuple):
    """When stats were asked for, and when they came (monotonic seconds); Envoy read them at some time between the two."""

    asked: float
    answered: float


@dataclass(frozen=True, slots=True)
class Idleness:
    """How idle an ingress is. `since`, `until`: the time that is known to have been idle (monotonic seconds); `since` None: busy.
    `totals`, `active`: as last read.
    """

    since: float | None = None
    totals: tuple[int, ...] | None = None
    active: int = 0
    until: float = 0.0

    def reached(self, seconds: float = IDLE_SECONDS) -> bool:
        """Return whether it was idle for `seconds` without a break."""
        return self.since is not None and self.until - self.since >= seconds


def gauges(ports: Iterable[IngressPort]) -> tuple[str, ...]:
    """Return the names of the stats that count what is under way."""
    return tuple(f"{_prefix(port)}_active" for port in ports)


def totals(ports: Iterable[IngressPort]) -> tuple[str, ...]:
    """Return the names of the stats that count what has ever come."""
    return tuple(f"{_prefix(port)}_total" for port in ports)


def stats_filter(ports: Iterable[IngressPort]) -> str:
    """Return the regular expression for `Admin.stats` that matches just these stats."""
    return "^(" + "|".join(re.escape(_prefix(port)) for port in ports) + ")_(active|total)$"


def observe(before: Idleness, stats: Mapping[str, int], ports: Iterable[IngressPort], read: Read) -> Idleness:
    """Return the idleness after `stats` were read. Raises MissingGauge."""
    ports = tuple(ports)
    missing = [name for name in (*gauges(ports), *totals(ports)) if name not in stats]
    if missing:
        raise MissingGauge(missing)
    return _seen(before, [stats[name] for name in gauges(ports)], [stats[name] for name in totals(ports)], read)


def observe_calls(before: Idleness, stats: Mapping[str, int], read: Read) -> Idleness:
    """Return the same for the calls that a gateway's proxy makes for its clients (stats of the pattern `CALLS`).

    Raises MissingGauge.
    """
    active = [value for name, value in stats.items() if name.endswith("_active")]
    if not active:
        raise MissingGauge(["cluster.svc/*.upstream_rq_active"])
    return _seen(before, active, [value for name, value in sorted(stats.items()) if name.endswith("_total")], read)


def _seen(before: Idleness, active: Iterable[int], counted: Iterable[int], read: Read) -> Idleness:
    busy, counts = sum(active), tuple(counted)
    moved = before.totals is not None and before.totals != counts
    still = read.answered if moved or before.since is None else before.since
    return Idleness(since=None if busy else still, totals=counts, active=busy, until=read.asked)


def _prefix(port: IngressPort) -> str:
    return f"http.ingress.{port.name}.downstream_rq" if port.http else f"listener.0.0.0.0_{port.port}.downstream_cx"
