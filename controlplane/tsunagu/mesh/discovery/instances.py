"""The instances of a service of Cloud Map: those that were registered by hand, and running tasks of ECS services (Service Discovery).

A task is no object of Cloud Map: it is *read* as an instance, so that there is no second copy which could be wrong. The one rule:
a task is an instance while it is RUNNING and is to go on running. AWS registers it earlier, as UNHEALTHY, and returns it if nothing
else is there; here nobody is given a task at which nothing listens yet.

Source: ECS Developer Guide, service discovery (the attributes that ECS adds), Cloud Map API Reference, RegisterInstance.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from tsunagu.model.statuses import HealthStatus, Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from tsunagu.v1 import objects_pb2

IPV4, IPV6, PORT, CNAME = "AWS_INSTANCE_IPV4", "AWS_INSTANCE_IPV6", "AWS_INSTANCE_PORT", "AWS_INSTANCE_CNAME"
INIT_HEALTH: Final = "AWS_INIT_HEALTH_STATUS"
REGION: Final = "us-east-1"
ZONE: Final = "us-east-1a"
"""Where a task is said to run whose node has no zone: there is no AWS here, and these are what emulators of it use."""


@dataclass(frozen=True, slots=True)
class Outside:
    """Where programs of the machine reach an instance. `ports`: what it listens at there, by its own port; empty: the same ones."""

    ip: str
    ports: Mapping[int, int] = field(default_factory=lambda: MappingProxyType({}))

    def port(self, own: int) -> int:
        """Return the port there that stands for its `own` one; 0 when there is none."""
        return self.ports.get(own, 0) if self.ports else own


@dataclass(frozen=True, slots=True)
class Instance:
    """An instance of a service of Cloud Map, or a task that is none for the reason `absent`.

    `task`: its task's name; empty: it was registered by hand. `outside`: None when programs of the machine do not reach it.
    """

    id: str
    attributes: Mapping[str, str]
    healthy: bool = True
    task: str = ""
    outside: Outside | None = None
    absent: str = ""

    @property
    def port(self) -> int:
        """AWS_INSTANCE_PORT; 0 when it has none."""
        text = self.attributes.get(PORT, "")
        return int(text) if text.isdecimal() else 0


def of_task(
    obj: objects_pb2.Object, revision: objects_pb2.ServiceRevision, registration: objects_pb2.Registration
) -> Instance:
    """Return a task of `revision` as the instance that `registration` makes of it."""
    spec, status = obj.task.spec, obj.task.status
    attributes = {
        IPV4: status.ip,
        **({PORT: str(registration.port)} if registration.port else {}),
        "AVAILABILITY_ZONE": spec.zone or ZONE,
        "REGION": REGION,
        "ECS_CLUSTER_NAME": spec.cluster,
        "ECS_SERVICE_NAME": spec.service,
        "ECS_TASK_DEFINITION_FAMILY": revision.task_definition.family,
        INIT_HEALTH: HealthStatus.HEALTHY.value,
    }
    return Instance(
        id=obj.meta.name.rpartition("/")[2],
        attributes=attributes,
        healthy=status.health_status != HealthStatus.UNHEALTHY,
        task=obj.meta.name,
        outside=_twin(status),
        absent=_absent(spec, status),
    )


def of_object(obj: objects_pb2.Object) -> Instance:
    """Return an instance that was registered by hand. Tasks reach what listens at this machine's 127.0.0.N at 169.254.88.N."""
    body = obj.cloud_map_instance
    attributes = dict(body.attributes)
    told = body.custom_health_status or attributes.get(INIT_HEALTH, "")
    outside = Outside(attributes[IPV4]) if IPV4 in attributes else None
    return Instance(
        id=obj.meta.name.split("/", 2)[2],
        attributes={**attributes, **({IPV4: _from_tasks(attributes[IPV4])} if IPV4 in attributes else {})},
        healthy=told != HealthStatus.UNHEALTHY,
        outside=outside,
    )


def of_tasks(
    service: str, tasks: Iterable[objects_pb2.Object], revisions: Mapping[str, objects_pb2.Object]
) -> Iterator[Instance]:
    """Yield the `tasks` that their revision registers with the CloudMapService `service`, those that are absent too."""
    for obj in tasks:
        found = revisions.get(obj.task.spec.service_revision)
        if found is None or obj.task.status.last_status == Status.STOPPED:
            continue
        revision = found.service_revision
        for registration in revision.registrations:
            if registration.cloud_map_service == service:
                yield of_task(obj, revision, registration)


def _absent(spec: objects_pb2.TaskSpec, status: objects_pb2.TaskStatus) -> str:
    """Return why a task is no instance now; empty if it is one."""
    if spec.desired_status != Status.RUNNING:
        return "it is to stop"
    if status.last_status != Status.RUNNING:
        return f"it is {status.last_status or 'not started'}"
    return "" if status.ip else "it has no address"


def _twin(status: objects_pb2.TaskStatus) -> Outside | None:
    if not status.twin.ip:
        return None
    return Outside(status.twin.ip, {port.container_port: port.port for port in status.twin.ports})


def _from_tasks(ip: str) -> str:
    """Return the address by which tasks reach `ip` of this machine: their own loopback is themselves."""
    return f"169.254.88.{ip.rpartition('.')[2]}" if ip.startswith("127.0.0.") else ip
