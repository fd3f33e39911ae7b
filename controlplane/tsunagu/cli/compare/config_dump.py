"""What an Envoy has: its config_dump by type and name, and how far each resource is: active, warming, draining, refused.

The rule: only what Envoy was sent over xDS counts. What stands in its bootstrap is counted, the endpoints and routes
that are part of a cluster or a listener are that cluster's and listener's.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tsunagu.xds.requests.nack import reason

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: The page of Envoy's admin interface that is read.
PAGE = "/config_dump?include_eds"


class NotADump(Exception):
    """Not what Envoy answers to `PAGE`."""


@dataclass(frozen=True, slots=True)
class Held:
    """A resource as Envoy has it. `version` is that of the response: with delta the resource's own, with SotW its
    type's; of endpoints Envoy does not show it. `content`: JSON; None where it is secret.
    """

    version: str
    content: Mapping[str, Any] | None


@dataclass(slots=True)
class Entry:
    """One name of one type; `error` has the words of the last refusal."""

    active: Held | None = None
    warming: Held | None = None
    draining: bool = False
    error: str = ""


@dataclass(slots=True)
class Dump:
    """`entries`: (short type, name) -> what there is. `static`: short type -> how many are of the bootstrap."""

    entries: dict[tuple[str, str], Entry] = field(default_factory=dict)
    static: dict[str, int] = field(default_factory=dict)

    def entry(self, short: str, name: str) -> Entry:
        return self.entries.setdefault((short, name), Entry())


def read(shown: Any) -> Dump:
    """Of the JSON value that Envoy answers. Raises NotADump."""
    dump = Dump()
    try:
        sections = {str(section["@type"]).rpartition(".")[2]: section for section in shown["configs"]}
        for name, reader in _READERS.items():
            reader(dump, sections.get(name, {}))
    except (KeyError, TypeError, AttributeError) as error:
        raise NotADump(f"Envoy's {PAGE} is not as expected: {error!r}") from error
    return dump


def _clusters(dump: Dump, section: Mapping[str, Any]) -> None:
    dump.static["CDS"] = len(section.get("static_clusters", ()))
    for state, one in _both(section, "clusters"):
        entry = dump.entry("CDS", one["cluster"]["name"])
        setattr(entry, state, Held(one.get("version_info", ""), one["cluster"]))
        entry.error = _error(one)


def _listeners(dump: Dump, section: Mapping[str, Any]) -> None:
    dump.static["LDS"] = len(section.get("static_listeners", ()))
    for one in section.get("dynamic_listeners", ()):
        entry = dump.entry("LDS", one.get("name") or _refused_name(one))
        entry.error = _error(one) or entry.error
        entry.draining = entry.draining or "draining_state" in one
        for state in ("active", "warming"):
            held = one.get(f"{state}_state")
            if held:
                setattr(entry, state, Held(held.get("version_info", ""), held["listener"]))


def _routes(dump: Dump, section: Mapping[str, Any]) -> None:
    for one in section.get("dynamic_route_configs", ()):
        held = one.get("route_config")
        if held:
            entry = dump.entry("RDS", held["name"])
            entry.active, entry.error = Held(one.get("version_info", ""), held), _error(one)


def _endpoints(dump: Dump, section: Mapping[str, Any]) -> None:
    wanted = set(_eds_names(dump))
    for one in section.get("dynamic_endpoint_configs", ()):
        held = one.get("endpoint_config")
        if held and held.get("cluster_name") in wanted:
            dump.entry("EDS", held["cluster_name"]).active = Held("", held)


def _eds_names(dump: Dump) -> Iterator[str]:
    for (short, name), entry in dump.entries.items():
        for held in (entry.active, entry.warming):
            if short == "CDS" and held and held.content and held.content.get("type") == "EDS":
                yield held.content.get("eds_cluster_config", {}).get("service_name") or name


def _secrets(dump: Dump, section: Mapping[str, Any]) -> None:
    dump.static["SDS"] = len(section.get("static_secrets", ()))
    for state, one in _both(section, "secrets"):
        entry = dump.entry("SDS", one["name"])
        setattr(entry, state, Held(one.get("version_info", ""), None))
        entry.error = _error(one)


def _both(section: Mapping[str, Any], what: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for state in ("active", "warming"):
        for one in section.get(f"dynamic_{state}_{what}", ()):
            yield state, one


def _error(one: Mapping[str, Any]) -> str:
    return reason(str(one.get("error_state", {}).get("details", "")))


def _refused_name(one: Mapping[str, Any]) -> str:
    """Of a listener that Envoy has refused: it stands for itself, beside the one that is in use, without a name."""
    return str(one["error_state"].get("failed_configuration", {}).get("name", ""))


_READERS = {  # endpoints after clusters: these say which come over xDS
    "ClustersConfigDump": _clusters,
    "ListenersConfigDump": _listeners,
    "RoutesConfigDump": _routes,
    "EndpointsConfigDump": _endpoints,
    "SecretsConfigDump": _secrets,
}
