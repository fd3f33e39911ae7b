"""What each field of ECS's shapes does here, in which runtime: it acts, it is accepted without effect, or it is refused.

The one rule: every field has exactly one row, so a user can be told what becomes of it. The table is the documentation:
docs/ecs-fields.md is made from it, and a test fails if AWS adds a field that no row names.
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
LINUX, DOCKER = "linux", "docker"


@dataclass(frozen=True, slots=True)
class Row:
    """What some fields of one message do. ``fields``: names with spaces between, or ``*`` for all that no row names.

    ``effect`` and ``why`` are those of the linux runtime, and of docker too, unless ``in_docker`` is another effect; then
    ``note`` says of it what its name does not.
    """

    message: str
    fields: str
    effect: str  # ACTS, NO_EFFECT or REFUSED
    why: str = ""
    in_docker: str = ""
    note: str = ""

    def effect_in(self, runtime: str) -> str:
        """Return ACTS, NO_EFFECT or REFUSED."""
        return self.in_docker or self.effect if runtime == DOCKER else self.effect

    @property
    def reasons(self) -> str:
        """Why it does what it does, for both runtimes."""
        if not self.in_docker:
            return self.why
        return "; ".join(filter(None, (f"linux: {self.why}", f"docker: {self.note}" if self.note else "")))


def _acts(message: str, fields: str = EVERY) -> Row:
    return Row(message, fields, ACTS)


def _none(message: str, fields: str, why: str) -> Row:
    return Row(message, fields, NO_EFFECT, why)


def _refused(message: str, fields: str, why: str) -> Row:
    return Row(message, fields, REFUSED, why)


def _docker(message: str, fields: str, why: str, note: str = "") -> Row:
    """A field that acts in the docker runtime; ``why`` it has no effect in the linux one."""
    return Row(message, fields, NO_EFFECT, why, ACTS, note)


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
_ROLE = "the command or URL that is mapped to the function's ARN is called as you"
_LATTICE = "there is no VPC Lattice here"
_EXEC = "`tsunagu exec` needs no setting"
_STORAGE = "there is no AWS storage here"
_TASK_NETWORK = "the node agent gives a task its network and its names"
_SHARED = "one network for all containers of the task: the first one's counts"
_ALLOW = "only with `--allow privileged`"
_BRIDGE = "in networkMode bridge; otherwise a task has an address of its own"

_TASK_ROWS = (
    _acts("RegisterTaskDefinitionRequest", "family networkMode containerDefinitions runtimePlatform"),
    _none("RegisterTaskDefinitionRequest", "taskRoleArn executionRoleArn", _ROLES),
    _docker("RegisterTaskDefinitionRequest", "cpu memory", _LIMITS, "what no container of the task may exceed"),
    _none("RegisterTaskDefinitionRequest", "ephemeralStorage", _LIMITS),
    _none("RegisterTaskDefinitionRequest", "placementConstraints requiresCompatibilities", _PLACED),
    _docker("RegisterTaskDefinitionRequest", "volumes", _FILES),
    _none("RegisterTaskDefinitionRequest", "tags", _TAGS),
    _docker(
        "RegisterTaskDefinitionRequest",
        "pidMode ipcMode",
        "the containers of a task share its process namespace",
        "host only with `--allow host-namespaces`",
    ),
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
        "stopTimeout workingDirectory healthCheck links",
    ),
    _none("ContainerDefinition", "firelensConfiguration", _ROUTER),
    _docker("ContainerDefinition", "cpu memory memoryReservation ulimits", _LIMITS),
    _none("ContainerDefinition", "resourceRequirements", f"{_LIMITS}; docker refuses a GPU when the task starts"),
    _docker("ContainerDefinition", "mountPoints volumesFrom readonlyRootFilesystem", _FILES),
    _none("ContainerDefinition", "logConfiguration", _LOGS),
    _none(
        "ContainerDefinition",
        "repositoryCredentials",
        "registries are asked with the credentials of Docker's own config",
    ),
    _none("ContainerDefinition", "versionConsistency", "an image is looked up when its task starts"),
    _none("ContainerDefinition", "environmentFiles", "S3 is not read; write the values in `environment` or `secrets`"),
    _docker("ContainerDefinition", "user", _USER),
    _docker("ContainerDefinition", "privileged", _USER, _ALLOW),
    _docker("ContainerDefinition", "linuxParameters dockerLabels interactive pseudoTerminal systemControls", _DEVICES),
    _docker(
        "ContainerDefinition", "dockerSecurityOptions", _DEVICES, "what loosens them only with `--allow privileged`"
    ),
    _none("ContainerDefinition", "credentialSpecs", _DEVICES),
    _docker("ContainerDefinition", "hostname dnsServers dnsSearchDomains", _TASK_NETWORK, _SHARED),
    _docker("ContainerDefinition", "extraHosts", _TASK_NETWORK, "they are names for all containers of the task"),
    _docker("ContainerDefinition", "disableNetworking", _TASK_NETWORK),
    _acts("PortMapping", "containerPort protocol name appProtocol"),
    _docker("PortMapping", "hostPort", f"{_TASK_NETWORK}; `kind: Gateway` opens ports of this machine", _BRIDGE),
    _none("PortMapping", "containerPortRange", "a task has an address of its own, so all its ports are open"),
    _acts("ContainerRestartPolicy"),
    _acts("KeyValuePair"),
    _acts("Secret"),
    _acts("ContainerDependency"),
    _acts("HealthCheck"),
    _none("FirelensConfiguration", EVERY, _ROUTER),
    Row("LogConfiguration", "logDriver options", ACTS, "a proxy's with awslogs; of a container see its own row"),
    _none("LogConfiguration", "secretOptions", "no log leaves this machine"),
    _none("RepositoryCredentials", EVERY, "registries are asked with the credentials of Docker's own config"),
    _none("EnvironmentFile", EVERY, "S3 is not read"),
    _docker("MountPoint", EVERY, _FILES),
    _docker("VolumeFrom", EVERY, _FILES),
    *(_docker(name, EVERY, _DEVICES) for name in ("LinuxParameters", "Tmpfs", "SystemControl")),
    _docker(
        "KernelCapabilities", EVERY, _DEVICES, "those that reach beyond the container only with `--allow privileged`"
    ),
    _docker("Device", EVERY, _DEVICES, _ALLOW),
    *(_none(name, EVERY, _DEVICES) for name in ("InferenceAccelerator", "TrustedExecutionConfiguration")),
    _docker("HostEntry", EVERY, "the node agent gives a task its names"),
    _docker("Ulimit", EVERY, _LIMITS),
    *(_none(name, EVERY, _LIMITS) for name in ("ResourceRequirement", "EphemeralStorage")),
    *(_none(name, EVERY, _LIMITS) for name in ("SharingStrategy", "NvidiaMpsAllocation")),
    _docker("Volume", "name host dockerVolumeConfiguration", _FILES),
    _docker("Volume", "efsVolumeConfiguration", _STORAGE, "a folder of this mesh stands in for the file system"),
    _none("Volume", EVERY, _STORAGE),
    _docker("HostVolumeProperties", EVERY, _FILES, "outside of the project's folder only with `--allow binds`"),
    _docker("DockerVolumeConfiguration", "scope driver driverOpts labels", _FILES),
    _none("DockerVolumeConfiguration", "autoprovision", "a volume that is not there is made"),
    _docker("EFSVolumeConfiguration", "fileSystemId rootDirectory", _STORAGE, "a folder of this mesh stands in for it"),
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
        "deploymentController deploymentConfiguration launchType healthCheckGracePeriodSeconds serviceRegistries",
    ),
    _none("CreateServiceRequest", "loadBalancers", _BALANCERS),
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
    _acts(
        "ServiceConnectConfiguration",
        "enabled namespace services logConfiguration accessLogConfiguration containerConfigurations",
    ),
    _acts("ServiceConnectService", "portName discoveryName clientAliases ingressPortOverride timeout tls"),
    _acts("ServiceConnectClientAlias"),
    *(_acts(f"ServiceConnectTestTraffic{name}") for name in ("Rules", "HeaderRules", "HeaderMatchRules")),
    _acts("TimeoutConfiguration"),
    _acts("ServiceConnectTlsConfiguration", "issuerCertificateAuthority"),
    _none(
        "ServiceConnectTlsConfiguration", "kmsKey", "a task's key is made where the task runs, and is kept nowhere else"
    ),
    _none("ServiceConnectTlsConfiguration", "roleArn", "certificates are signed by an authority of the mesh itself"),
    _acts("ServiceConnectTlsCertificateAuthority"),
    _acts("ServiceConnectAccessLogConfiguration"),
    _acts("ServiceConnectContainerConfiguration"),
    _acts("DeploymentController"),
    _acts("DeploymentConfiguration"),
    _acts("DeploymentAlarms"),
    _acts("DeploymentLifecycleHook", "targetType hookTargetArn lifecycleStages hookDetails timeoutConfiguration"),
    _none("DeploymentLifecycleHook", "roleArn", _ROLE),
    _acts("DeploymentLifecycleHookTimeoutConfiguration"),
    *(
        _acts(name)
        for name in (
            *("DeploymentCircuitBreaker", "ThresholdConfiguration", "LinearConfiguration", "CanaryConfiguration"),
            "DeploymentEarlySuccessCriteria",
        )
    ),
    *(_none(name, EVERY, _BALANCERS) for name in ("LoadBalancer", "AdvancedConfiguration")),
    _acts("ServiceRegistry"),
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

#: Fields without effect that need no warning: nearly every file has them and nobody expects an effect, or ``warnings`` has
#: a warning of its own for them.
QUIET = frozenset(
    f"{message}.{field}"
    for message, fields in {
        "RegisterTaskDefinitionRequest": "cpu memory requiresCompatibilities tags taskRoleArn executionRoleArn",
        "ContainerDefinition": "cpu memory memoryReservation firelensConfiguration",
        "PortMapping": "hostPort",
        "CreateServiceRequest": "tags platformVersion availabilityZoneRebalancing enableECSManagedTags propagateTags clientToken role",
        "DeploymentLifecycleHook": "roleArn",
        "CreateClusterRequest": "tags settings",
    }.items()
    for field in fields.split()
)

#: Values that ask for nothing; the output of describe-* is full of them.
DEFAULTS: tuple[Any, ...] = (False, "", "ROLLING")


@cache
def table() -> dict[str, Row]:
    """Return ``Message.field`` -> row for every field within the three requests. Raises KeyError if one has no row."""
    named = {f"{row.message}.{field}": row for row in ROWS for field in row.fields.split() if field != EVERY}
    every = {row.message: row for row in ROWS if row.fields == EVERY}
    return {
        f"{message}.{field}": named.get(f"{message}.{field}") or every[message] for message, field in reachable_fields()
    }


def reachable_fields() -> Iterator[tuple[str, str]]:
    """Yield (message, field) for every field within the three requests, in the order of the schema."""
    for descriptor in ecs_pb2.DESCRIPTOR.message_types_by_name.values():
        for field in descriptor.fields:
            yield descriptor.name, field.json_name


def present(message: Message, path: str = "") -> Iterator[tuple[str, str, Any]]:
    """Yield (``Message.field``, path, value) for every field that is set; a message comes before what is in it."""
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
    """Yield an issue for every refused field that is set."""
    for name, path, _ in _outermost(spec, REFUSED):
        yield issue(path, f"is not supported: {table()[name].why}")


def without_effect(spec: Message, runtime: str = LINUX) -> Iterator[tuple[str, str]]:
    """Yield (path, reason) for every field that is set, has no effect in that runtime, and deserves a warning."""
    for name, path, value in _outermost(spec, NO_EFFECT, runtime):
        if name not in QUIET and value not in DEFAULTS:
            yield path, table()[name].why


def _outermost(spec: Message, effect: str, runtime: str = LINUX) -> Iterator[tuple[str, str, Any]]:
    """Fields with this effect, without the fields inside them."""
    last = "\0"
    for name, path, value in present(spec):
        if table()[name].effect_in(runtime) == effect and not path.startswith((f"{last}.", f"{last}[")):
            last = path
            yield name, path, value


_HEADER = """# What each ECS field does here

Made from the table of `controlplane/tsunagu/model/ecs_fields.py`; do not edit
(`TSUNAGU_REWRITE=1 pytest tests/unit/model/test_ecs_fields.py`).
Shapes and names are AWS's own (RegisterTaskDefinition, CreateService, CreateCluster). A field that AWS does not have is
an error. A field *without effect* is accepted and named in the plan's notes; a *refused* one is an error that says why.

*linux* and *docker* are the runtimes; `docs/cli.md` says which one a mesh gets. That a field acts in docker, or does not, is
tested against what the engine is asked for (`tests/unit/tsunagu_node/runtime/docker/test_ecs_fields.py`).
"""


def document() -> str:
    """Return the text of docs/ecs-fields.md: every field, grouped by message."""
    lines = [_HEADER]
    last = ""
    for name, row in table().items():
        message, _, field = name.partition(".")
        if message != last:
            lines += [f"\n## {message}\n", "| field | linux | docker | why |", "|---|---|---|---|"]
            last = message
        lines.append(f"| `{field}` | {row.effect} | {row.effect_in(DOCKER)} | {row.reasons} |")
    return "\n".join(lines) + "\n"
