"""Resolves a service into its ServiceRevision: everything its tasks are made from, with all references and defaults filled in.

The one rule: a ServiceRevision's name contains the hash of its content, so the same service with the same task definition
and images gives the same revision, on every machine and at any time.

Sources: ECS API Reference, ServiceConnectService, ServiceConnectClientAlias and TimeoutConfiguration (fields, defaults,
timeouts). Where AWS's texts contradict each other, docs/manifests.md says which one is followed.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

from tsunagu.model import cloud_map, ids, images, references, tracing
from tsunagu.model.errors import Issue, ManifestError
from tsunagu.v1 import ecs_pb2, objects_pb2

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tsunagu.model.references import State

FIRST_INGRESS_PORT = 15100
DEFAULT_DRAIN_TIMEOUT = 30  # seconds
DEFAULT_PROXY_LOG_LEVEL = "info"  # AWS's
IDLE_TIMEOUT = {"tcp": 3600}  # seconds, AWS's; every other protocol:
IDLE_TIMEOUT_HTTP = 300
PER_REQUEST_TIMEOUT = 15  # seconds, AWS's; tcp has no requests
HASH_DIGITS = 12
#: Settings that change nothing of a task here, and start a deployment on AWS when they change (ECS API Reference, UpdateService).
DEPLOYED_SETTINGS = (
    "network_configuration",
    "load_balancers",
    "platform_version",
    "volume_configurations",
    "vpc_lattice_configurations",
)


def resolve(service: objects_pb2.Object, state: State) -> tuple[str, objects_pb2.ServiceRevision]:
    """Return (name, revision) of a service as it is now. ``state`` has its task definition, images and cluster.

    Raises ManifestError if a reference cannot be resolved, or no command is known for a container. ``validate.check``
    reports such errors earlier, and all of them.
    """
    spec = service.service.spec
    cluster = references.cluster_of(spec)
    registered = references.find_task_definition(spec.task_definition, state)
    if registered is None:
        raise _unresolved("taskDefinition", f"no task definition {spec.task_definition!r} is registered")
    revision = objects_pb2.ServiceRevision(
        cluster=cluster,
        service=spec.service_name,
        task_definition_name=ids.task_definition_name(registered.spec.family, registered.revision),
        task_definition=_runnable(registered.spec, state),
        drain_timeout_seconds=_drain_timeout(service.service),
        forced_deployments=service.service.forced_deployments,
        settings_digest=_settings_digest(spec),
        host=service.service.host,
    )
    with_images = images.with_images(registered.spec, state)
    if with_images != revision.task_definition:
        revision.image_task_definition.CopyFrom(with_images)
    revision.builds.update(images.builds(registered.spec, state))
    revision.registrations.extend(cloud_map.registrations(spec, registered.spec, state))
    revision.as_processes = images.stood_in(registered.spec, state)
    if references.connects(spec):
        _connect(revision, spec, registered.spec, state)
        revision.backends.extend(sorted(set(service.service.settings.backends)))
    digest = sha256(revision.SerializeToString(deterministic=True)).hexdigest()[:HASH_DIGITS]
    return ids.revision_name(cluster, spec.service_name, digest), revision


def _settings_digest(spec: ecs_pb2.CreateServiceRequest) -> str:
    given = {field.name: value for field, value in spec.ListFields() if field.name in DEPLOYED_SETTINGS}
    content = ecs_pb2.CreateServiceRequest(**given).SerializeToString(deterministic=True)
    return sha256(content).hexdigest()[:HASH_DIGITS] if given else ""


def _runnable(definition: ecs_pb2.RegisterTaskDefinitionRequest, state: State) -> ecs_pb2.RegisterTaskDefinitionRequest:
    """What the task definition runs here. Raises ManifestError if a container has no command: such a task never starts."""
    for container in definition.container_definitions:
        missing = images.missing_command(container, state)
        if missing is not None:
            raise _unresolved("taskDefinition", *missing)
    return images.runnable(definition, state)


def _connect(
    revision: objects_pb2.ServiceRevision,
    spec: ecs_pb2.CreateServiceRequest,
    definition: ecs_pb2.RegisterTaskDefinitionRequest,
    state: State,
) -> None:
    """Add what Service Connect needs: the namespace, the ports, the proxy's settings."""
    config = spec.service_connect_configuration
    namespace = references.namespace_of(spec, state)
    if not namespace:
        raise _unresolved("serviceConnectConfiguration", "neither the service nor its cluster has a namespace")
    revision.connect = True
    revision.namespace = namespace
    revision.frozen = references.is_frozen(namespace, state)
    revision.tracing = tracing.is_on(namespace, state)
    revision.proxy_log_level = proxy_log_level(config)
    if log := proxy_log(config.log_configuration):
        revision.proxy_log.CopyFrom(log)
    if config.HasField("access_log_configuration"):
        revision.access_log.CopyFrom(config.access_log_configuration)
    for index, service in enumerate(config.services):
        mapping = references.port_named(service.port_name, definition)
        if mapping is None:
            path = f"serviceConnectConfiguration.services[{index}].portName"
            raise _unresolved(path, f"the task definition has no port named {service.port_name!r}")
        revision.ports.append(service_port(index, service, mapping, namespace))


