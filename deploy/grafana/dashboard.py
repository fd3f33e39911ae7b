"""Makes dashboards/tsunagu.json: the panels of ECS's own Service Connect dashboard, and those that it does not have.

python deploy/grafana/dashboard.py    writes the file; a test compares it, and has Prometheus answer every query.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FILE = Path(__file__).parent / "dashboards" / "tsunagu.json"
_COLUMNS, _WIDTH, _HEIGHT = 3, 8, 7
_SOURCE = {"type": "prometheus", "uid": "tsunagu"}
_IN = '{namespace=~"$namespace",service=~"$service"}'
_OUT = '{namespace=~"$namespace",target=~"$target"}'
_OF_CLASS = '{{namespace=~"$namespace",target=~"$target",class=~"{}"}}'
_EVERY = "[$__rate_interval]"
_EDGE = "service, target"
_SECONDS = "tsunagu_target_response_seconds"


@dataclass(frozen=True)
class Panel:
    """One graph. `unit`: in Grafana's words. `queries`: each with the legend of its lines."""

    title: str
    unit: str
    queries: tuple[tuple[str, str], ...]
    about: str = ""


def _rate(metric: str, labels: str, by: str) -> str:
    return f"sum by ({by}) (rate({metric}{labels}{_EVERY}))"


def _quantile(share: float, metric: str, labels: str, by: str) -> str:
    every = ", ".join(filter(None, (by, "le")))
    return f"histogram_quantile({share}, sum by ({every}) (rate({metric}_bucket{labels}{_EVERY})))"


def _served(title: str, unit: str, metric: str) -> Panel:
    return Panel(title, unit, ((_rate(metric, _IN, "service"), "{{service}}"),))


def _called(title: str, unit: str, metric: str) -> Panel:
    return Panel(title, unit, ((_rate(metric, _OUT, "target"), "{{target}}"),))


def _bytes(title: str, metric: str, labels: str, of: str) -> Panel:
    return Panel(title, "Bps", ((_rate(metric, labels, f"{of}, direction"), f"{{{{{of}}}}} {{{{direction}}}}"),))


def _responses(title: str, classes: str, about: str = "") -> Panel:
    query = _rate("tsunagu_target_responses_total", _OF_CLASS.format(classes), "target, class")
    return Panel(title, "reqps", ((query, "{{target}} {{class}}"),), about)


def _edges(title: str, unit: str, *metrics: tuple[str, str], about: str = "") -> Panel:
    queries = ((_rate(metric, _OUT, _EDGE), f"{{{{service}}}} to {{{{target}}}}{word}") for metric, word in metrics)
    return Panel(title, unit, tuple(queries), about)


