"""What each member of ECS's shapes does here: it acts, it is accepted without effect, or it is refused.

The one rule: every member stands in exactly one row, so a user can be told of each what becomes of it. The table is
the documentation: docs/ecs-members.md is made from it, and a test fails when AWS adds a member that no row names.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from tsunagu.model.rules.constraints import at_indices, issue, join
from tsunagu.v1 import ecs_pb2

if TYPE_CHECKING:
    from collections.abc import Iterator

    from google.protobuf.message import Message

    from tsunagu.model.errors import Issue

ACTS = "acts"
NO_EFFECT = "accepted, no effect here"
REFUSED = "refused"
ROOTS = ("CreateClusterRequest", "RegisterTaskDefinitionRequest", "CreateServiceRequest")
EVERY = "*"


@dataclass(frozen=True, slots=True)
class Row:
    """What some members of one message do; ``members`` is ``*`` for all that no other row names."""

    message: str
    members: str
    does: str
    why: str = ""


def _acts(message: str, members: str = EVERY) -> Row:
    return Row(message, members, ACTS)


def _none(message: str, members: str, why: str) -> Row:
    return Row(message, members, NO_EFFECT, why)


def _refused(message: str, members: str, why: str) -> Row:
    return Row(message, members, REFUSED, why)


_PLACED = "tasks run on this machine; nothing is placed"
_ROLES = "there is no IAM here"
_TAGS = "kept with the object, read by nobody"
_LIMITS = "tasks share the machine's processors and memory"
_FILES = "a task sees this machine's files"
_USER = "every container is uid 1000 in its task, with the file rights of whoever started the mesh"
_LOGS = "the node agent keeps every container's output: see `tsunagu logs`"
_ROUTER = "a log router without a process of its own is not started"
_DEVICES = "a container is a plain process here"
_BALANCERS = "there is no load balancer here; `kind: Gateway` opens ports of this machine"
_ROLLING = "every change replaces task by task: the new one is admitted, then the old one is drained"
_LATTICE = "there is no VPC Lattice here"
_EXEC = "`tsunagu exec` needs no setting"
_STORAGE = "there is no AWS storage here"

_TASK_ROWS = (
    _acts("RegisterTaskDefinitionRequest", "family networkMode containerDefinitions runtimePlatform"),
    _none("RegisterTaskDefinitionRequest", "taskRoleArn executionRoleArn", _ROLES),
    _none("RegisterTaskDefinitionRequest", "cpu memory ephemeralStorage", _LIMITS),
    _none("RegisterTaskDefinitionRequest", "placementConstraints requiresCompatibilities", _PLACED),
    _none("RegisterTaskDefinitionRequest", "volumes", _FILES),
    _none("RegisterTaskDefinitionRequest", "tags", _TAGS),
    _none("RegisterTaskDefinitionRequest", "pidMode ipcMode", "the containers of a task share its process namespace"),
    _none("RegisterTaskDefinitionRequest", "inferenceAccelerators trustedExecutionConfiguration", _DEVICES),
    _none("RegisterTaskDefinitionRequest", "enableFaultInjection", "there is no AWS FIS here"),
    _refused(
        "RegisterTaskDefinitionRequest",
        "proxyConfiguration",
        "it is for App Mesh, whose proxy would stand beside Service Connect's; use serviceConnectConfiguration",
    ),
    _acts(
        "ContainerDefinition",
        "name image portMappings essential restartPolicy entryPoint command environment secrets dependsOn startTimeout "
        "stopTimeout workingDirectory healthCheck",
    ),
    _none("ContainerDefinition", "firelensConfiguration", _ROUTER),
    _none("ContainerDefinition", "cpu memory memoryReservation ulimits resourceRequirements", _LIMITS),
    _none("ContainerDefinition", "mountPoints volumesFrom readonlyRootFilesystem", _FILES),
    _none("ContainerDefinition", "logConfiguration", _LOGS),
    _none("ContainerDefinition", "repositoryCredentials versionConsistency", "no image is pulled; see `kind: Image`"),
    _none("ContainerDefinition", "environmentFiles", "S3 is not read; write the values in `environment` or `secrets`"),
    _none("ContainerDefinition", "user privileged", _USER),
    _none(
        "ContainerDefinition",
        "linuxParameters dockerSecurityOptions dockerLabels interactive pseudoTerminal systemControls credentialSpecs",
        _DEVICES,
    ),
    _none(
        "ContainerDefinition",
        "hostname dnsServers dnsSearchDomains extraHosts disableNetworking",
        "the node agent gives a task its network and its names",
    ),
    _refused(
        "ContainerDefinition",
        "links",
        "AWS allows them in bridge mode without Service Connect; containers of a task reach each other at localhost",
    ),
    _acts("PortMapping", "containerPort protocol name appProtocol"),
    _none("PortMapping", "hostPort", "a task has an address of its own; `kind: Gateway` opens ports of this machine"),
    _none("PortMapping", "containerPortRange", "a task has an address of its own, so all its ports are open"),
    _acts("ContainerRestartPolicy"),
    _acts("KeyValuePair"),
    _acts("Secret"),
    _acts("ContainerDependency"),
    _acts("HealthCheck"),
    _none("FirelensConfiguration", EVERY, _ROUTER),
    _none("LogConfiguration", EVERY, _LOGS),
    _none("RepositoryCredentials", EVERY, "no image is pulled; see `kind: Image`"),
    _none("EnvironmentFile", EVERY, "S3 is not read"),
    _none("MountPoint", EVERY, _FILES),
    _none("VolumeFrom", EVERY, _FILES),
    *(_none(name, EVERY, _DEVICES) for name in ("LinuxParameters", "KernelCapabilities", "Device", "Tmpfs")),
    *(_none(name, EVERY, _DEVICES) for name in ("SystemControl", "InferenceAccelerator")),
    _none("TrustedExecutionConfiguration", EVERY, _DEVICES),
    _none("HostEntry", EVERY, "the node agent gives a task its names"),
    *(_none(name, EVERY, _LIMITS) for name in ("Ulimit", "ResourceRequirement", "EphemeralStorage")),
    *(_none(name, EVERY, _LIMITS) for name in ("SharingStrategy", "NvidiaMpsAllocation")),
    *(_none(name, EVERY, _FILES) for name in ("Volume", "HostVolumeProperties", "DockerVolumeConfiguration")),
    *(_none(name, EVERY, _STORAGE) for name in ("EFSVolumeConfiguration", "EFSAuthorizationConfig")),
    _none("S3FilesVolumeConfiguration", EVERY, _STORAGE),
    _none("FSxWindowsFileServerVolumeConfiguration", EVERY, _STORAGE),
    _none("FSxWindowsFileServerAuthorizationConfig", EVERY, _STORAGE),
    _none("TaskDefinitionPlacementConstraint", EVERY, _PLACED),
    _none("Tag", EVERY, _TAGS),
    _refused("ProxyConfiguration", EVERY, "it is for App Mesh"),
    _acts("RuntimePlatform", "operatingSystemFamily"),
    _none("RuntimePlatform", "cpuArchitecture", "a process is of this machine's architecture"),
)

_SERVICE_ROWS = (
    _acts(
        "CreateServiceRequest",
        "cluster serviceName taskDefinition desiredCount serviceConnectConfiguration schedulingStrategy "
        "deploymentController deploymentConfiguration launchType healthCheckGracePeriodSeconds",
    ),
    _none("CreateServiceRequest", "loadBalancers", _BALANCERS),
    _none("CreateServiceRequest", "serviceRegistries", "use serviceConnectConfiguration"),
    _none(
        "CreateServiceRequest",
        "availabilityZoneRebalancing capacityProviderStrategy platformVersion placementConstraints placementStrategy",
        _PLACED,
    ),
    _none("CreateServiceRequest", "role", _ROLES),
    _none("CreateServiceRequest", "clientToken", "to apply the same file again changes nothing"),
    _none("CreateServiceRequest", "networkConfiguration", "every task has an address of its own, without subnets"),
    _none("CreateServiceRequest", "tags enableECSManagedTags propagateTags", _TAGS),
    _none("CreateServiceRequest", "enableExecuteCommand", _EXEC),
    _none("CreateServiceRequest", "volumeConfigurations", _FILES),
    _none("CreateServiceRequest", "vpcLatticeConfigurations gatewayConnectors", _LATTICE),
    _none("CreateServiceRequest", "monitoring", "there is no CloudWatch here"),
    _acts("ServiceConnectConfiguration", "enabled namespace services accessLogConfiguration containerConfigurations"),
    _none("ServiceConnectConfiguration", "logConfiguration", _LOGS),
    _acts("ServiceConnectService", "portName discoveryName clientAliases ingressPortOverride timeout"),
    _refused(
        "ServiceConnectService",
        "tls",
        "there is no AWS Private CA here to issue certificates; leave it out, traffic between tasks is plain",
    ),
    _acts("ServiceConnectClientAlias", "port dnsName"),
    _none("ServiceConnectClientAlias", "testTrafficRules", "there are no blue/green deployments, so no test traffic"),
    *(
        _none(f"ServiceConnectTestTraffic{name}", EVERY, "there is no test traffic")
        for name in ("Rules", "HeaderRules", "HeaderMatchRules")
    ),
    _acts("TimeoutConfiguration"),
    _refused("ServiceConnectTlsConfiguration", EVERY, "see ServiceConnectService.tls"),
    _refused("ServiceConnectTlsCertificateAuthority", EVERY, "see ServiceConnectService.tls"),
    _acts("ServiceConnectAccessLogConfiguration"),
    _acts("ServiceConnectContainerConfiguration"),
    _acts("DeploymentController"),
    _acts("DeploymentConfiguration", "maximumPercent minimumHealthyPercent"),
    _none("DeploymentConfiguration", EVERY, _ROLLING),
    *(
        _none(name, EVERY, _ROLLING)
        for name in (
            *("DeploymentCircuitBreaker", "ThresholdConfiguration", "DeploymentAlarms"),
            *("DeploymentLifecycleHook", "DeploymentLifecycleHookTimeoutConfiguration", "LinearConfiguration"),
            *("CanaryConfiguration", "DeploymentEarlySuccessCriteria"),
        )
    ),
    *(_none(name, EVERY, _BALANCERS) for name in ("LoadBalancer", "AdvancedConfiguration")),
    _none("ServiceRegistry", EVERY, "use serviceConnectConfiguration"),
    *(_none(name, EVERY, _PLACED) for name in ("PlacementConstraint", "PlacementStrategy")),
    _none("CapacityProviderStrategyItem", EVERY, _PLACED),
    *(_none(n, EVERY, "every task has an address of its own") for n in ("NetworkConfiguration", "AwsVpcConfiguration")),
    _none("ServiceVolumeConfiguration", EVERY, _FILES),
    *(_none(name, EVERY, _STORAGE) for name in ("ServiceManagedEBSVolumeConfiguration", "EBSTagSpecification")),
    *(_none(name, EVERY, _LATTICE) for name in ("VpcLatticeConfiguration", "VpcLatticeAdvancedConfiguration")),
    *(
        _none(f"GatewayConnector{name}", EVERY, _LATTICE)
        for name in ("", "HealthCheck", "HealthCheckMatcher", "Filters", "DeregistrationDelay")
    ),
    *(_none(n, EVERY, "there is no CloudWatch here") for n in ("MonitoringConfiguration", "MetricConfiguration")),
)

_CLUSTER_ROWS = (
    _acts("CreateClusterRequest", "clusterName serviceConnectDefaults"),
    _none("CreateClusterRequest", "tags", _TAGS),
    _none("CreateClusterRequest", "settings", "there is no CloudWatch here"),
    _none("CreateClusterRequest", "configuration", _EXEC),
    _none("CreateClusterRequest", "capacityProviders defaultCapacityProviderStrategy", _PLACED),
    _acts("ClusterServiceConnectDefaultsRequest"),
    _none("ClusterSetting", EVERY, "there is no CloudWatch here"),
    *(_none(name, EVERY, _EXEC) for name in ("ClusterConfiguration", "ExecuteCommandConfiguration")),
    _none("ExecuteCommandLogConfiguration", EVERY, _EXEC),
    _none("ManagedStorageConfiguration", EVERY, _STORAGE),
)

ROWS: tuple[Row, ...] = (*_CLUSTER_ROWS, *_TASK_ROWS, *_SERVICE_ROWS)

#: Members that would be noted in every file, and whose absence of effect surprises nobody, or that have a note of
#: their own.
QUIET = frozenset(
    f"{message}.{member}"
    for message, members in {
        "RegisterTaskDefinitionRequest": "cpu memory requiresCompatibilities tags taskRoleArn executionRoleArn",
        "ContainerDefinition": "cpu memory memoryReservation firelensConfiguration",
        "PortMapping": "hostPort",
        "CreateServiceRequest": "tags platformVersion availabilityZoneRebalancing enableECSManagedTags propagateTags clientToken role",
        "CreateClusterRequest": "tags settings",
    }.items()
    for member in members.split()
)

#: Values that ask for nothing; describe-* answers are full of them.
DEFAULTS: tuple[Any, ...] = (False, "", "ROLLING")


@cache
def table() -> dict[str, Row]:
    """``Message.member`` -> its row, for every member that the three requests reach. Raises KeyError for one without."""
    named = {f"{row.message}.{member}": row for row in ROWS for member in row.members.split() if member != EVERY}
    every = {row.message: row for row in ROWS if row.members == EVERY}
    return {
        f"{message}.{member}": named.get(f"{message}.{member}") or every[message]
        for message, member in reachable_members()
    }


def reachable_members() -> Iterator[tuple[str, str]]:
    """(message, member) of everything that the three requests reach, in the order of the schema."""
    for descriptor in ecs_pb2.DESCRIPTOR.message_types_by_name.values():
        for field in descriptor.fields:
            yield descriptor.name, field.json_name


def present(message: Message, path: str = "") -> Iterator[tuple[str, str, Any]]:
    """(``Message.member``, path, value) of every member that is set, outermost first."""
    for field, value in message.ListFields():
        place = join(path, field.json_name)
        yield f"{message.DESCRIPTOR.name}.{field.json_name}", place, value
        for inner, inner_place in _messages(field, value, place):
            yield from present(inner, inner_place)


def _messages(field: Any, value: Any, path: str) -> list[tuple[Any, str]]:
    kind = field.message_type
    if kind is None or kind.GetOptions().map_entry or kind.file.name != ecs_pb2.DESCRIPTOR.name:
        return []
    if not field.is_repeated:
        return [(value, path)]
    return [(message, place) for place, message in at_indices(path, value)]


def refused(spec: Message) -> Iterator[Issue]:
    """An issue for every refused member that is set."""
    for name, path, _ in _outermost(spec, REFUSED):
        yield issue(path, f"is not supported: {table()[name].why}")


def without_effect(spec: Message) -> Iterator[tuple[str, str]]:
    """(path, why) of every member that is set, has no effect here, and is worth telling."""
    for name, path, value in _outermost(spec, NO_EFFECT):
        if name not in QUIET and value not in DEFAULTS:
            yield path, table()[name].why


def _outermost(spec: Message, does: str) -> Iterator[tuple[str, str, Any]]:
    """Members of a class, without what stands inside of them."""
    last = "\0"
    for name, path, value in present(spec):
        if table()[name].does == does and not path.startswith((f"{last}.", f"{last}[")):
            last = path
            yield name, path, value


_HEADER = """# What each ECS member does here

Made from the table of `controlplane/tsunagu/model/members.py`; do not edit
(`TSUNAGU_REWRITE=1 pytest tests/unit/model/test_members.py`).
Shapes and names are AWS's own (RegisterTaskDefinition, CreateService, CreateCluster). A member that AWS does not have is
an error. A member *without effect* is accepted and named in the plan's notes; a *refused* one is an error that says why.
"""


def document() -> str:
    """docs/ecs-members.md: every member, by the message that has it."""
    lines = [_HEADER]
    last = ""
    for name, row in table().items():
        message, _, member = name.partition(".")
        if message != last:
            lines += [f"\n## {message}\n", "| member | here | why |", "|---|---|---|"]
            last = message
        lines.append(f"| `{member}` | {row.does} | {row.why} |")
    return "\n".join(lines) + "\n"
