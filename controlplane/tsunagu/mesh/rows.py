"""Reads each object's protobuf once, into a frozen row of what the mesh needs to know of it.

Everything downstream compares rows to find out whether anything changed. The one rule: a row holds only what appears in a
proxy's configuration, or decides which proxies get it (no counters, no times of day).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tsunagu.model import tracing
from tsunagu.model.identity import modes
from tsunagu.model.statuses import HealthStatus, Status

if TYPE_CHECKING:
    from tsunagu.v1 import ecs_pb2, objects_pb2

#: The states in which a task has an Envoy; the convergence barrier counts tasks in these.
PROXIED: Final = frozenset({Status.PENDING, Status.ACTIVATING, Status.RUNNING, Status.DEACTIVATING, Status.STOPPING})
#: The states in which a task neither calls nor can be called any more.
GONE: Final = frozenset({Status.DEPROVISIONING, Status.STOPPED})


@dataclass(frozen=True, slots=True)
class AliasTest:
    """The header by which requests to an alias are test traffic. `value` None: whatever it says."""

    dns_name: str
    port: int
    header: str
    value: str | None


@dataclass(frozen=True, slots=True)
class Tls:
    """The TLS that callers' proxies begin. `names`: of which the certificate must have one; none: the address's DNS name.
    `authorities`: PEM; empty: those of the system.
    """

    server_name: str
    names: tuple[str, ...]
    authorities: str


@dataclass(frozen=True, slots=True)
class Outside:
    """What callers' proxies need to know of an External beside its port. `resolved`: (host, port) that each proxy resolves; none: its
    addresses are endpoints.
    """

    resolved: tuple[tuple[str, int], ...] = ()
    tls: Tls | None = None


@dataclass(frozen=True, slots=True)
class PortRow:
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
    tests: tuple[AliasTest, ...] = ()  # of the aliases that name a header
    outside: Outside | None = None  # it is an External's
    tls_port: int = 0  # where the task's proxy takes TLS, if the mode says so; 0: nowhere
    strict: bool = False  # its service says that it takes TLS alone

    @property
    def endpoint_port(self) -> int:
        """The port to which callers' proxies connect. An intercepted one is redirected to the ingress port within the task."""
        return self.container_port if self.intercept else self.ingress_port


@dataclass(frozen=True, slots=True)
class AccessLog:
    """How a proxy logs what its task serves."""

    json: bool
    with_query: bool


@dataclass(frozen=True, slots=True)
class RevisionRow:
    """One service revision: the namespace and the ports that its tasks' proxies serve."""

    name: str  # CLUSTER/SERVICE/HASH
    service: str  # CLUSTER/SERVICE
    namespace: str
    connect: bool
    created: int  # registry revision at which the object was created
    ports: tuple[PortRow, ...]
    access_log: AccessLog | None
    tracing: bool = False
    frozen: bool = False  # its tasks see the names of their deployment
    backends: tuple[str, ...] = ()  # sorted; the discovery names that its tasks see, if not all
    registered: bool = (
        False  # it is a service of Cloud Map (`mesh.registered`) or an External (`mesh.externals`), without an ingress
    )
    host: bool = False  # its tasks have the identity of their node's machine


@dataclass(frozen=True, slots=True)
class AddressRow:
    """The virtual IP of a DNS name. `births`: (port, deployment that brought it) of each alias; none in old registries."""

    ip: str
    births: tuple[tuple[int, int], ...] = ()

    def born(self, port: int) -> int | None:
        """The registry revision since which the name has this port; None as long as no controller has said it."""
        return dict(self.births).get(port) if self.births else 0


@dataclass(frozen=True, slots=True)
class TracingRow:
    """Where a namespace's spans go, and the percentage of requests that begin a trace. `ip`: `host` is no DNS name."""

    host: str
    port: int
    percentage: float
    ip: bool


@dataclass(frozen=True, slots=True)
class GatewayRow:
    """The ports of a gateway that take Routes: (port of the machine, whether it speaks TLS)."""

    name: str
    namespace: str
    ports: tuple[tuple[int, bool], ...]
    access_log: AccessLog | None


@dataclass(frozen=True, slots=True)
class TrustRow:
    """A certificate authority: whom proxies trust. `certificates`: PEM of all that are in force, one after another."""

    certificates: str
    trust_domain: str


@dataclass(frozen=True, slots=True)
class ServiceRow:
    """One service, as far as it decides which revision provides its names."""

    name: str
    desired: str  # name of the revision that new tasks are made from; empty before there is one
    created: int  # registry revision at which the object was created
    shares: tuple[
        tuple[str, int], ...
    ] = ()  # (revision, share) in a weighted shift; a revision that is not here has none
    tested: str = ""  # the revision that test traffic goes to

    @property
    def shifting(self) -> bool:
        """Whether its requests are divided otherwise than by how many tasks serve."""
        return bool(self.shares or self.tested)


