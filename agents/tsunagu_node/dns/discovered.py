"""What the registry knows of names, as informers have it: zones, services of Cloud Map, their instances, and names of Service Connect.

Rule: read live. An answer is made of the objects that it needs, as they are at that moment; nothing is computed when a task changes.
Until all of them are known nothing is answered: "there is no such name" would be kept by whoever asked.
"""

import asyncio
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Final

from tsunagu.mesh.discovery import instances
from tsunagu.mesh.discovery.catalogue import Catalogue
from tsunagu.mesh.discovery.instances import Instance
from tsunagu.mesh.discovery.records import Entry, Zone
from tsunagu.registry.indexes import Index
from tsunagu.registry.informer import Informer
from tsunagu.v1 import objects_pb2
from tsunagu_node.dns.resolver import Connected
from tsunagu_node.task.names import Names

KINDS: Final = ("Namespace", "CloudMapService", "CloudMapInstance", "ServiceRevision")
"""What is read beside Task."""
_REGISTERED: Final = Index(
    "revisions registered with a service of Cloud Map",
    "ServiceRevision",
    lambda obj: {one.cloud_map_service for one in obj.service_revision.registrations},
)
_OF_REVISION: Final = Index("tasks of a revision", "Task", lambda obj: (obj.task.spec.service_revision,))
_BY_HAND: Final = Index(
    "instances of a service of Cloud Map", "CloudMapInstance", lambda obj: ("/".join(obj.meta.name.split("/")[:2]),)
)


class Discovered:
    """Known names. `names`: those of Service Connect. Invariant: `_catalogue` is of the version `_read` of its objects."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self._informers: Mapping[str, Informer] = {}
        self._catalogue = Catalogue((), {}, lambda _: ())
        self._read = -1
        self.synced = asyncio.Event()

    async def follow(self, informers: Mapping[str, Informer]) -> None:
        """Read from these informers, of KINDS and Task, from now on; return when all have their first list."""
        informers["ServiceRevision"].add_index(_REGISTERED)
        informers["Task"].add_index(_OF_REVISION)
        informers["CloudMapInstance"].add_index(_BY_HAND)
        for informer in informers.values():
            async for _ in informer.follow():
                break
        self._informers = informers
        self.synced.set()

    @property
    def version(self) -> int:
        return sum(informer.revision for informer in self._informers.values()) + self._names.version

    def zone_of(self, name: str) -> Zone | None:
        return self._read_anew().zone_of(name)

    def entry(self, zone: Zone, label: str) -> Entry | None:
        return self._read_anew().entry(zone, label)

    def has_below(self, zone: Zone, label: str) -> bool:
        return self._read_anew().has_below(zone, label)

    def address(self, names: Connected, name: str) -> str:
        return self._names.of(names.namespace, names.seen).get(name, "")

    def ttl(self, revision: objects_pb2.ServiceRevision) -> int:
        """Return for how many seconds somebody may call a task of the revision after the last answer that gave it."""
        services = self._informers["CloudMapService"].objects("CloudMapService") if self._informers else {}
        named = (services.get(one.cloud_map_service) for one in revision.registrations)
        records = chain.from_iterable(obj.cloud_map_service.dns_config.dns_records for obj in named if obj is not None)
        return max((record.ttl for record in records), default=0)

    def _instances(self, service: str) -> Iterator[Instance]:
        by_hand = self._informers["CloudMapInstance"].by_index(_BY_HAND.name, service)
        revisions = self._informers["ServiceRevision"].by_index(_REGISTERED.name, service)
        tasks = (self._informers["Task"].by_index(_OF_REVISION.name, revision).values() for revision in revisions)
        yield from map(instances.of_object, by_hand.values())
        yield from instances.of_tasks(service, chain.from_iterable(tasks), revisions)

    def _read_anew(self) -> Catalogue:
        """Return the zones and services: both are few, and change seldom."""
        if not self._informers:
            return self._catalogue
        namespaces, services = self._informers["Namespace"], self._informers["CloudMapService"]
        if self._read != (version := namespaces.revision + services.revision):
            found = namespaces.objects("Namespace").values(), services.objects("CloudMapService")
            self._catalogue, self._read = Catalogue(*found, self._instances), version
        return self._catalogue
