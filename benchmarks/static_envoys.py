"""Envoys as one writes them by hand for two hops: a caller's listener, a callee's listener, and what lies behind each.

Rule: the plain pair is the least that does the same for an HTTP/1.1 request: no retries, no ejection, no logs, no statistics
but Envoy's own defaults. What a mesh adds is in ADDITIONS, one by one, so that each can be measured alone.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tsunagu_sidecar import bootstrap

Config = dict[str, Any]
_TYPE = "type.googleapis.com/envoy."
_HTTP = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_NO_LIMIT = 2147483647
PROCESS = "statistics, watchdogs, limits"


@dataclass(frozen=True)
class Hop:
    """One listener and where it leads; `egress`: it is the caller's."""

    listen: int
    target: tuple[str, int]
    egress: bool
    additions: tuple[str, ...] = ()


def write(path: Path, hops: Sequence[Hop]) -> None:
    """Write the file of one Envoy with these hops. What is added to the whole process is what the first of them asks for."""
    made = [_with_additions(hop) for hop in hops]
    parts = [one["static_resources"] for one in made]
    joined = {kind: [found for part in parts for found in part[kind]] for kind in ("listeners", "clusters")}
    path.write_text(json.dumps({**made[0], "static_resources": joined}, indent=1))


def _with_additions(hop: Hop) -> Config:
    config = _plain(hop)
    for name in hop.additions:
        ADDITIONS[name](config, hop.egress)
    return config


def _plain(hop: Hop) -> Config:
    name = f"next-{hop.listen}"
    manager = {
        "@type": f"{_TYPE}extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "ingress.static",  # kept by the mesh's filter of statistics, too
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [_route(name)]}]},
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"{_TYPE}extensions.filters.http.router.v3.Router"},
            }
        ],
    }
    chain = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
    assignment = {
        "cluster_name": name,
        "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _address(*hop.target)}}]}],
    }
    return {
        "static_resources": {
            "listeners": [
                {"name": f"in-{hop.listen}", "address": _address("0.0.0.0", hop.listen), "filter_chains": [chain]}
            ],
            "clusters": [{"name": name, "type": "STATIC", "connect_timeout": "1s", "load_assignment": assignment}],
        }
    }


def _route(cluster: str) -> Config:
    return {"match": {"prefix": "/"}, "route": {"cluster": cluster}}


def _address(ip: str, port: int) -> Config:
    return {"socket_address": {"address": ip, "port_value": port}}


def _manager(config: Config) -> Config:
    found: Config = config["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    return found


def _action(config: Config) -> Config:
    found: Config = _manager(config)["route_config"]["virtual_hosts"][0]["routes"][0]["route"]
    return found


def _cluster(config: Config) -> Config:
    found: Config = config["static_resources"]["clusters"][0]
    return found


# -- what a mesh adds --------------------------------------------------------------------------------------------------


def _retries(config: Config, egress: bool) -> None:
    if egress:
        _action(config)["retry_policy"] = {
            "retry_on": "connect-failure,refused-stream,reset,retriable-status-codes",
            "retriable_status_codes": [503],
            "num_retries": 2,
            "host_selection_retry_max_attempts": 3,
            "retry_host_predicate": [
                {
                    "name": "envoy.retry_host_predicates.previous_hosts",
                    "typed_config": {"@type": f"{_TYPE}extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"},
                }
            ],
        }


def _timeouts(config: Config, _egress: bool) -> None:
    _action(config).update({"timeout": "15s", "idle_timeout": "300s"})


def _ejection(config: Config, egress: bool) -> None:
    if egress:
        _cluster(config)["outlier_detection"] = {
            "consecutive_5xx": 5,
            "interval": "10s",
            "always_eject_one_host": True,
            "enforcing_success_rate": 0,
        }


def _limits(config: Config, _egress: bool) -> None:
    names = ("max_connections", "max_pending_requests", "max_requests", "max_retries")
    _cluster(config)["circuit_breakers"] = {"thresholds": [dict.fromkeys(names, _NO_LIMIT)]}


def _options(config: Config, _egress: bool) -> None:
    _cluster(config)["typed_extension_protocol_options"] = {
        _HTTP: {
            "@type": f"{_TYPE.removesuffix('envoy.')}{_HTTP}",
            "common_http_protocol_options": {"idle_timeout": "300s"},
            "explicit_http_config": {"http_protocol_options": {}},
        }
    }


def _locality(config: Config, egress: bool) -> None:
    if egress:
        _cluster(config)["common_lb_config"] = {"locality_weighted_lb_config": {}, "update_merge_window": "0s"}
        (group,) = _cluster(config)["load_assignment"]["endpoints"]
        group.update({"locality": {"region": "local"}, "load_balancing_weight": 1})


def _addresses(config: Config, egress: bool) -> None:
    if not egress:
        _manager(config).update({"use_remote_address": True, "preserve_external_request_id": True})


def _upgrades(config: Config, _egress: bool) -> None:
    _manager(config)["upgrade_configs"] = [{"upgrade_type": "websocket"}]


def _egress_log(config: Config, egress: bool) -> None:
    """An access log that is off, as that of a task's calls is: its runtime key is looked at for each request."""
    if egress:
        _manager(config)["access_log"] = [
            {
                "name": "envoy.access_loggers.stdout",
                "filter": {
                    "runtime_filter": {"runtime_key": "tsunagu.egress_log", "percent_sampled": {"numerator": 0}}
                },
                "typed_config": {"@type": f"{_TYPE}extensions.access_loggers.stream.v3.StdoutAccessLog"},
            }
        ]


def _process(config: Config, _egress: bool) -> None:
    """What the sidecar's bootstrap says of the whole process: fewer statistics, slow watchdogs, a limit of connections."""
    settings = bootstrap.Settings("default/static-1", "static.bench", "", "/none", "/none")
    ours = bootstrap.bootstrap(settings)
    config.update({name: ours[name] for name in ("stats_config", "watchdogs", "layered_runtime", "overload_manager")})


ADDITIONS: dict[str, Callable[[Config, bool], None]] = {
    "retries": _retries,
    "timeouts": _timeouts,
    "ejection": _ejection,
    "no limits": _limits,
    "protocol options": _options,
    "weighted localities": _locality,
    "caller's address": _addresses,
    "upgrades": _upgrades,
    "egress log, off": _egress_log,
    PROCESS: _process,
}
