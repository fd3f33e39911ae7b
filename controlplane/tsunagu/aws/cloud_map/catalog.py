"""What Cloud Map shows of a mesh: namespaces, services and instances, those that were made by hand and those that the mesh makes.

What Service Connect offers is a projection: a service for each discovery name, an instance for each running task behind it; so are the
tasks of ECS services that are registered with a service of Cloud Map (Service Discovery). The one rule: it is computed from the registry and its View whenever it is asked for, and nothing of it is ever written.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tsunagu.mesh.discovery import instances as discovered
from tsunagu.mesh.frozenmap import FrozenMap
from tsunagu.mesh.view import View
from tsunagu.model import cloud_map, ids
from tsunagu.model.statuses import Status
from tsunagu.registry.indexes import Index
from tsunagu.v1 import objects_pb2

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from tsunagu.registry.informer import Changes, Informer

_NAMESPACE_IDS: Final = Index("namespaces by ID", "Namespace", lambda obj: (cloud_map.namespace_id(obj),))
_SERVICE_IDS: Final = Index("services of Cloud Map by ID", "CloudMapService", lambda obj: (cloud_map.service_id(obj),))
_INSTANCES: Final = Index(
    "instances of a service", "CloudMapInstance", lambda obj: (ids.cloud_map_service_of(obj.meta.name)[0],)
)
_REGISTERED: Final = Index(
    "revisions whose tasks are registered",
    "ServiceRevision",
    lambda obj: {one.cloud_map_service for one in obj.service_revision.registrations},
)
_TASKS: Final = Index("tasks of a revision", "Task", lambda obj: (obj.task.spec.service_revision,))


@dataclass(frozen=True, slots=True)
class Entry:
    """A service of Cloud Map. `obj`: its object; None: Service Connect made it, and nobody edits it."""

    namespace: str
    name: str
    id: str
    obj: objects_pb2.Object | None

    @property
    def key(self) -> str:
        """NAMESPACE/NAME."""
        return ids.cloud_map_service_name(self.namespace, self.name)


@dataclass(frozen=True, slots=True)
class Instance:
    """One instance. `obj`: its object; None: it is a task. `place`: when it came, a revision of the registry."""

    id: str
    attributes: Mapping[str, str]
    healthy: bool
    place: int
    obj: objects_pb2.Object | None = None


class Catalog:
    """The names of a mesh, read live. Invariant: `view` shows what the last `advance` was given."""

    def __init__(self, informer: Informer) -> None:
        self._informer = informer
        for index in (_NAMESPACE_IDS, _SERVICE_IDS, _INSTANCES, _REGISTERED, _TASKS):
            informer.add_index(index)
        self.view = View.empty()
        self._revisions: dict[
            str, int
        ] = {}  # NAMESPACE/NAME -> the registry's revision at which its instances changed last
        self._first = 0  # the first revision that was seen: what came before it is not known
        self._offered: tuple[object, dict[str, Entry]] = (None, {})

    # -- keeping up ---------------------------------------------------------------------------------------------------

    def advance(self, changes: Changes) -> None:
        """Take the next changes of the informer."""
        self._first = self._first or changes.revision
        self.view, _ = self.view.apply(changes.changes, changes.revision)
        for change in changes.changes:
            if change.kind == "CloudMapInstance" and _attributes(change.old) != _attributes(change.new):
                self._revisions[ids.cloud_map_service_of(change.name)[0]] = changes.revision
            elif change.kind == "Task" and _address(change.old) != _address(change.new):
                self._revisions.update(dict.fromkeys(self._served(change.new or change.old), changes.revision))

    def _served(self, task: objects_pb2.Object | None) -> Iterator[str]:
        """The services (NAMESPACE/NAME) of which a task is an instance."""
        row = self.view.tables.revisions.get(task.task.spec.service_revision) if task is not None else None
        if row is None:
            return
        for port in row.ports:
            yield ids.cloud_map_service_name(row.namespace, port.discovery_name)
        revision = self._informer.get("ServiceRevision", row.name)
        for registration in revision.service_revision.registrations if revision is not None else ():
            yield registration.cloud_map_service

    def instances_revision(self, entry: Entry) -> int:
        """A number that grows when an instance comes, goes or has other attributes, and not when its health changes.

        It grows with a restart of this process, too: whoever asks again then is told what there is.
        """
        return max(self._revisions.get(entry.key, 0), self._first)

    # -- namespaces ---------------------------------------------------------------------------------------------------

    def namespaces(self) -> Iterable[objects_pb2.Object]:
        return self._informer.objects("Namespace").values()

    def namespace(self, name: str) -> objects_pb2.Object | None:
        return self._informer.get("Namespace", name)

    def namespace_with(self, reference: str) -> objects_pb2.Object | None:
        """The namespace that an ID or an ARN means."""
        found = self._informer.by_index(_NAMESPACE_IDS.name, ids.arn_tail(reference, "namespace"))
        return next(iter(found.values()), None)

    # -- services -----------------------------------------------------------------------------------------------------

    def services(self, namespace: str = "") -> Iterator[Entry]:
        """The services of a namespace, or of all."""
        for name, obj in self._informer.objects("CloudMapService").items():
            if not namespace or name.startswith(f"{namespace}/"):
                yield _by_hand(name, obj)
        for entry in self._of_service_connect().values():
            if not namespace or entry.namespace == namespace:
                yield entry

    def service(self, namespace: str, name: str) -> Entry | None:
        key = ids.cloud_map_service_name(namespace, name)
        obj = self._informer.get("CloudMapService", key)
        if obj is not None:
            return _by_hand(key, obj)
        return self._of_service_connect().get(cloud_map.offered_service_id(key))

    def service_with(self, reference: str) -> Entry | None:
        """The service that an ID or an ARN means."""
        tail = ids.arn_tail(reference, "service")
        for name, obj in self._informer.by_index(_SERVICE_IDS.name, tail).items():
            return _by_hand(name, obj)
        return self._of_service_connect().get(tail)

    def _of_service_connect(self) -> Mapping[str, Entry]:
        """The discovery names of all namespaces, by the ID of their services; made anew when a name comes or goes."""
        table = self.view.tables.ports
        if self._offered[0] is not table:
            found = {}
            for namespace, names in table.items():
                for name in names:
                    key = ids.cloud_map_service_name(namespace, name)
                    if self._informer.get("CloudMapService", key) is None:
                        identifier = cloud_map.offered_service_id(key)
                        found[identifier] = Entry(namespace, name, identifier, None)
            self._offered = (table, found)
        return self._offered[1]

    # -- instances ----------------------------------------------------------------------------------------------------

    def instances(self, entry: Entry) -> list[Instance]:
        """The instances of a service, in no order."""
        if entry.obj is None:
            return list(self._offering(entry))
        found = self._informer.by_index(_INSTANCES.name, entry.key)
        return [*(_registered(name, obj) for name, obj in found.items()), *self._discovered(entry)]

    def instance(self, entry: Entry, instance_id: str) -> Instance | None:
        """One instance; where a task and one that was registered by hand have the same ID, that which was registered."""
        obj = self._informer.get("CloudMapInstance", ids.cloud_map_instance_name(entry.key, instance_id))
        if obj is not None:
            return _registered(obj.meta.name, obj)
        tasks = self._offering(entry) if entry.obj is None else self._discovered(entry)
        return next((one for one in tasks if one.id == instance_id), None)

    def count(self, entry: Entry) -> int:
        """How many instances a service has."""
        if entry.obj is None:
            return sum(1 for _ in self._offering(entry))
        return len(self._informer.by_index(_INSTANCES.name, entry.key)) + sum(1 for _ in self._discovered(entry))

    def _offering(self, entry: Entry) -> Iterator[Instance]:
        """The running tasks that serve a discovery name of Service Connect."""
        tables = self.view.tables
        for provider in tables.ports.get(entry.namespace, FrozenMap()).get(entry.name, frozenset()):
            port = tables.in_force[provider.revision].ports[provider.slot].endpoint_port
            found = self._informer.get("ServiceRevision", provider.revision)
            if found is not None:
                registration = objects_pb2.Registration(port=port)
                yield from self._tasks(found, registration)

    def _discovered(self, entry: Entry) -> Iterator[Instance]:
        """The running tasks of ECS services that are registered with this service (serviceRegistries)."""
        for found in self._informer.by_index(_REGISTERED.name, entry.key).values():
            for registration in found.service_revision.registrations:
                if registration.cloud_map_service == entry.key:
                    yield from self._tasks(found, registration)

    def _tasks(self, revision: objects_pb2.Object, registration: objects_pb2.Registration) -> Iterator[Instance]:
        for task in self._informer.by_index(_TASKS.name, revision.meta.name).values():
            read = discovered.of_task(task, revision.service_revision, registration)
            if not read.absent:
                yield Instance(read.id, read.attributes, read.healthy, task.meta.created_revision)


def _by_hand(key: str, obj: objects_pb2.Object) -> Entry:
    namespace, _, name = key.partition("/")
    return Entry(namespace, name, cloud_map.service_id(obj), obj)


def _registered(name: str, obj: objects_pb2.Object) -> Instance:
    body = obj.cloud_map_instance
    instance_id = ids.cloud_map_service_of(name)[1]
    return Instance(instance_id, body.attributes, cloud_map.is_healthy(body), obj.meta.created_revision, obj)


def _attributes(obj: objects_pb2.Object | None) -> dict[str, str] | None:
    return None if obj is None else dict(obj.cloud_map_instance.attributes)


def _address(task: objects_pb2.Object | None) -> str:
    """The address of a task that runs; empty while it does not."""
    return task.task.status.ip if task is not None and _runs(task) else ""


def _runs(task: objects_pb2.Object) -> bool:
    spec, status = task.task.spec, task.task.status
    return spec.desired_status == Status.RUNNING and status.last_status == Status.RUNNING and bool(status.ip)
