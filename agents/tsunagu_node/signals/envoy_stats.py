"""Makes flows of what one Envoy says that it has counted (`/stats` as JSON, with its buckets).

Rule: a stat is known by its whole name, so no duplicate (`.external.`, a worker's, an endpoint zone's) is counted as well. Envoy
does not mention a counter that is 0 (`usedonly`), so what is missing of a flow is 0; a flow of which nothing is mentioned is not
there. What each number is, and where it is read: docs/metrics.md.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from tsunagu.model.identity import modes
from tsunagu.v1 import objects_pb2, signals_pb2

INGRESS: Final = "ingress"
EGRESS: Final = "egress"
MOST_FLOWS: Final = 2000
"""More than these of one Envoy are not read."""

#: The end of the name of a stat of a cluster `svc/NAMESPACE/NAME` -> the field of the flow to it.
_EGRESS: Final[Mapping[str, str]] = {
    "upstream_cx_total": "connections",
    "upstream_cx_connect_fail": "connect_failures",
    "upstream_cx_rx_bytes_total": "bytes_received",
    "upstream_cx_tx_bytes_total": "bytes_sent",
    "upstream_cx_active": "active_connections",
    "upstream_rq_completed": "requests",
    "upstream_rq_total": "attempts",
    "upstream_rq_active": "active_requests",
    "upstream_rq_1xx": "responses_1xx",
    "upstream_rq_2xx": "responses_2xx",
    "upstream_rq_3xx": "responses_3xx",
    "upstream_rq_4xx": "responses_4xx",
    "upstream_rq_5xx": "responses_5xx",
    "upstream_rq_retry": "retries",
    "upstream_rq_timeout": "timeouts",
    "upstream_rq_pending_overflow": "overflows",
    "upstream_rq_active_overflow": "overflows",
    "upstream_cx_overflow": "overflows",
    "outlier_detection.ejections_enforced_total": "ejections",
    "outlier_detection.ejections_active": "ejections_active",
    "ssl.connection_error": "tls_errors",
    "ssl.fail_verify_no_cert": "tls_errors",
    "ssl.fail_verify_error": "tls_errors",
    "ssl.fail_verify_san": "tls_errors",
    "ssl.fail_verify_cert_hash": "tls_errors",
}
#: The same of the app's cluster -> the field of the flow through its port.
_APP: Final[Mapping[str, str]] = {
    "upstream_rq_1xx": "responses_1xx",
    "upstream_rq_2xx": "responses_2xx",
    "upstream_rq_3xx": "responses_3xx",
    "upstream_rq_4xx": "responses_4xx",
    "upstream_rq_5xx": "responses_5xx",
    "upstream_rq_timeout": "timeouts",
    "grpc.total": "grpc_requests",
    "grpc.failure": "grpc_failures",
}
#: The same of `http.ingress.PORTNAME` and `tcp.ingress.PORTNAME`.
_PORT: Final[Mapping[str, str]] = {
    "downstream_rq_total": "requests",
    "downstream_rq_active": "active_requests",
    "downstream_cx_rx_bytes_total": "bytes_received",
    "downstream_cx_tx_bytes_total": "bytes_sent",
    "rbac.allowed": "access_allowed",
    "rbac.denied": "access_refused",
    "rbac.shadow_denied": "access_audited",
}
#: The same of the listener of an ingress port.
_LISTENER: Final[Mapping[str, str]] = {
    "downstream_cx_total": "connections",
    "downstream_cx_active": "active_connections",
    "ssl.connection_error": "tls_errors",
    "ssl.fail_verify_no_cert": "tls_errors",
    "ssl.fail_verify_error": "tls_errors",
    "ssl.fail_verify_san": "tls_errors",
    "ssl.fail_verify_cert_hash": "tls_errors",
}
#: Stats of an ingress port's listener that tell of something else, too: whom a tcp port does not admit fails in the handshake.
_ALSO: Final = {"ssl.fail_verify_san": "access_refused"}
_LATENCY: Final = "upstream_rq_time"

_PROXY: Final = re.compile(r"tsunagu(?:; error=(?P<error>[\w-]+))?")

_SERVICE = r"svc/(?P<namespace>[^/]+)/(?P<name>[^/.]+)(?:/(?P<revision>[^/.]+/[^/.]+/[^/.]+))?"
_SERVICE_CLUSTER = re.compile(rf"cluster\.{_SERVICE}\.(?P<stat>.+)")
_APP_CLUSTER = re.compile(r"cluster\.app/[^/]+/[^/]+/[^/]+/(?P<port>[^/.]+)\.(?P<stat>.+)")
_PORT_STAT = re.compile(r"(?:http|tcp)\.ingress\.(?P<port>[^.]+)\.(?P<stat>.+)")
_LISTENER_STAT = re.compile(r"listener\.0\.0\.0\.0_(?P<number>\d+)\.(?P<stat>.+)")
_FLAGGED = re.compile(
    r"flagged\.(?:egress|ingress\.(?P<port>[^.]+))\.responses"
    r"\.to\.(?P<to>.*)\.code\.(?P<code>\d+)\.flags\.(?P<flags>[\w,-]*)\.grpc\.(?P<grpc>[\d-]*)\.proxy\.(?P<proxy>.*)"
)
_CLUSTER = re.compile(_SERVICE)
#: Direction, namespace, discovery name or (ingress) port name, target revision.
_Key: TypeAlias = tuple[str, str, str, str]


def _any(fields: Iterable[str]) -> str:
    return "|".join(sorted(re.escape(name) for name in fields))


def _says_something(flow: signals_pb2.Flow) -> bool:
    """Whether a flow is worth a place: of names that nobody calls there may be thousands."""
    if flow.direction == INGRESS or flow.flags:
        return True
    return any((flow.connections, flow.requests, flow.attempts, flow.connect_failures, flow.ejections_active))


#: What Envoy is asked for (RE2, matched anywhere in a name).
FILTER: Final = (
    rf"^(cluster\.svc/[^/]+/[^/.]+(/[^/.]+/[^/.]+/[^/.]+)?\.({_any([*_EGRESS, _LATENCY])})"
    rf"|cluster\.app/[^.]+\.({_any([*_APP, _LATENCY])})"
    rf"|(http|tcp)\.ingress\.[^.]+\.({_any(_PORT)})"
    rf"|listener\.0\.0\.0\.0_[0-9]+\.({_any(_LISTENER)})"
    r"|flagged\..*)$"
)
FLUSH: Final = "/stats?format=json&type=TextReadouts&filter=^$"
"""Has Envoy merge its histograms, which it does after it has answered; the next request sees them. Text readouts are the fewest
stats to look through.
"""


class FlowReader:
    """Reads the flows of one task. `ports`: those that its service offers."""

    def __init__(self, namespace: str, ports: Sequence[objects_pb2.ServicePort]) -> None:
        self._namespace = namespace
        self._ports = {port.port_name: port for port in ports}
        self._numbers = {
            number: port.port_name
            for index, port in enumerate(ports)
            for number in (port.ingress_port, modes.tls_port(index))
        }

    def read(self, answer: Mapping[str, Any]) -> list[signals_pb2.Flow]:
        """Return the flows: of every port, and of the names that were called. Raises LookupError, TypeError, ValueError: it is no such answer."""
        gathering = _Gathering(self._namespace, self._ports, self._numbers)
        for stat in answer["stats"]:
            if "histograms" in stat:
                for detail in stat["histograms"]["details"]:
                    gathering.histogram(detail["name"], detail["totals"])
            else:
                gathering.number(stat["name"], stat["value"])
        return gathering.flows()


class _Gathering:
    """The flows of one answer, while its stats are read one by one."""

    def __init__(
        self, namespace: str, ports: Mapping[str, objects_pb2.ServicePort], numbers: Mapping[int, str]
    ) -> None:
        self._namespace, self._ports, self._numbers = namespace, ports, numbers
        self._flows: dict[_Key, signals_pb2.Flow] = {}
        self._numbers_of: dict[_Key, dict[str, int]] = defaultdict(lambda: defaultdict(int))

    def number(self, name: str, value: int) -> None:
        if found := _FLAGGED.fullmatch(name):
            self._flagged(found, value)
            return
        key, stat, fields = self._place(name)
        if key and stat in fields:
            self._numbers_of[key][fields[stat]] += value
            if fields is _LISTENER and stat in _ALSO:
                self._numbers_of[key][_ALSO[stat]] += value

    def histogram(self, name: str, totals: Sequence[Mapping[str, Any]]) -> None:
        key, stat, _ = self._place(name)
        if key is None or stat != _LATENCY:
            return
        latency = self._flow(key).latency
        for bucket in sorted(totals, key=lambda one: one["lower_bound"]):
            latency.lower_us.append(round(bucket["lower_bound"] * 1000))
            latency.counts.append(bucket["count"])

    def flows(self) -> list[signals_pb2.Flow]:
        for key, numbers in self._numbers_of.items():
            flow = self._flow(key)
            for field, value in numbers.items():
                setattr(flow, field, value)
        for port in self._ports:
            self._flow((INGRESS, self._namespace, port, ""))  # that nothing came is known, and is a sample
        told = [key for key, flow in self._flows.items() if _says_something(flow)]
        return [self._flows[key] for key in sorted(told, reverse=True)[:MOST_FLOWS]]

    def _place(self, name: str) -> tuple[_Key | None, str, Mapping[str, str]]:
        """Return the key of the flow that a stat tells of, the end of its name, and what such ends mean."""
        for pattern, fields in _TABLES:
            if found := pattern.fullmatch(name):
                return self._key(found), found["stat"], fields
        return None, "", {}

    def _key(self, found: re.Match[str]) -> _Key | None:
        groups = found.groupdict()
        if "name" in groups:
            return EGRESS, groups["namespace"], groups["name"], groups["revision"] or ""
        port = groups.get("port") or self._numbers.get(int(groups.get("number") or 0), "")
        return (INGRESS, self._namespace, port, "") if port in self._ports else None

    def _flow(self, key: _Key) -> signals_pb2.Flow:
        if key not in self._flows:
            direction, namespace, name, revision = key
            flow = signals_pb2.Flow(direction=direction, namespace=namespace, discovery_name=name)
            flow.target_revision = revision
            if direction == INGRESS:
                port = self._ports[name]
                flow.port_name, flow.discovery_name, flow.protocol = name, port.discovery_name, port.app_protocol
            self._flows[key] = flow
        return self._flows[key]

    def _flagged(self, found: re.Match[str], count: int) -> None:
        target = _CLUSTER.fullmatch(found["to"])
        nowhere = (EGRESS, self._namespace, "", "")
        outward = (EGRESS, target["namespace"], target["name"], target["revision"] or "") if target else nowhere
        key = outward if found["port"] is None else self._key(found)
        if key is None:
            return
        grpc = found["grpc"].strip("-")
        if key[0] == EGRESS and grpc not in ("", "0"):
            self._numbers_of[key]["grpc_failures"] += count
        proxy = _PROXY.fullmatch(found["proxy"]) if key[0] == EGRESS else None
        error = (proxy["error"] or "unknown") if proxy else ""
        flags = found["flags"].strip("-")
        self._flow(key).flags.add(
            flags=flags,
            code=int(found["code"]),
            proxy_error=error,
            count=count,
            grpc_status=int(grpc) if grpc else None,
        )


_TABLES: Final = (
    (_SERVICE_CLUSTER, _EGRESS),
    (_APP_CLUSTER, _APP),
    (_PORT_STAT, _PORT),
    (_LISTENER_STAT, _LISTENER),
)
