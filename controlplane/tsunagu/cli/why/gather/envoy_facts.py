"""What an Envoy has for one call, from three pages of its admin interface."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from tsunagu.cli.compare.config_dump import Entry
from tsunagu.cli.display.envoy_tables import address_of
from tsunagu.cli.why import facts
from tsunagu.cli.why.gather.routing import Taken, seconds, take
from tsunagu.translate import names

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tsunagu.cli.compare.config_dump import Dump
    from tsunagu.cli.why.target import Target

Tree: TypeAlias = "Mapping[str, Any]"
_UNLIMITED: Final = 2147483647
LIVE: Final = "/clusters?format=json"
CERTIFICATES: Final = "/certs"


def stats_page(cluster: str) -> str:
    """The page with the stats of a cluster."""
    return f"/stats?format=json&usedonly&filter=^cluster[.]{cluster.replace('.', '[.]')}[.]"


@dataclass(frozen=True, slots=True)
class Way:
    """How an Envoy's configuration takes a call. `cluster`: where it ends, or where it is meant to end when it ends nowhere."""

    listener: Entry
    route: Entry
    taken: Taken | None
    cluster: str


def way(target: Target, alias: facts.Alias, dump: Dump) -> Way:
    """The way of the call. Raises KeyError, TypeError for what Envoy does not write."""
    name = names.alias_listener(alias.namespace, alias.name, alias.port)
    listener, route = (dump.entries.get((short, name), Entry()) for short in ("LDS", "RDS"))
    taken = _taken(target, alias, listener, route)
    meant = names.service_cluster(alias.namespace, alias.discovery_name)
    leads = taken.clusters if taken else ()
    return Way(listener, route, taken, meant if not leads or meant in leads else leads[0])


def held(alias: facts.Alias, on: Way, dump: Dump, live: Tree, stats: Tree) -> facts.Held:
    """What the caller's Envoy has. Raises KeyError, TypeError for what Envoy does not write."""
    cluster, taken, prefix = dump.entries.get(("CDS", on.cluster), Entry()), on.taken, f"cluster.{on.cluster}."
    counts = {one["name"]: one["value"] for one in stats.get("stats", ()) if isinstance(one.get("value"), int)}
    entries = {"LDS": on.listener, "RDS": on.route, "CDS": cluster}
    return facts.Held(
        listener=_state(on.listener),
        refused={short: entry.error for short, entry in entries.items() if entry.error},
        route=_state(on.route if alias.is_http else on.listener),
        cluster_name=on.cluster if taken and taken.clusters else "",
        cluster=_state(cluster),
        matched=taken.matched if taken else "",
        direct=taken.direct if taken else "",
        hosts=_hosts(live, on.cluster),
        stats={stat.removeprefix(prefix): value for stat, value in counts.items() if stat.startswith(prefix)},
        request_timeout=taken.request_timeout if taken else None,
        idle_timeout=taken.idle_timeout if taken else None,
        delay=taken.delay if taken else 0,
        others=tuple(sorted({*taken.clusters, *taken.passed} - {on.cluster})) if taken else (),
        ejection=_ejection(cluster),
        limits=_limits(cluster),
        peers=_peers(cluster),
    )


def grown(before: facts.Held, after: facts.Held) -> facts.Held:
    """The later state, with what was counted since the earlier one."""
    return replace(after, counted={stat: value - before.stat(stat) for stat, value in after.stats.items()})


def certificate(page: Tree, now: float) -> facts.Certificate | None:
    """The certificate that an Envoy proves its task's identity with; None if it has none. Raises KeyError, ValueError.

    Of several (while one is replaced) the newest is meant.
    """
    chains = (one["cert_chain"][0] for one in page.get("certificates", ()) if one.get("cert_chain"))
    own = [one for one in chains if any(_spiffe(name) for name in one.get("subject_alt_names", ()))]
    if not own:
        return None
    newest = max(own, key=lambda one: one["valid_from"])
    left = datetime.fromisoformat(newest["expiration_time"]).timestamp() - now
    uris = tuple(name["uri"] for name in newest["subject_alt_names"] if _spiffe(name))
    return facts.Certificate(newest["serial_number"].lower().lstrip("0"), uris, left)


def _spiffe(name: Tree) -> bool:
    return str(name.get("uri", "")).startswith("spiffe://")


def _peers(cluster: Entry) -> tuple[str, ...]:
    """The identities that the cluster insists on where it speaks TLS."""
    content = (cluster.active.content if cluster.active else None) or {}
    found = []
    for one in content.get("transport_socket_matches", ()):
        common = one["transport_socket"]["typed_config"]["common_tls_context"]
        context = common["combined_validation_context"]["default_validation_context"]
        found += [name["matcher"]["exact"] for name in context.get("match_typed_subject_alt_names", ())]
    return tuple(found)


def _state(entry: Entry) -> str:
    if entry.active:
        return "active"
    return "warming" if entry.warming else "draining" if entry.draining else ""


def _taken(target: Target, alias: facts.Alias, listener: Entry, route: Entry) -> Taken | None:
    """The route that takes the call; of tcp the cluster of the listener's filter."""
    if alias.is_http:
        content = route.active.content if route.active else None
        return (
            take(content, target.name, target.path or "/", "POST" if alias.protocol == "grpc" else "GET")
            if content
            else None
        )
    content = listener.active.content if listener.active else None
    if not content:
        return None
    config = content["filter_chains"][0]["filters"][-1]["typed_config"]
    return Taken("tcp", (config["cluster"],)) if config.get("cluster") else None


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
        failing=bool(health.get("failed_active_health_check")),
        requests=counts.get("rq_total", 0),
        errors=counts.get("rq_error", 0),
        connect_failures=counts.get("cx_connect_fail", 0),
    )


def _ejection(cluster: Entry) -> tuple[int, float, float]:
    """Failures in a row, seconds at first, seconds at most; Envoy's own defaults where it shows none."""
    content = (cluster.active.content if cluster.active else None) or {}
    found = content.get("outlier_detection", {})
    first, longest = seconds(found.get("base_ejection_time")), seconds(found.get("max_ejection_time"))
    return int(found.get("consecutive_5xx", 5)), 30.0 if first is None else first, 300.0 if longest is None else longest


def _limits(cluster: Entry) -> dict[str, int]:
    content = cluster.active.content if cluster.active else None
    thresholds = (content or {}).get("circuit_breakers", {}).get("thresholds", ())
    return {
        name: value
        for one in thresholds
        for name, value in one.items()
        if name.startswith("max_") and isinstance(value, int) and value < _UNLIMITED
    }
