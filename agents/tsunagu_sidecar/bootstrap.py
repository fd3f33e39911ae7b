"""The bootstrap file of an Envoy: enough to find the control plane, which sends everything else.

Rule: it contains nothing about a service or a task's neighbours, so that a running Envoy never needs another bootstrap.
Why a field is needed stands beside it, as observed with Envoy 1.40.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

CONTROL_PLANE = "xds"
STATS = (
    "cluster.",
    "cluster_manager.",
    "control_plane.",
    "flagged.",
    "http.ingress.",
    "listener.",
    "listener_manager.",
    "server.",
    "tcp.ingress.",
    "unoffered.",
)
"""Prefixes of the stats that Envoy keeps. Draining reads `listener.` and `http.ingress.`: without them an open connection
would not be seen (see `idle`). Displays show the rest. All other stats would only cost memory."""

_HTTP2 = "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_CONNECTIONS = (
    "type.googleapis.com/envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig"
)
_NO_LIMIT = 100_000

#: The variants of xDS that a sidecar can speak -> `api_type` of its ADS stream (envoy.config.core.v3.ApiConfigSource).
VARIANTS = {"delta": "DELTA_GRPC", "sotw": "GRPC"}
DELTA = "delta"


@dataclass(frozen=True, slots=True)
class Settings:
    """What differs from one Envoy to another.

    `task` is the task's name and Envoy's node id; `cluster` its node.cluster (for display); `token` proves the task to
    the control plane (see `tsunagu.kit.tokens`); sockets are absolute paths as Envoy sees them; `variant` is one of VARIANTS;
    `runtime`: values of runtime keys, as they are until somebody posts /runtime_modify.
    """

    task: str
    cluster: str
    token: str
    xds_socket: str
    admin_socket: str
    max_connections: int = 20_000
    log_level: str = "info"
    drain_time_seconds: int = 60
    variant: str = DELTA
    runtime: Mapping[str, int] = field(default_factory=dict)

    def __repr__(self) -> str:
        """Return it without the token, which must not appear in a log."""
        return f"Settings(task={self.task!r}, xds_socket={self.xds_socket!r}, admin_socket={self.admin_socket!r})"


def bootstrap(settings: Settings) -> dict[str, Any]:
    """Return the envoy.config.bootstrap.v3.Bootstrap message as a JSON value."""
    return {
        "node": {"id": settings.task, "cluster": settings.cluster},
        "admin": {"address": {"pipe": {"path": settings.admin_socket, "mode": 0o600}}},
        "dynamic_resources": _dynamic_resources(settings.token, settings.variant),
        "static_resources": {"clusters": [_control_plane(settings.xds_socket)]},
        # Histograms are merged when somebody reads stats, and not each 5 s whether or not anybody does.
        "stats_flush_on_admin": True,
        "stats_config": {"stats_matcher": {"inclusion_list": {"patterns": [{"prefix": prefix} for prefix in STATS]}}},
        "watchdogs": {"main_thread_watchdog": _watchdog(), "worker_watchdog": _watchdog()},
        "layered_runtime": {
            "layers": [
                {"name": "static", "static_layer": dict(settings.runtime)},
                {"name": "admin", "admin_layer": {}},
            ]
        },
        "overload_manager": _overload_manager(settings.max_connections),
    }


def render(settings: Settings) -> str:
    """Return the text of the bootstrap file. It contains the token: the file should have mode 0600."""
    return json.dumps(bootstrap(settings), indent=1) + "\n"


def _dynamic_resources(token: str, variant: str) -> dict[str, Any]:
    # 0s: wait for the first answer for ever; with a timeout a slow control plane would leave Envoy LIVE but empty.
    source = {"resource_api_version": "V3", "ads": {}, "initial_fetch_timeout": "0s"}
    return {
        "ads_config": {
            "api_type": VARIANTS[variant],
            "transport_api_version": "V3",
            "set_node_on_first_message_only": True,  # Node is 61 KB; otherwise it comes with every ACK
            "grpc_services": [_ads_service(token)],
        },
        "cds_config": source,
        "lds_config": source,
    }


def _ads_service(token: str) -> dict[str, Any]:
    return {
        "envoy_grpc": {
            "cluster_name": CONTROL_PLANE,
            # Envoy's own default grows to 30 s: a restarted control plane would wait as long for its proxies.
            "retry_policy": {"retry_back_off": {"base_interval": "0.1s", "max_interval": "1s"}},
        },
        "initial_metadata": [{"key": "authorization", "value": f"Bearer {token}"}],
    }


def _control_plane(socket: str) -> dict[str, Any]:
    keepalive = {"interval": "30s", "timeout": "5s"}
    endpoint = {"endpoint": {"address": {"pipe": {"path": socket}}}}
    limits = {"max_connections": _NO_LIMIT, "max_pending_requests": _NO_LIMIT, "max_requests": _NO_LIMIT}
    return {
        "name": CONTROL_PLANE,
        "type": "STATIC",
        "connect_timeout": "1s",
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": _HTTP2,
                "explicit_http_config": {"http2_protocol_options": {"connection_keepalive": keepalive}},
            },
        },
        "circuit_breakers": {"thresholds": [{"priority": "DEFAULT", **limits}]},
        "load_assignment": {"cluster_name": CONTROL_PLANE, "endpoints": [{"lb_endpoints": [endpoint]}]},
    }


def _watchdog() -> dict[str, Any]:
    # The default wakes every thread each 100 ms: 0.2 % of a core per idle Envoy, against 0.04 % with this.
    return {"miss_timeout": "10s", "megamiss_timeout": "20s"}


def _overload_manager(max_connections: int) -> dict[str, Any]:
    limit = {"@type": _CONNECTIONS, "max_active_downstream_connections": max_connections}
    return {
        "resource_monitors": [
            {"name": "envoy.resource_monitors.global_downstream_max_connections", "typed_config": limit},
        ],
    }