SERVED = (
    _served("RequestCount", "reqps", "tsunagu_ingress_requests_total"),
    Panel(
        "ActiveConnectionCount",
        "short",
        ((f"sum by (service) (tsunagu_ingress_active_connections{_IN})", "{{service}}"),),
    ),
    _served("NewConnectionCount", "cps", "tsunagu_ingress_connections_total"),
    _bytes("ProcessedBytes", "tsunagu_ingress_bytes_total", _IN, "service"),
    _served("GrpcRequestCount", "reqps", "tsunagu_ingress_grpc_requests_total"),
    _served("ClientTLSNegotiationErrorCount", "short", "tsunagu_ingress_tls_errors_total"),
)
CALLED = (
    _responses("HTTPCode_Target_2XX_Count, 3XX", "2xx|3xx"),
    _responses("HTTPCode_Target_4XX_Count, 5XX", "4xx|5xx", "What apps answered; of proxies see the next row."),
    Panel(
        "TargetResponseTime",
        "s",
        tuple(
            (_quantile(share, _SECONDS, _OUT, "target"), f"{{{{target}}}} p{share * 100:g}") for share in (0.5, 0.99)
        ),
    ),
    Panel("RequestCountPerTarget", "reqps", ((f"tsunagu:requests_per_target:rate1m{_OUT}", "{{target}}"),)),
    _bytes("TargetProcessedBytes", "tsunagu_target_bytes_total", _OUT, "target"),
    _called("TargetTLSNegotiationErrorCount", "short", "tsunagu_target_tls_errors_total"),
)
WRONG = (
    _edges("Requests per caller", "reqps", ("tsunagu_target_requests_total", "")),
    Panel(
        "Share of calls that failed",
        "percentunit",
        ((f"tsunagu:target_failures:ratio1m{_OUT}", "{{service}} to {{target}}"),),
        "5xx of apps, gRPC statuses other than OK, and what proxies answered because something was wrong.",
    ),
    Panel("p99 per caller", "s", ((_quantile(0.99, _SECONDS, _OUT, _EDGE), "{{service}} to {{target}}"),)),
    Panel(
        "Response flags",
        "reqps",
        (
            (
                _rate("tsunagu_target_flagged_total", _OUT, "target, flags, code, proxy_error"),
                "{{target}} {{flags}} {{code}} {{proxy_error}}",
            ),
        ),
        "docs/why.md explains each flag.",
    ),
    _edges(
        "Retries, timeouts, overflows",
        "reqps",
        ("tsunagu_target_retries_total", " retried"),
        ("tsunagu_target_timeouts_total", " timed out"),
        ("tsunagu_target_overflows_total", " refused"),
    ),
    Panel("Ejected endpoints", "short", ((f"max by (target) (tsunagu_target_ejections_active{_OUT})", "{{target}}"),)),
)
CONTROL_PLANE = (
    Panel("CPU", "percentunit", (("rate(tsunagu_process_cpu_seconds_total[$__rate_interval])", "serve"),)),
    Panel("Memory", "bytes", (("tsunagu_process_resident_bytes", "serve"), ("tsunagu_signals_bytes", "samples"))),
    Panel("Refused resources", "short", ((_rate("tsunagu_xds_nacks_total", "", "type"), "{{type}}"),)),
    Panel("Convergence, p99", "s", ((_quantile(0.99, "tsunagu_xds_convergence_seconds", "", ""), "of proxies"),)),
    Panel("Tasks with samples", "short", (("tsunagu_signals_tasks", "tasks"),)),
    Panel("The mesh answers", "short", (('up{job="tsunagu"}', "up"),)),
)
LEAVING = (
    Panel(
        "Connections out of the mesh",
        "cps",
        (
            (_rate("tsunagu_outside_connections_total", _IN, "service"), "{{service}}"),
            (f"sum by (service) (tsunagu_outside_active_connections{_IN})", "{{service}}, open now"),
        ),
        "Through the relays of nodes.",
    ),
    Panel(
        "Bytes to places outside",
        "Bps",
        ((_rate("tsunagu_outside_bytes_total", _IN, "service, direction"), "{{service}} {{direction}}"),),
    ),
    Panel(
        "Refused out of the mesh",
        "cps",
        ((_rate("tsunagu_outside_refused_total", _IN, "service, reason"), "{{service}} {{reason}}"),),
        "docs/egress.md explains each reason; `tsunagu describe task` shows the places.",
    ),
)

ROWS = (
    ("What services serve (DiscoveryName)", SERVED),
    ("What callers see of their targets (TargetDiscoveryName)", CALLED),
    ("Per caller, and what goes wrong", WRONG),
    ("What leaves the mesh", LEAVING),
    ("The control plane", CONTROL_PLANE),
)


def dashboard() -> dict[str, Any]:
    """Return the dashboard as Grafana reads it."""
    variables = [
        _variable("namespace", "tsunagu_ingress_requests_total"),
        _variable("service", "tsunagu_ingress_requests_total"),
        _variable("target", "tsunagu_target_connections_total"),
    ]
    return {
        "uid": "tsunagu",
        "title": "Service Connect",
        "tags": ["tsunagu"],
        "schemaVersion": 39,
        "refresh": "10s",
        "time": {"from": "now-30m", "to": "now"},
        "templating": {"list": variables},
        "panels": list(_panels()),
    }


def _panels() -> Iterator[dict[str, Any]]:
    number, top = 1, 0
    for title, panels in ROWS:
        yield {
            "id": number,
            "type": "row",
            "title": title,
            "gridPos": {"h": 1, "w": 24, "x": 0, "y": top},
            "panels": [],
        }
        number, top = number + 1, top + 1
        for at, panel in enumerate(panels):
            place = {"h": _HEIGHT, "w": _WIDTH, "x": at % _COLUMNS * _WIDTH, "y": top + at // _COLUMNS * _HEIGHT}
            yield _graph(number, panel, place)
            number += 1
        top += -(-len(panels) // _COLUMNS) * _HEIGHT


def _graph(number: int, panel: Panel, place: dict[str, int]) -> dict[str, Any]:
    return {
        "id": number,
        "type": "timeseries",
        "title": panel.title,
        "description": panel.about,
        "datasource": _SOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
        "targets": [
            {"refId": chr(ord("A") + at), "expr": query, "legendFormat": legend, "datasource": _SOURCE}
            for at, (query, legend) in enumerate(panel.queries)
        ],
    }


def _variable(name: str, metric: str) -> dict[str, Any]:
    return {
        "name": name,
        "type": "query",
        "datasource": _SOURCE,
        "query": {"query": f"label_values({metric}, {name})", "refId": name},
        "refresh": 2,
        "includeAll": True,
        "allValue": ".*",
        "multi": True,
        "current": {"text": "All", "value": "$__all"},
    }


def text() -> str:
    """Return what the file holds."""
    return json.dumps(dashboard(), indent=1) + "\n"


if __name__ == "__main__":
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(text())
