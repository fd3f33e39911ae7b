"""What the mesh needs to know of each object, read once from its protobuf into frozen rows.

Everything downstream compares rows to know whether anything changed, so the one rule: a row holds what shows in a
proxy's configuration or decides who gets it, and nothing else (no counters, no times of day).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tsunagu.v1 import objects_pb2

#: The states of a task in which it has an Envoy: the barrier counts these.
PROXIED: Final = frozenset({"PENDING", "ACTIVATING", "RUNNING", "DEACTIVATING", "STOPPING"})
#: The states in which nothing of a task is left to be called or to call.
GONE: Final = frozenset({"DEPROVISIONING", "STOPPED"})


@dataclass(frozen=True, slots=True)
class PortFacts:
    """One port that a service revision offers. Timeouts in seconds, 0: none."""

    port_name: str
    discovery_name: str
    container_port: int
    protocol: str  # http, http2, grpc, tcp
    ingress_port: int
    aliases: tuple[tuple[str, int], ...]  # (DNS name, port)
    idle_timeout: int
    request_timeout: int
    intercept: bool

    @property
    def endpoint_port(self) -> int:
        """Where callers' proxies connect to: redirected in the task's network namespace when intercepted."""
        return self.container_port if self.intercept else self.ingress_port


@dataclass(frozen=True, slots=True)
class AccessLog:
    json: bool
    with_query: bool


@dataclass(frozen=True, slots=True)
class RevisionFacts:
    """One service revision: what its tasks' proxies serve, and to whom."""

    name: str  # CLUSTER/SERVICE/HASH
    service: str  # CLUSTER/SERVICE
    namespace: str
    connect: bool
    created: int  # registry revision at which it came to be
    ports: tuple[PortFacts, ...]
    access_log: AccessLog | None


@dataclass(frozen=True, slots=True)
class ServiceFacts:
    name: str
    wanted: str  # name of the revision that new tasks are made from; empty before there is one
    created: int


@dataclass(frozen=True, slots=True)
class TaskFacts:
    """One task: `alive` while it may call or be called, `serving` while it may be offered to callers."""

    name: str
    namespace: str
    revision: str
    gateway: str
    node: str
    ip: str
    status: str
    alive: bool
    serving: bool

    @property
    def proxied(self) -> bool:
        return self.status in PROXIED


def of_port(port: objects_pb2.ServicePort) -> PortFacts:
    return PortFacts(
        port_name=port.port_name,
        discovery_name=port.discovery_name,
        container_port=port.container_port,
        protocol=port.app_protocol or "tcp",
        ingress_port=port.ingress_port,
        aliases=tuple((alias.dns_name, alias.port) for alias in port.aliases),
        idle_timeout=port.idle_timeout_seconds,
        request_timeout=port.per_request_timeout_seconds,
        intercept=port.intercept,
    )


def of_revision(obj: objects_pb2.Object) -> RevisionFacts:
    body = obj.service_revision
    log = body.access_log
    return RevisionFacts(
        name=obj.meta.name,
        service=f"{body.cluster}/{body.service}",
        namespace=body.namespace,
        connect=body.connect,
        created=obj.meta.created_revision,
        ports=tuple(of_port(port) for port in body.ports) if body.connect else (),
        access_log=AccessLog(log.format == "JSON", log.include_query_parameters == "ENABLED") if log.format else None,
    )


def of_service(obj: objects_pb2.Object) -> ServiceFacts:
    return ServiceFacts(obj.meta.name, obj.service.status.revision, obj.meta.created_revision)


def of_task(obj: objects_pb2.Object) -> TaskFacts:
    """`serving` leaves out whether its node is there: nodes come and go without a change of the task."""
    spec, status = obj.task.spec, obj.task.status
    wanted = spec.desired_status == "RUNNING" and status.last_status == "RUNNING"
    return TaskFacts(
        name=obj.meta.name,
        namespace=spec.namespace,
        revision=spec.service_revision,
        gateway=spec.gateway,
        node=spec.node,
        ip=status.ip,
        status=status.last_status,
        alive=status.last_status not in GONE,
        serving=wanted and status.health_status != "UNHEALTHY" and bool(status.ip),
    )
