"""Checks each field of a message by itself: whether AWS (or tsunagu) accepts its value.

The one rule: a constraint on a single field is a row of a table, here (ranges, patterns, required fields) or in
``ecs_constraints`` (AWS's own enums). Rules about several fields or objects are in ``validate``.

Source: the limits in the ECS API Reference; AWS's names are used throughout.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tsunagu.kit.spelling import did_you_mean
from tsunagu.model.deployments import alarm_constraints as alarms
from tsunagu.model.errors import Issue
from tsunagu.model.identity import modes
from tsunagu.model.manifests import templates
from tsunagu.model.outside.external import MOST_ADDRESSES
from tsunagu.model.rules import access_constraints as access
from tsunagu.model.rules import traffic_constraints as traffic
from tsunagu.model.rules.ecs_constraints import ENUMS, REQUIRED, UNIONS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from google.protobuf.descriptor import FieldDescriptor
    from google.protobuf.message import Message

ENDLESS = 2147483647
DAY = 24 * 60 * 60  # longer than anybody waits for a task to stop; AWS has no limit on EC2, and 120 on Fargate


@dataclass(frozen=True, slots=True)
class Pattern:
    """What a text must look like, as a regular expression and in words."""

    expression: re.Pattern[str]
    words: str


def _pattern(expression: str, words: str) -> Pattern:
    return Pattern(re.compile(expression), words)


_RESOURCE = _pattern(r"[A-Za-z0-9_-]{1,255}", "1 to 255 letters, digits, hyphens and underscores")
_SERVICE = _pattern(r"([A-Za-z0-9_-]{1,255}/)?[A-Za-z0-9_-]{1,255}", "SERVICE or CLUSTER/SERVICE")
_PORT_NAME = _pattern(r"[a-z0-9_][a-z0-9_-]{0,63}", "1 to 64 lowercase letters, digits, '_' and '-', no '-' in front")
_DNS_NAME = _pattern(
    r"(?=.{1,127}\Z)[a-z0-9_][a-z0-9_-]{0,62}(\.[a-z0-9_][a-z0-9_-]{0,62})*",
    "a DNS name of at most 127 lowercase letters, digits, '_', '-' and '.', no '-' in front",
)
#: The name of a Namespace. Cloud Map also allows '/' and ':', but our names have those between their parts.
NAMESPACE_NAME = _pattern(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,1023}", "a name of letters, digits, '_', '-' and '.'")
_NAMESPACE = _pattern(
    rf"arn:[^\s<>\"/]{{1,1020}}:namespace/{NAMESPACE_NAME.expression.pattern}|{NAMESPACE_NAME.expression.pattern}",
    f"{NAMESPACE_NAME.words}, or a namespace's ARN (arn:...:namespace/ID)",
)
_ARN_OF_NAMESPACE = _pattern(r"arn:[^\s<>\"/]{1,1020}:namespace/[A-Za-z0-9_.-]{1,255}", "arn:...:namespace/ID")
_HOST_NAME = _pattern(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9_])?", "a DNS name")
_ENVIRONMENT = _pattern(r"[^=\x00]+", "a name without '='")

#: The form that a text must have, by ``Message.field``.
PATTERNS: dict[str, Pattern] = {
    "RegisterTaskDefinitionRequest.family": _RESOURCE,
    "ContainerDefinition.name": _RESOURCE,
    "ContainerDefinition.image": _pattern(r"\S+", "an image reference without spaces"),
    "CreateServiceRequest.serviceName": _RESOURCE,
    "CreateServiceRequest.cluster": _pattern(
        r"(arn:[^\s/]+:cluster/)?[A-Za-z0-9_-]{1,255}", "a cluster's name or ARN (arn:...:cluster/NAME)"
    ),
    "CreateServiceRequest.taskDefinition": _pattern(
        r"(arn:[^\s/]+:task-definition/)?[A-Za-z0-9_-]{1,255}(:[0-9]{1,9})?",
        "family, family:revision or the ARN of one (arn:...:task-definition/FAMILY:REVISION)",
    ),
    "CreateClusterRequest.clusterName": _RESOURCE,
    "ClusterServiceConnectDefaultsRequest.namespace": _NAMESPACE,
    "ServiceConnectConfiguration.namespace": _NAMESPACE,
    "ServiceConnectService.portName": _PORT_NAME,
    "ServiceSettings.backends": _PORT_NAME,
    "AccessTarget.service": _SERVICE,
    "AccessCaller.service": _SERVICE,
    "AccessCaller.family": _RESOURCE,
    "AccessCaller.gateway": _pattern(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,254}", "a gateway's name"),
    "AccessCaller.cluster": _RESOURCE,
    "AccessCaller.namespace": NAMESPACE_NAME,
    "AccessRequest.serviceName": _pattern(r"[A-Za-z0-9_.]+", "PACKAGE.SERVICE"),
    "AccessRequest.methodName": _pattern(r"[A-Za-z0-9_]+", "a method's name"),
    "Route.alias": _pattern(r"[a-z0-9_][a-z0-9_.-]{0,126}(:[0-9]{1,5})?", "DNSNAME or DNSNAME:PORT"),
    "Route.hosts": _pattern(r"(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*(:[0-9]{1,5})?", "a host, or *. and a domain"),
    "ServiceConnectService.discoveryName": _PORT_NAME,
    "ServiceConnectClientAlias.dnsName": _DNS_NAME,
    "ExternalAlias.dnsName": _DNS_NAME,
    "ExternalTls.serverName": _HOST_NAME,
    "PortMapping.name": _PORT_NAME,
    "Secret.name": _ENVIRONMENT,
    "KeyValuePair.name": _ENVIRONMENT,
    "Namespace.arn": _ARN_OF_NAMESPACE,
    "Namespace.egress": _pattern(
        r"allow|deny|(\*\.)?[A-Za-z0-9_]([A-Za-z0-9_-]{0,62})(\.[A-Za-z0-9_][A-Za-z0-9_-]{0,62})+",
        "allow, deny, a DNS name with a dot in it, or *. and a domain",
    ),
    "Gateway.namespace": NAMESPACE_NAME,
    "Gateway.cluster": _RESOURCE,
    "PublishedPort.alias": _DNS_NAME,
    "PublishedPort.host": _pattern(r"[0-9a-fA-F:.]{2,45}", "an IP address"),
    "Tracing.collector": _pattern(
        r"([A-Za-z0-9_.-]{1,127}|\[[0-9a-fA-F:.]+\]):[1-9][0-9]{0,4}",
        "NAME:PORT of an alias in the namespace, or IP:PORT",
    ),
    "Override.image": _pattern(r"\S+", "an image reference without spaces"),
    "Image.pattern": _pattern(r"\S+", "a glob over image references, without spaces"),
    **{name: _pattern(*form) for name, form in alarms.PATTERNS.items()},
}

#: (lowest, highest) value of a number, by ``Message.field``. Units are AWS's: seconds, ports, counts, percent.
RANGES: dict[str, tuple[float, float]] = {
    "PortMapping.containerPort": (1, 65535),
    "PortMapping.hostPort": (0, 65535),
    "ServiceConnectService.ingressPortOverride": (0, 65535),
    "ServiceConnectClientAlias.port": (1, 65535),
    "TimeoutConfiguration.idleTimeoutSeconds": (0, ENDLESS),
    "TimeoutConfiguration.perRequestTimeoutSeconds": (0, ENDLESS),
    "HealthCheck.interval": (5, 300),
    "HealthCheck.timeout": (2, 60),
    "HealthCheck.retries": (1, 10),
    "HealthCheck.startPeriod": (0, 300),
    "ContainerDefinition.startTimeout": (0, ENDLESS),  # 2 to 120 on Fargate only
    "ContainerDefinition.stopTimeout": (0, DAY),
    "ContainerRestartPolicy.restartAttemptPeriod": (60, 1800),
    "CreateServiceRequest.desiredCount": (0, 1000),
    "CreateServiceRequest.healthCheckGracePeriodSeconds": (0, ENDLESS),
    "CanaryConfiguration.canaryBakeTimeInMinutes": (0, 1440),
    "CanaryConfiguration.canaryPercent": (0.1, 100),
    "LinearConfiguration.stepBakeTimeInMinutes": (0, 1440),
    "LinearConfiguration.stepPercent": (3, 100),
    "DeploymentConfiguration.bakeTimeInMinutes": (0, 1440),
    "DeploymentLifecycleHookTimeoutConfiguration.timeoutInMinutes": (1, 20160),
    "DeploymentEarlySuccessCriteria.healthyPercent": (0, 100),
    "ThresholdConfiguration.value": (1, ENDLESS),
    "DeploymentConfiguration.maximumPercent": (100, 1000),
    "DeploymentConfiguration.minimumHealthyPercent": (0, 100),
    "ServiceSettings.drainTimeoutSeconds": (0, 3600),
    "Override.desiredCount": (0, 1000),
    "Tracing.samplingPercentage": (0, 100),
    "ExternalAlias.port": (1, 65535),
    "PublishedPort.hostPort": (1, 65535),
    "PublishedPort.port": (1, 65535),
    **traffic.RANGES,
    **alarms.RANGES,
}

#: How many elements a list may have, by ``Message.field`` (ECS API Reference, and its service quotas).
LENGTHS: dict[str, int] = {
    "RegisterTaskDefinitionRequest.containerDefinitions": 10,
    "RegisterTaskDefinitionRequest.placementConstraints": 10,
    "RegisterTaskDefinitionRequest.tags": 50,
    "ContainerDefinition.environmentFiles": 10,
    "CreateServiceRequest.loadBalancers": 5,
    "CreateServiceRequest.placementConstraints": 10,
    "CreateServiceRequest.placementStrategy": 5,
    "CreateServiceRequest.tags": 50,
    "CreateClusterRequest.tags": 50,
    "AwsVpcConfiguration.subnets": 16,
    "External.addresses": MOST_ADDRESSES,
    "AwsVpcConfiguration.securityGroups": 5,
    **traffic.LENGTHS,
    **access.LENGTHS,
    **alarms.LENGTHS,
}

#: Required fields: those of AWS's model, those that AWS requires in its prose, and ours.
MUST: dict[str, tuple[str, ...]] = {
    **REQUIRED,
    "ContainerDefinition": ("name", "image"),
    "CreateServiceRequest": ("serviceName", "taskDefinition"),
    "PortMapping": (),
    "KeyValuePair": ("name",),
    "Gateway": ("namespace", "ports"),
    "PublishedPort": ("hostPort",),
    "GatewayTls": ("certificateChain", "privateKey"),
    "Image": ("pattern",),
    "Override": ("service",),
    "Tracing": ("collector",),
    "External": ("addresses",),
    "ExternalAlias": ("dnsName", "port"),
    **traffic.MUST,
    **access.MUST,
    **alarms.MUST,
}

#: What to do about a missing field, where that is not to write it alone.
_MISSING = {
    "CreateServiceRequest.serviceName": "write it, or give --service-name NAME",
    "CreateServiceRequest.taskDefinition": "write the family of a task definition",
    "RegisterTaskDefinitionRequest.family": "write the name under which services use it",
    **access.MISSING,
}

PROTOCOLS = ("tcp", "http", "http2", "grpc")
#: The only values that a field may have: AWS's enums, and ours.
VALUES: dict[str, tuple[str, ...]] = {
    **ENUMS,
    **traffic.VALUES,
    **access.VALUES,
    **alarms.VALUES,
    "Namespace.freeze": ("deployment",),
    "Namespace.tls": modes.MODES,
    "External.appProtocol": PROTOCOLS,
}
#: Lists that may be written as their only element.
ONE_OR_MORE = frozenset({"Namespace.egress"})
_UNIONS = {*UNIONS, *traffic.UNIONS}


def check_message(message: Message, path: str = "") -> Iterator[Issue]:
    """Yield an issue for every invalid field of a message and of the messages in it. ``path``: of the message itself."""
    owner = message.DESCRIPTOR.name
    present = {field.json_name: value for field, value in message.ListFields()}
    for required in MUST.get(owner, ()):
        if required not in present:
            yield issue(path, f"{required} is missing", _MISSING.get(f"{owner}.{required}", ""))
    if owner in _UNIONS and len(present) != 1:
        yield issue(path, f"must set exactly one of {words(field_names(message))}, has {words(present) or 'none'}")
    for field, value in message.ListFields():
        yield from _check_field(f"{owner}.{field.json_name}", field, value, join(path, field.json_name))


def check_fields(message: Message) -> Iterator[Issue]:
    """Yield an issue for every invalid field that a user writes in an object, with the path that the user writes."""
    fields = message.DESCRIPTOR.fields_by_name
    if "spec" not in fields:
        yield from check_message(message)
        return
    yield from check_message(getattr(message, "spec"))  # noqa: B009 -- Message declares no fields
    if "settings" in fields:
        yield from check_message(getattr(message, "settings"), "tsunagu")  # noqa: B009


def _check_field(name: str, field: Any, value: Any, path: str) -> Iterator[Issue]:
    if name in LENGTHS and len(value) > LENGTHS[name]:
        yield issue(path, f"has {len(value)} elements, more than the {LENGTHS[name]} that AWS takes")
    if field.message_type is None:
        many = isinstance(value, (str, bytes, bool, int, float))
        for place, scalar in [(path, value)] if many else at_indices(path, value):
            yield from _check_scalar(name, scalar, place)
    elif field.message_type.GetOptions().map_entry:
        for key, scalar in value.items():
            yield from _check_scalar(name, key, path)
            yield from _check_scalar(name, scalar, join(path, key))
    elif field.message_type.file.package == "tsunagu.v1":
        messages = at_indices(path, value) if is_repeated(field) else [(path, value)]
        for place, message in messages:
            yield from check_message(message, place)


def _check_scalar(name: str, value: Any, path: str) -> Iterator[Issue]:
    if isinstance(value, str) and "\0" in value:
        yield issue(path, "holds a NUL byte, which no program can be given", "leave it out")
        return
    if name in VALUES and value not in VALUES[name]:
        yield issue(path, f"{value!r} is none of {words(VALUES[name])}", did_you_mean(value, VALUES[name]))
    if name in PATTERNS and not PATTERNS[name].expression.fullmatch(value):
        template = templates.hint(value)
        yield issue(path, f"{shown(value)} is not valid", template or f"it must be {PATTERNS[name].words}")
    if name in RANGES:
        low, high = RANGES[name]
        if not low <= value <= high:
            yield issue(path, f"{value} is out of range", f"it must be {low} to {high}")


def issue(path: str, message: str, suggestion: str = "") -> Issue:
    """Make an issue without a place in a text; whoever has the document adds it (``Document.locate``)."""
    return Issue("", 0, 0, path, message, suggestion)


def join(path: str, field: str) -> str:
    return f"{path}.{field}" if path else field


def at_indices(path: str, values: Iterable[Any]) -> list[tuple[str, Any]]:
    return [(f"{path}[{index}]", value) for index, value in enumerate(values)]


def is_repeated(field: FieldDescriptor) -> bool:
    return field.is_repeated


def field_names(message: Message) -> list[str]:
    """AWS's names of a message's fields."""
    return [field.json_name for field in message.DESCRIPTOR.fields]


def words(names: Iterable[str]) -> str:
    return ", ".join(names)


def shown(value: str, longest: int = 60) -> str:
    """Return a text as an error message shows it."""
    return repr(value if len(value) <= longest else value[:longest] + "...")