@dataclass(frozen=True, slots=True)
class TaskRow:
    """One task: `alive` while it may call or be called, `serving` while callers may be given it as an endpoint."""

    name: str
    namespace: str
    revision: str
    gateway: str
    node: str
    zone: str  # empty: none
    ip: str
    status: str
    alive: bool
    serving: bool
    deployment: int = 0  # registry revision up to which it sees names, if its revision is frozen
    port: int = 0  # where it answers, if not at its revision's port: it is no task, but an instance of Cloud Map
    ready: tuple[str, ...] = ()  # port names: callers may be led to their TLS ingress
    alone: tuple[str, ...] = ()  # port names: nobody has to do with their plain ingress any more

    @property
    def proxied(self) -> bool:
        return self.status in PROXIED


def of_port(port: objects_pb2.ServicePort, index: int) -> PortRow:
    """`index`: its place in its revision."""
    return PortRow(
        port_name=port.port_name,
        discovery_name=port.discovery_name,
        container_port=port.container_port,
        protocol=port.app_protocol or "tcp",
        ingress_port=port.ingress_port,
        aliases=tuple((alias.dns_name, alias.port) for alias in port.aliases),
        idle_timeout=port.idle_timeout_seconds,
        request_timeout=port.per_request_timeout_seconds,
        intercept=port.intercept,
        tests=tuple(
            AliasTest(one.dns_name, one.port, one.test_header, one.test_value if one.HasField("test_value") else None)
            for one in port.aliases
            if one.test_header
        ),
        tls_port=modes.tls_port(index),
        strict=port.HasField("tls"),
    )


def of_revision(obj: objects_pb2.Object) -> RevisionRow:
    body = obj.service_revision
    return RevisionRow(
        name=obj.meta.name,
        service=f"{body.cluster}/{body.service}",
        namespace=body.namespace,
        connect=body.connect,
        created=obj.meta.created_revision,
        ports=tuple(of_port(port, index) for index, port in enumerate(body.ports)) if body.connect else (),
        access_log=_access_log(body.access_log),
        frozen=body.frozen,
        tracing=body.tracing,
        backends=tuple(body.backends),
        host=body.host,
    )


def of_address(obj: objects_pb2.Object) -> AddressRow:
    body = obj.virtual_address
    return AddressRow(body.ip, tuple(sorted(body.births.items())))


def of_tracing(obj: objects_pb2.Object) -> TracingRow | None:
    """The row of a Namespace's tracing; None if it has none, or one that validation would not let in."""
    body = obj.namespace.tracing
    try:
        host, port = tracing.address(body.collector)
    except ValueError:
        return None
    return TracingRow(host, port, tracing.percentage(body), tracing.is_ip(host))


def of_mode(obj: objects_pb2.Object) -> str | None:
    """The mode of a Namespace; None if its tasks speak plaintext."""
    mode = obj.namespace.tls
    return mode if mode in {modes.PERMISSIVE, modes.STRICT} else None


def of_gateway(obj: objects_pb2.Object) -> GatewayRow:
    body = obj.gateway
    ports = tuple((port.host_port, port.HasField("tls")) for port in body.ports if not port.alias)
    return GatewayRow(obj.meta.name, body.namespace, ports, _access_log(body.access_log))


def of_trust(obj: objects_pb2.Object) -> TrustRow:
    body = obj.trust_bundle
    return TrustRow("".join(sorted({one.certificate for one in body.authorities})), body.trust_domain)


def _access_log(log: ecs_pb2.ServiceConnectAccessLogConfiguration) -> AccessLog | None:
    if not log.format:
        return None
    return AccessLog(log.format == "JSON", log.include_query_parameters == "ENABLED")


def of_service(obj: objects_pb2.Object) -> ServiceRow:
    status = obj.service.status
    return ServiceRow(
        obj.meta.name,
        status.revision,
        obj.meta.created_revision,
        shares=tuple((one.revision, one.weight) for one in status.traffic.weights),
        tested=status.traffic.test_revision,
    )


def of_task(obj: objects_pb2.Object) -> TaskRow:
    """`serving` says nothing of the task's node: nodes come and go without a change of the task."""
    spec, status = obj.task.spec, obj.task.status
    running = spec.desired_status == Status.RUNNING and status.last_status == Status.RUNNING
    return TaskRow(
        name=obj.meta.name,
        namespace=spec.namespace,
        revision=spec.service_revision,
        gateway=spec.gateway,
        node=spec.node,
        zone=spec.zone,
        ip=status.ip,
        status=status.last_status,
        alive=status.last_status not in GONE,
        serving=running and status.health_status != HealthStatus.UNHEALTHY and bool(status.ip),
        deployment=spec.deployment,
        ready=tuple(status.tls.ready),
        alone=tuple(status.tls.alone),
    )
