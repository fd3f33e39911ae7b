"""What an Envoy has, as tables: its listeners, routes, clusters and endpoints, read from its admin interface.

They are what Envoy itself says, not what it was sent: a listener that drains, a host that it has ejected, a cluster of its
bootstrap are there too. The one rule: a row is one way that a request can go (a filter chain, a route, a host), so that one
can follow it from table to table: listener -> route -> cluster -> endpoint.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

from tsunagu.cli.output import Cell

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

Tree: TypeAlias = "Mapping[str, Any]"
Row: TypeAlias = "list[Any]"

DUMP: Final = "/config_dump?include_eds"
LIVE: Final = "/clusters?format=json"
EVERYTHING: Final = "ALL"
_STATE: Final = {"active": "green", "warming": "yellow", "draining": "yellow"}


def _section(dump: Tree, name: str) -> Tree:
    found = (section for section in dump.get("configs", ()) if section["@type"].rpartition(".")[2] == name)
    return next(found, {})


def _state(word: str) -> Cell:
    return Cell(word, _STATE.get(word, ""))


def address_of(address: Tree) -> str:
    """10.88.0.3:8080, or the path of a socket."""
    if "pipe" in address:
        return str(address["pipe"].get("path", ""))
    socket = address.get("socket_address", {})
    host = socket.get("address", "")
    return f"[{host}]:{socket.get('port_value', 0)}" if ":" in host else f"{host}:{socket.get('port_value', 0)}"


# Listeners: a row for each filter chain.


def listeners(dump: Tree) -> Iterator[Row]:
    """NAME, ADDRESS, STATE, MATCH, DESTINATION."""
    section = _section(dump, "ListenersConfigDump")
    for one in section.get("static_listeners", ()):
        yield from _listener(one["listener"], "active")
    for one in sorted(section.get("dynamic_listeners", ()), key=lambda one: str(one.get("name", ""))):
        for state in ("active", "warming", "draining"):
            if held := one.get(f"{state}_state"):
                yield from _listener(held.get("listener", {"name": one.get("name", "")}), state)


def _listener(listener: Tree, state: str) -> Iterator[Row]:
    bound = "" if listener.get("bind_to_port", True) else " (not bound)"
    head = [listener.get("name", ""), address_of(listener.get("address", {})) + bound, _state(state)]
    default = listener.get("default_filter_chain")
    chains = [*listener.get("filter_chains", ()), *([default] if default else [])]
    for chain in chains or [{}]:
        yield [*head, _chain_match(chain.get("filter_chain_match", {})), _destination(chain)]


def _chain_match(match: Tree) -> str:
    ranges = [f"{one.get('address_prefix')}/{one.get('prefix_len', 32)}" for one in match.get("prefix_ranges", ())]
    parts = [
        f"port {match['destination_port']}" if match.get("destination_port") else "",
        ", ".join(ranges),
        " ".join(["SNI", *match["server_names"]]) if match.get("server_names") else "",
        f"transport {match['transport_protocol']}" if match.get("transport_protocol") else "",
        ", ".join(match.get("application_protocols", ())),
    ]
    return "; ".join(filter(None, parts)) or EVERYTHING


def _destination(chain: Tree) -> str:
    """Where a filter chain leads: the last of its filters says it."""
    filters = chain.get("filters", ())
    if not filters:
        return "nowhere"
    name, config = filters[-1].get("name", ""), filters[-1].get("typed_config", {})
    kind = str(config.get("@type", "")).rpartition(".")[2]
    if kind == "HttpConnectionManager":
        route = config.get("rds", {}).get("route_config_name") or config.get("route_config", {}).get("name", "")
        return f"route {route}" if "rds" in config else f"its own route {route}".rstrip()
    if kind == "TcpProxy":
        return _clusters_of(config)
    return f"filter {name}"


# Routes: a row for each route of a virtual host.


def routes(dump: Tree) -> Iterator[Row]:
    """NAME, VIRTUAL HOST, DOMAINS, MATCH, DESTINATION, TIMEOUT, RETRIES."""
    section = _section(dump, "RoutesConfigDump")
    configs = [*section.get("dynamic_route_configs", ()), *section.get("static_route_configs", ())]
    for config in sorted((one.get("route_config", {}) for one in configs), key=lambda one: str(one.get("name", ""))):
        for host in config.get("virtual_hosts", ()):
            for route in host.get("routes", ()) or [{}]:
                yield [
                    config.get("name", ""), host.get("name", ""), ", ".join(host.get("domains", ())),
                    _route_match(route.get("match", {})), *_route_action(route),
                ]  # fmt: skip


def _route_match(match: Tree) -> str:
    paths: dict[str, Callable[[Any], str]] = {
        "prefix": lambda text: f"{text}*",
        "path": str,
        "path_separated_prefix": lambda text: f"{text}/*",
        "safe_regex": lambda regex: f"~{regex.get('regex', '')}",
    }
    path = next((shown(match[kind]) for kind, shown in paths.items() if kind in match), "")
    headers = [f"{one.get('name')}{'' if one.get('present_match') else '=...'}" for one in match.get("headers", ())]
    return " ".join([path, *headers]).strip() or "nothing"


def _route_action(route: Tree) -> tuple[str, str, str]:
    """Destination, timeout, retries."""
    action = route.get("route", {})
    if action:
        tries = action.get("retry_policy", {}).get("num_retries", 0)
        return _clusters_of(action), str(action.get("timeout", "15s")), str(tries or "-")
    if "redirect" in route:
        return "redirect", "-", "-"
    if "direct_response" in route:
        return f"status {route['direct_response'].get('status', '')}", "-", "-"
    return "nowhere", "-", "-"


def _clusters_of(action: Tree) -> str:
    if weighted := action.get("weighted_clusters", {}).get("clusters"):
        return "clusters " + ", ".join(f"{one.get('name')} {one.get('weight', 0)}" for one in weighted)
    header = action.get("cluster_header")
    return f"the cluster that header {header} names" if header else f"cluster {action.get('cluster', '')}"


# Clusters: a row each.


def clusters(dump: Tree, live: Tree) -> Iterator[Row]:
    """NAME, TYPE, STATE, ENDPOINTS (those that are healthy of all), CONNECT TIMEOUT, VERSION."""
    hosts = {one["name"]: one.get("host_statuses", []) for one in live.get("cluster_statuses", ())}
    section = _section(dump, "ClustersConfigDump")
    parts = (
        ("static_clusters", "active"),
        ("dynamic_active_clusters", "active"),
        ("dynamic_warming_clusters", "warming"),
    )
    rows = [
        _cluster(one, state, hosts.get(one["cluster"]["name"], []) if state == "active" else [])
        for part, state in parts
        for one in section.get(part, ())
    ]
    return iter(sorted(rows, key=lambda row: str(row[0])))


def _cluster(one: Tree, state: str, hosts: list[Tree]) -> Row:
    cluster = one["cluster"]
    healthy = sum(_status(host) == "HEALTHY" for host in hosts)
    count = Cell(f"{healthy}/{len(hosts)}", "" if hosts and healthy == len(hosts) else "yellow")
    kind = cluster.get("type") or cluster.get("cluster_type", {}).get("name") or "STATIC"
    version = one.get("version_info", "") or "bootstrap"
    return [cluster["name"], kind, _state(state), count, str(cluster.get("connect_timeout", "5s")), version]


# Endpoints: a row each.


def endpoints(live: Tree) -> Iterator[Row]:
    """ENDPOINT, STATUS, OUTLIER CHECK, CLUSTER, WEIGHT, PRIORITY, ACTIVE, REQUESTS, ERRORS."""
    for cluster in sorted(live.get("cluster_statuses", ()), key=lambda one: str(one["name"])):
        for host in cluster.get("host_statuses", ()):
            counts = {one["name"]: str(one.get("value", 0)) for one in host.get("stats", ())}
            ejected = host.get("health_status", {}).get("failed_outlier_check", False)
            status = _status(host)
            yield [
                address_of(host.get("address", {})),
                Cell(status, "green" if status == "HEALTHY" else "red"),
                Cell("EJECTED", "red") if ejected else "OK",
                cluster["name"],
                str(host.get("weight", 1)),
                str(host.get("priority", 0)),
                counts.get("rq_active", "0"),
                counts.get("rq_total", "0"),
                counts.get("rq_error", "0"),
            ]


def _status(host: Tree) -> str:
    """What a host is to the balancer: its health as told over EDS, made worse by what Envoy has found out itself."""
    health = host.get("health_status", {})
    if any(health.get(check) for check in ("failed_outlier_check", "failed_active_health_check")):
        return "UNHEALTHY"
    return str(health.get("eds_health_status", "HEALTHY"))


#: word -> (titles, the pages of Envoy's admin interface that it needs, its rows)
TABLES: Final[dict[str, tuple[tuple[str, ...], tuple[str, ...], Callable[..., Iterator[Row]]]]] = {
    "listeners": (("NAME", "ADDRESS", "STATE", "MATCH", "DESTINATION"), (DUMP,), listeners),
    "routes": (
        ("NAME", "VIRTUAL HOST", "DOMAINS", "MATCH", "DESTINATION", "TIMEOUT", "RETRIES"), (DUMP,), routes,
    ),
    "clusters": (("NAME", "TYPE", "STATE", "HEALTHY", "CONNECT TIMEOUT", "VERSION"), (DUMP, LIVE), clusters),
    "endpoints": (
        ("ENDPOINT", "STATUS", "OUTLIER CHECK", "CLUSTER", "WEIGHT", "PRIORITY", "ACTIVE", "REQUESTS", "ERRORS"),
        (LIVE,), endpoints,
    ),
}  # fmt: skip
