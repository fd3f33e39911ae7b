"""Registry objects as the controllers and agents would write them, in one line each, for tests of what reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tsunagu.model.statuses import HealthStatus, Status
from tsunagu.v1 import ecs_pb2, objects_pb2

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Object = objects_pb2.Object


def port(name: str, **settings: object) -> objects_pb2.ServicePort:
    """A ServicePort. Left out: http on container port 8080, ingress 15100, intercepted, alias NAME:80, AWS's timeouts."""
    protocol = str(settings.get("app_protocol", "http"))
    made = objects_pb2.ServicePort(
        port_name=name,
        discovery_name=name,
        container_port=8080,
        app_protocol=protocol,
        ingress_port=15100,
        idle_timeout_seconds=3600 if protocol == "tcp" else 300,
        per_request_timeout_seconds=0 if protocol == "tcp" else 15,
        intercept=True,
    )
    aliases = settings.pop("aliases", [(name, 80)])
    assert isinstance(aliases, list)
    for dns_name, number in aliases:
        made.aliases.add(dns_name=dns_name, port=number)
    for field, value in settings.items():
        setattr(made, field, value)
    return made


def revision(
    name: str,
    *ports: objects_pb2.ServicePort,
    namespace: str = "shop",
    access_log: str = "",
    created: int = 1,
    frozen: bool = False,
) -> Object:
    """A ServiceRevision named CLUSTER/SERVICE/HASH with Service Connect on. `access_log`: empty, TEXT or JSON."""
    cluster, service, _ = name.split("/")
    body = objects_pb2.ServiceRevision(
        cluster=cluster, service=service, namespace=namespace, ports=ports, drain_timeout_seconds=30, connect=True
    )
    body.frozen = frozen
    if access_log:
        body.access_log.CopyFrom(ecs_pb2.ServiceConnectAccessLogConfiguration(format=access_log))
    return Object(meta=objects_pb2.Meta(name=name, created_revision=created), service_revision=body)


def service(name: str, wanted: str = "", *, created: int = 1) -> Object:
    """A Service named CLUSTER/SERVICE whose wanted revision is CLUSTER/SERVICE/`wanted`."""
    body = objects_pb2.Service(status=objects_pb2.ServiceStatus(revision=f"{name}/{wanted}" if wanted else ""))
    return Object(meta=objects_pb2.Meta(name=name, created_revision=created), service=body)


def task(name: str, revision: str, ip: str, *, deployment: int = 0, **states: str) -> Object:
    """A Task that runs and is wanted. `states`: last_status, desired_status, health_status, node, namespace, zone."""
    cluster, service_name, _ = revision.split("/")
    return Object(
        meta=objects_pb2.Meta(name=name),
        task=objects_pb2.Task(
            spec=objects_pb2.TaskSpec(
                cluster=cluster,
                service=service_name,
                service_revision=revision,
                namespace=states.get("namespace", "shop"),
                node=states.get("node", "n1"),
                zone=states.get("zone", ""),
                desired_status=states.get("desired_status", Status.RUNNING),
                deployment=deployment,
            ),
            status=objects_pb2.TaskStatus(
                last_status=states.get("last_status", Status.RUNNING),
                health_status=states.get("health_status", HealthStatus.UNKNOWN),
                ip=ip,
            ),
        ),
    )


def gateway_task(name: str, namespace: str = "shop", last_status: str = Status.RUNNING) -> Object:
    """The task of a gateway: a proxy and nothing else."""
    spec = objects_pb2.TaskSpec(
        cluster="default", namespace=namespace, node="n1", desired_status=Status.RUNNING, gateway="front"
    )
    status = objects_pb2.TaskStatus(last_status=last_status, ip="10.9.0.9")
    return Object(meta=objects_pb2.Meta(name=name), task=objects_pb2.Task(spec=spec, status=status))


def node(name: str = "n1", zones: Sequence[str] = ()) -> Object:
    return Object(meta=objects_pb2.Meta(name=name), node=objects_pb2.Node(runtime="linux", zones=zones))


def namespace(name: str = "shop") -> Object:
    return Object(meta=objects_pb2.Meta(name=name), namespace=objects_pb2.Namespace())


def address(dns_name: str, ip: str, namespace: str = "shop", births: Mapping[int, int] | None = None) -> Object:
    """A VirtualAddress. `births`: port -> the deployment that brought it; none: as in registries that did not keep them."""
    body = objects_pb2.VirtualAddress(namespace=namespace, dns_name=dns_name, ip=ip, births=births or {})
    return Object(meta=objects_pb2.Meta(name=f"{namespace}/{dns_name}"), virtual_address=body)
