"""Which route of a route configuration takes a request, as Envoy would choose it (RouteConfiguration as JSON).

Envoy takes the virtual host whose domain matches best (exact, then *.suffix, then prefix.*, then *), and in it the first route
that matches (envoy.config.route.v3, VirtualHost.domains). The one rule: a route that also looks at headers or parameters is
not taken, since nobody knows those of the app's call, but told of; the method is known.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

from tsunagu.translate.rules import FAULT_FILTER

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Tree: TypeAlias = "Mapping[str, Any]"


@dataclass(frozen=True, slots=True)
class Taken:
    """The route: its virtual host, the Route that it is made of, and its match in words, the clusters to which it leads, or what it answers itself."""

    matched: str
    clusters: tuple[str, ...] = ()
    direct: str = ""
    request_timeout: float | None = None  # seconds; 0: none
    idle_timeout: float | None = None
    delay: float = 0  # seconds, of a fault
    passed: tuple[str, ...] = ()  # where requests go that have what routes before it look at: clusters, or "status 410"


def take(config: Tree, host: str, path: str, method: str = "GET") -> Taken | None:
    """The route that takes a request to `host` for `path`; None when none does."""
    virtual = _virtual_host(config.get("virtual_hosts", ()), host)
    if virtual is None:
        return None
    passed: list[str] = []
    for route in virtual.get("routes", ()):
        match = route.get("match", {})
        if not _matches(match, path) or (looks := _takes(match, method)) is False:
            continue
        taken = _taken(virtual, route)
        if looks:
            return replace(taken, passed=tuple(passed))
        passed += taken.clusters or (taken.direct,)
    return None


def _takes(match: Tree, method: str) -> bool | None:
    """Whether its headers and parameters match; None when that depends on those of the app's call."""
    headers = match.get("headers", ())
    methods = [one.get("string_match", {}) for one in headers if one.get("name") == ":method"]
    if not all(_is(one, method) for one in methods):
        return False
    return None if len(methods) < len(headers) or match.get("query_parameters") else True


def _is(wanted: Tree, method: str) -> bool:
    regex = wanted.get("safe_regex", {}).get("regex")
    return bool(re.fullmatch(regex, method)) if regex is not None else bool(wanted.get("exact") == method)


def _virtual_host(hosts: Sequence[Tree], name: str) -> Tree | None:
    ranked = [
        (rank, -len(domain), host)
        for host in hosts
        for domain in host.get("domains", ())
        if (rank := _rank(domain, name))
    ]
    return min(ranked, key=lambda one: one[:2])[2] if ranked else None


def _rank(domain: str, name: str) -> int:
    """How well a domain matches: 1 is best, 0 not at all."""
    if domain == name:
        return 1
    if domain == "*":
        return 4
    if domain.startswith("*") and name.endswith(domain[1:]):
        return 2
    return 3 if domain.endswith("*") and name.startswith(domain[:-1]) else 0


def _matches(match: Tree, path: str) -> bool:
    bare = path.partition("?")[0] or "/"
    if "path" in match:
        return bool(bare == match["path"])
    if "safe_regex" in match:
        return re.fullmatch(match["safe_regex"].get("regex", ""), bare) is not None
    if "path_separated_prefix" in match:
        prefix = match["path_separated_prefix"]
        return bool(bare == prefix or bare.startswith(f"{prefix}/"))
    return bare.startswith(match.get("prefix", "/"))


def _taken(host: Tree, route: Tree) -> Taken:
    match = {name: value for name, value in route.get("match", {}).items() if isinstance(value, str)}
    words = " ".join(f"{name} {value}" for name, value in match.items()) or "any"
    named = f"Route {route['name']}, " if route.get("name") else ""  # Service Connect's own has none
    matched = f"{host.get('name', '')}, {named}{words}"
    action = route.get("route")
    if action is None:
        kind = "redirect" if "redirect" in route else f"status {route.get('direct_response', {}).get('status', '')}"
        return Taken(matched, direct=kind)
    weighted = tuple(one["name"] for one in action.get("weighted_clusters", {}).get("clusters", ()))
    clusters = weighted or ((action["cluster"],) if action.get("cluster") else ())
    limits = (seconds(action.get("timeout")), seconds(action.get("idle_timeout")))
    return Taken(matched, clusters, "", *limits, _delay(route))


def _delay(route: Tree) -> float:
    fault = route.get("typed_per_filter_config", {}).get(FAULT_FILTER, {})
    return seconds(fault.get("delay", {}).get("fixed_delay")) or 0


def seconds(duration: str | None) -> float | None:
    """A google.protobuf.Duration in JSON, "1.500s", as seconds."""
    return float(duration.removesuffix("s")) if duration else None
