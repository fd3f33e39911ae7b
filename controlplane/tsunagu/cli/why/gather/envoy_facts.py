"""What an Envoy has for one call, from three pages of its admin interface."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

from tsunagu.cli.compare import config_dump
from tsunagu.cli.display.envoy_tables import address_of
from tsunagu.cli.why import facts
from tsunagu.cli.why.gather import routing
from tsunagu.translate import names

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tsunagu.cli.compare.config_dump import Dump
    from tsunagu.cli.why.target import Target

Tree: TypeAlias = "Mapping[str, Any]"
_UNLIMITED: Final = 2147483647
#: Of the pages with which one sees an Envoy: its configuration, its hosts. The third is `stats_page`.
PAGES: Final = (config_dump.PAGE, "/clusters?format=json")


def stats_page(alias: facts.Alias) -> str:
    """The page with the stats of an alias's cluster, and of calls to nobody."""
    cluster = names.service_cluster(alias.namespace, alias.discovery_name).replace(".", "[.]")
    return f"/stats?format=json&usedonly&filter=^(cluster[.]{cluster}[.]|{names.UNOFFERED}[.])"


def held(target: Target, alias: facts.Alias, dump: Dump, live: Tree, stats: Tree) -> facts.Held:
    """What the caller's Envoy has. Raises NotADump, KeyError, TypeError for what Envoy does not write."""
    name = names.alias_listener(alias.namespace, alias.name, alias.port)
    listener = dump.entries.get(("LDS", name), config_dump.Entry())
    route = dump.entries.get(("RDS", name), config_dump.Entry())
    taken = _taken(target, alias, listener, route)
    meant = names.service_cluster(alias.namespace, alias.discovery_name)
    leads = (taken.clusters if meant not in taken.clusters else (meant,)) if taken else ()
    cluster = dump.entries.get(("CDS", leads[0] if leads else meant), config_dump.Entry())
    prefix = f"cluster.{meant}."
    counts = {one["name"]: one["value"] for one in stats.get("stats", ()) if isinstance(one.get("value"), int)}
    return facts.Held(
        listener=_state(listener),
        refused={
            short: entry.error
            for short, entry in (("LDS", listener), ("RDS", route), ("CDS", dump.entries.get(("CDS", meant), cluster)))
            if entry.error
        },
        route=_state(route) if alias.is_http else _state(listener),
        cluster_name=leads[0] if leads else "",
        cluster=_state(cluster),
        matched=taken.matched if taken else "",
        direct=taken.direct if taken else "",
        hosts=_hosts(live, leads[0] if leads else meant),
        stats={stat.removeprefix(prefix): value for stat, value in counts.items() if stat.startswith(prefix)},
        limits=_limits(cluster),
        unoffered=unoffered(counts),
    )


def unoffered(counts: Mapping[str, int]) -> dict[str, int]:
    """IP:PORT -> connections to it that nobody took, of Envoy's stats."""
    found = {names.unoffered_destination(stat): value for stat, value in counts.items()}
    return {to: value for to, value in sorted(found.items()) if to and value}


def _state(entry: config_dump.Entry) -> str:
    if entry.active:
        return "active"
    return "warming" if entry.warming else "draining" if entry.draining else ""


def _taken(
    target: Target, alias: facts.Alias, listener: config_dump.Entry, route: config_dump.Entry
) -> routing.Taken | None:
    """The route that takes the call; of tcp the cluster of the listener's filter."""
    if alias.is_http:
        content = route.active.content if route.active else None
        return routing.take(content, target.name, target.path or "/") if content else None
    content = listener.active.content if listener.active else None
    if not content:
        return None
    config = content["filter_chains"][0]["filters"][-1]["typed_config"]
    return routing.Taken("tcp", (config["cluster"],)) if config.get("cluster") else None


def _hosts(live: Tree, cluster: str) -> tuple[facts.Host, ...]:
    found = (one for one in live.get("cluster_statuses", ()) if one["name"] == cluster)
    return tuple(_host(one) for status in found for one in status.get("host_statuses", ()))


def _host(one: Tree) -> facts.Host:
    counts = {stat["name"]: int(stat.get("value", 0)) for stat in one.get("stats", ())}
    health = one.get("health_status", {})
    return facts.Host(
        address=address_of(one.get("address", {})),
        health=str(health.get("eds_health_status", "HEALTHY")),
        ejected=bool(health.get("failed_outlier_check")),
        requests=counts.get("rq_total", 0),
        errors=counts.get("rq_error", 0),
        connect_failures=counts.get("cx_connect_fail", 0),
    )


def _limits(cluster: config_dump.Entry) -> dict[str, int]:
    content = cluster.active.content if cluster.active else None
    thresholds = (content or {}).get("circuit_breakers", {}).get("thresholds", ())
    return {
        name: value
        for one in thresholds
        for name, value in one.items()
        if name.startswith("max_") and isinstance(value, int) and value < _UNLIMITED
    }
