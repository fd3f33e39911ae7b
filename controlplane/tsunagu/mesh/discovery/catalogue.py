"""The zones and services of Cloud Map by their DNS names: a Directory for `records.answer` over the registry's objects.

The one rule: a name has no capitals here, as DNS does not tell them apart, and an object keeps its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tsunagu.mesh.discovery import instances
from tsunagu.mesh.discovery.records import DEFAULT_SOA_TTL, Entry, Zone
from tsunagu.model.cloud_map import DNS_PRIVATE, DNS_PUBLIC

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from tsunagu.mesh.discovery.instances import Instance
    from tsunagu.v1 import objects_pb2

_HAVE_DNS: Final = (DNS_PRIVATE, DNS_PUBLIC)
_WITHOUT_DNS: Final = "HTTP"


class Catalogue:
    """The DNS namespaces among `namespaces`, and their `services` (name -> CloudMapService). `instances_of` takes a service's name."""

    def __init__(
        self,
        namespaces: Iterable[objects_pb2.Object],
        services: Mapping[str, objects_pb2.Object],
        instances_of: Callable[[str], Iterable[Instance]],
    ) -> None:
        dns = [obj for obj in namespaces if obj.namespace.type in _HAVE_DNS]
        self._zones = {obj.meta.name.lower(): _zone(obj) for obj in dns}
        self._services: dict[str, dict[str, objects_pb2.Object]] = {}  # zone -> label -> CloudMapService
        self._instances_of = instances_of
        for name, obj in services.items():
            namespace, _, label = name.lower().partition("/")
            if namespace in self._zones and obj.cloud_map_service.type != _WITHOUT_DNS:
                self._services.setdefault(namespace, {})[label] = obj

    def zone_of(self, name: str) -> Zone | None:
        labels = name.split(".")
        suffixes = (".".join(labels[at:]) for at in range(len(labels)))
        return next((self._zones[suffix] for suffix in suffixes if suffix in self._zones), None)

    def entry(self, zone: Zone, label: str) -> Entry | None:
        obj = self._services.get(zone.name, {}).get(label)
        if obj is None:
            return None
        config = obj.cloud_map_service.dns_config
        ttl = {record.type: record.ttl for record in config.dns_records}
        found = sorted(self._instances_of(obj.meta.name), key=lambda one: one.id)
        return Entry(label, zone, config.routing_policy, ttl, found)

    def has_below(self, zone: Zone, label: str) -> bool:
        return any(one.endswith(f".{label}") for one in self._services.get(zone.name, {}))

    def names(self) -> list[str]:
        """Return the DNS names of all services."""
        return sorted(f"{label}.{zone}" for zone, services in self._services.items() for label in services)


def of_state(state: Mapping[str, Mapping[str, objects_pb2.Object]]) -> Catalogue:
    """Return the catalogue of all objects, by kind and name, for a reader that asks once."""

    def instances_of(service: str) -> Iterable[Instance]:
        by_hand = (obj for name, obj in state.get("CloudMapInstance", {}).items() if name.startswith(f"{service}/"))
        yield from map(instances.of_object, by_hand)
        yield from instances.of_tasks(service, state.get("Task", {}).values(), state.get("ServiceRevision", {}))

    return Catalogue(state.get("Namespace", {}).values(), state.get("CloudMapService", {}), instances_of)


def _zone(obj: objects_pb2.Object) -> Zone:
    body = obj.namespace
    return Zone(obj.meta.name.lower(), body.soa_ttl if body.HasField("soa_ttl") else DEFAULT_SOA_TTL)