def service_port(
    index: int, service: ecs_pb2.ServiceConnectService, mapping: ecs_pb2.PortMapping, namespace: str
) -> objects_pb2.ServicePort:
    """One port as it is served, with all defaults filled in. ``index``: its place in serviceConnectConfiguration."""
    protocol = mapping.app_protocol or "tcp"
    override = service.ingress_port_override
    made = objects_pb2.ServicePort(
        port_name=service.port_name,
        discovery_name=discovery_name(service),
        container_port=mapping.container_port,
        app_protocol=protocol,
        ingress_port=override or FIRST_INGRESS_PORT + index,
        intercept=not override,
        aliases=aliases(service, mapping.container_port, namespace),
        idle_timeout_seconds=idle_timeout(service, protocol),
        per_request_timeout_seconds=per_request_timeout(service, protocol),
    )
    if service.HasField("tls"):
        made.tls.authority = service.tls.issuer_certificate_authority.aws_pca_authority_arn
    return made


def discovery_name(service: ecs_pb2.ServiceConnectService) -> str:
    """The port's name in the namespace: its discoveryName, else its portName."""
    return service.discovery_name or service.port_name


def aliases(service: ecs_pb2.ServiceConnectService, container_port: int, namespace: str) -> list[objects_pb2.Alias]:
    """The names and ports at which callers reach a port; at least one.

    AWS's texts contradict each other about the name of an alias without ``dnsName``: ``discoveryName.namespace`` or
    ``discoveryName`` alone. Here callers may use both. Without any alias the port is the container's.
    """
    if not service.client_aliases:
        return _both_names(service, container_port, namespace)
    return [alias for client in service.client_aliases for alias in _alias(client, service, namespace)]


def _alias(
    client: ecs_pb2.ServiceConnectClientAlias, service: ecs_pb2.ServiceConnectService, namespace: str
) -> list[objects_pb2.Alias]:
    made = [objects_pb2.Alias(dns_name=client.dns_name, port=client.port)]
    if not client.dns_name:
        made = _both_names(service, client.port, namespace)
    test = client.test_traffic_rules.header
    for alias in made if test.name else ():
        alias.test_header = test.name
        if test.HasField("value"):
            alias.test_value = test.value.exact
    return made


def _both_names(service: ecs_pb2.ServiceConnectService, port: int, namespace: str) -> list[objects_pb2.Alias]:
    bare = discovery_name(service)
    return [objects_pb2.Alias(dns_name=name, port=port) for name in (bare, f"{bare}.{namespace.lower()}")]


def idle_timeout(service: ecs_pb2.ServiceConnectService, protocol: str) -> int:
    """Seconds after which an idle connection is closed; 0: never."""
    if service.timeout.HasField("idle_timeout_seconds"):
        return service.timeout.idle_timeout_seconds
    return IDLE_TIMEOUT.get(protocol, IDLE_TIMEOUT_HTTP)


def per_request_timeout(service: ecs_pb2.ServiceConnectService, protocol: str) -> int:
    """Seconds that a request may take; 0: no limit, and always for tcp."""
    if protocol == "tcp":
        return 0
    if service.timeout.HasField("per_request_timeout_seconds"):
        return service.timeout.per_request_timeout_seconds
    return PER_REQUEST_TIMEOUT


def proxy_log_level(config: ecs_pb2.ServiceConnectConfiguration) -> str:
    levels = (one.log_level for one in config.container_configurations if one.log_level)
    return next(levels, DEFAULT_PROXY_LOG_LEVEL)


def proxy_log(config: ecs_pb2.LogConfiguration) -> objects_pb2.ProxyLog | None:
    """The log group of the proxy; None unless the driver is awslogs and it has one."""
    group = config.options.get("awslogs-group", "")
    if config.log_driver != "awslogs" or not group:
        return None
    return objects_pb2.ProxyLog(group=group, stream_prefix=config.options.get("awslogs-stream-prefix", ""))


def aliases_of(service: objects_pb2.Service, state: State) -> Iterator[tuple[str, int]]:
    """Yield (DNS name, port) for every alias of a service. An alias at an unknown container port has port 0."""
    spec = service.spec
    registered = references.find_task_definition(spec.task_definition, state)
    namespace = references.namespace_of(spec, state)
    for offered in spec.service_connect_configuration.services:
        mapping = references.port_named(offered.port_name, registered.spec) if registered else None
        for alias in aliases(offered, mapping.container_port if mapping else 0, namespace):
            yield alias.dns_name, alias.port


def _drain_timeout(service: objects_pb2.Service) -> int:
    settings = service.settings
    return settings.drain_timeout_seconds if settings.HasField("drain_timeout_seconds") else DEFAULT_DRAIN_TIMEOUT


def _unresolved(path: str, message: str, suggestion: str = "") -> ManifestError:
    return ManifestError([Issue("", 0, 0, path, message, suggestion)])
