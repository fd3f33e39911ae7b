"""Validation rules for services and for what they offer to their namespace.

The one rule: a validation rule is a generator of issues about one Subject, is listed in RULES, and depends on no other.
What AWS refuses is refused here. What AWS only warns about, or what has no effect here, is a warning of the plan.

Sources: ECS API Reference, CreateService and the ServiceConnect... shapes; ECS Developer Guide, Service Connect.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tsunagu.kit.spelling import did_you_mean
from tsunagu.model import images, references, revisions
from tsunagu.model.deployments import code_deploy
from tsunagu.model.rules.constraints import Pattern, issue, shown
from tsunagu.model.rules.names import resolvable
from tsunagu.model.rules.parts import linked_and_connected, targets
from tsunagu.model.rules.registries import registries
from tsunagu.model.rules.tasks import RESERVED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tsunagu.model.errors import Issue
    from tsunagu.model.rules.subject import Subject
    from tsunagu.v1 import ecs_pb2, objects_pb2

_CONNECT = "serviceConnectConfiguration"
_NO_CONNECT_MODES = ("host", "none")
#: Source: CloudWatch Logs API Reference, CreateLogGroup and CreateLogStream.
_LOG_NAMES = {
    "awslogs-group": Pattern(
        re.compile(r"[\w.#/-]{1,512}", re.ASCII), "1 to 512 letters, digits, '_', '-', '/', '.' and '#', without '..'"
    ),
    "awslogs-stream-prefix": Pattern(re.compile(r"[^:*\0]{1,400}"), "a text without ':' and '*', and without '..'"),
}


def named_rightly(subject: Subject) -> Iterator[Issue]:
    spec = _spec(subject)
    wanted = f"{references.cluster_of(spec)}/{spec.service_name}"
    if subject.name != wanted:
        yield issue("", f"its name is not {wanted}")


def cluster_exists(subject: Subject) -> Iterator[Issue]:
    clusters = subject.indexes.objects("Cluster")
    cluster = references.cluster_of(_spec(subject))
    if cluster not in clusters:
        yield issue("cluster", f"there is no cluster {cluster!r}", did_you_mean(cluster, clusters))


def task_definition_exists(subject: Subject) -> Iterator[Issue]:
    wanted = _spec(subject).task_definition
    if not wanted or subject.indexes.task_definition(_spec(subject)) is not None:
        return
    family, _ = references.task_definition_reference(wanted)
    latest = references.revisions_of(family, subject.indexes.state)
    families = {obj.task_definition.spec.family for obj in subject.indexes.objects("TaskDefinition").values()}
    hint = f"the latest is {family}:{latest[-1].revision}" if latest else did_you_mean(family, families)
    yield issue("taskDefinition", f"no task definition {wanted!r} is registered", hint)


def can_start(subject: Subject) -> Iterator[Issue]:
    """Each container has a command. If the task definition is put in the same batch, its own rules check that."""
    definition = subject.indexes.task_definition(_spec(subject))
    if definition is None or not subject.indexes.is_as_before("TaskDefinition", _name(definition)):
        return
    for container in definition.spec.container_definitions:
        missing = images.missing_command(container, subject.indexes.state)
        if missing is not None:
            yield issue("taskDefinition", f"{_name(definition)}: {missing[0]}", missing[1])


def scheduling(subject: Subject) -> Iterator[Issue]:
    """Service Connect is for services that ECS itself deploys, on nodes of its own."""
    spec = _spec(subject)
    controller = spec.deployment_controller.type
    if controller in ("CODE_DEPLOY", "EXTERNAL") and references.connects(spec):
        reason = f"{controller} has no Service Connect, in AWS as here"
        yield issue("deploymentController.type", reason, code_deploy.as_written(""))
    if spec.launch_type == "EXTERNAL" and references.connects(spec):
        yield issue("launchType", "EXTERNAL (ECS Anywhere) has no Service Connect", "use FARGATE or EC2")


def launch_type(subject: Subject) -> Iterator[Issue]:
    """A service has a launch type or a capacity provider strategy, and its task definition is for that launch type."""
    spec = _spec(subject)
    if spec.launch_type and spec.capacity_provider_strategy:
        yield issue("launchType", "goes with no capacityProviderStrategy, in AWS", "leave one of them out")
    definition = subject.indexes.task_definition(spec)
    if definition is None or spec.launch_type != "FARGATE":
        return
    made_for = definition.spec.requires_compatibilities
    mode = definition.spec.network_mode
    if made_for and "FARGATE" not in made_for:
        reason = f"{_name(definition)} is for {', '.join(made_for)}: its requiresCompatibilities lack FARGATE"
        yield issue("launchType", reason, "use its launch type, or add FARGATE there")
    elif mode not in ("", "awsvpc"):
        yield issue("launchType", f"{_name(definition)} has networkMode {mode}, and Fargate has awsvpc only")


def namespace_exists(subject: Subject) -> Iterator[Issue]:
    spec = _spec(subject)
    if not references.connects(spec):
        return
    namespace = references.namespace_of(spec, subject.indexes.state)
    if not namespace:
        reason = f"no namespace: the service names none, and cluster {references.cluster_of(spec)!r} has no default"
        yield issue(_CONNECT, reason, "write `namespace`, or give the cluster serviceConnectDefaults.namespace")
    elif namespace not in subject.indexes.objects("Namespace"):
        known = subject.indexes.objects("Namespace")
        yield issue(f"{_CONNECT}.namespace", f"there is no namespace {namespace!r}", did_you_mean(namespace, known))


def network_mode(subject: Subject) -> Iterator[Issue]:
    definition = _connected_definition(subject)
    if definition is not None and definition.spec.network_mode in _NO_CONNECT_MODES:
        mode = definition.spec.network_mode
        reason = f"{_spec(subject).task_definition} has networkMode {mode}, which Service Connect does not support"
        yield issue("taskDefinition", reason, "use awsvpc or bridge")


def port_names(subject: Subject) -> Iterator[Issue]:
    """A portName is the name of a tcp port of the task definition."""
    definition = _connected_definition(subject)
    if definition is None:
        return
    found = {one.name: (box, one) for _, _, box, one in references.port_mappings(definition.spec) if one.name}
    mappings = {name: mapping for name, (_, mapping) in found.items()}
    containers = definition.spec.container_definitions
    skipped = {one.name for one in containers if images.is_left_out(one, subject.indexes.state)}
    for index, offered in _offered(subject):
        path = f"{_CONNECT}.services[{index}].portName"
        container, mapping = found.get(offered.port_name, (None, None))
        if container is None or mapping is None:
            reason = f"{_name(definition)} has no port named {shown(offered.port_name)}"
            hint = did_you_mean(offered.port_name, mappings) or _ports_hint(mappings)
            yield issue(path, reason, hint)
        elif container.name in skipped:
            reason = f"port {offered.port_name!r} is of container {container.name!r}, which its Image skips"
            yield issue(path, reason, "nothing would listen there")
        elif mapping.protocol == "udp":
            yield issue(path, f"port {offered.port_name!r} is udp; Service Connect carries tcp")


def _ports_hint(mappings: dict[str, ecs_pb2.PortMapping]) -> str:
    if mappings:
        return f"its named ports are {', '.join(sorted(mappings))}"
    return "give a portMappings entry a `name`"


def client_aliases(subject: Subject) -> Iterator[Issue]:
    for index, offered in _offered(subject):
        if len(offered.client_aliases) > 1:
            path = f"{_CONNECT}.services[{index}].clientAliases"
            yield issue(
                path, "has more than one alias", "AWS takes one; offer the port a second time under another name"
            )


def unique_discovery_names(subject: Subject) -> Iterator[Issue]:
    """A discovery name belongs to one service of its namespace."""
    namespace = references.namespace_of(_spec(subject), subject.indexes.state)
    for index, offered in _offered(subject):
        name = revisions.discovery_name(offered)
        owners = subject.indexes.discovery_names[namespace, name]
        written = "discoveryName" if offered.discovery_name else "portName"
        yield from _taken(subject, owners, f"{_CONNECT}.services[{index}].{written}", f"the discovery name {name!r}")


def unique_aliases(subject: Subject) -> Iterator[Issue]:
    """An alias (DNS name and port) belongs to one service of its namespace."""
    definition = _connected_definition(subject)
    namespace = references.namespace_of(_spec(subject), subject.indexes.state)
    for index, offered in _offered(subject):
        mapping = references.port_named(offered.port_name, definition.spec) if definition else None
        for alias in revisions.aliases(offered, mapping.container_port if mapping else 0, namespace):
            owners = subject.indexes.aliases[namespace, alias.dns_name, str(alias.port)]
            path = f"{_CONNECT}.services[{index}]" + (".clientAliases[0]" if offered.client_aliases else "")
            yield from _taken(subject, owners, path, f"{alias.dns_name}:{alias.port}")


def _own_name(subject: Subject, path: str, what: str) -> str:
    """What would be right: a discovery name of the service's own, which is its portName as long as it has none."""
    own = _spec(subject).service_name
    if path.endswith(".discoveryName"):
        return "write another one"
    return "write a discoveryName" if repr(own) in what else f"write discoveryName: {own}"


def _taken(subject: Subject, owners: list[str], path: str, what: str) -> Iterator[Issue]:
    others = [one for one in owners if one != subject.name]
    if others:
        message = f"{what} already belongs to service {others[0]} in this namespace"
        yield issue(
            path, message, _own_name(subject, path, what) if path.endswith((".portName", ".discoveryName")) else ""
        )
    elif len(owners) > 1:
        yield issue(path, f"{what} is offered twice by this service")


def timeouts(subject: Subject) -> Iterator[Issue]:
    """A tcp port has no request timeout, since tcp has no requests."""
    definition = _connected_definition(subject)
    for index, offered in _offered(subject):
        mapping = references.port_named(offered.port_name, definition.spec) if definition else None
        if mapping is None or mapping.app_protocol:
            continue
        if offered.timeout.HasField("per_request_timeout_seconds"):
            path = f"{_CONNECT}.services[{index}].timeout.perRequestTimeoutSeconds"
            reason = f"port {offered.port_name!r} has no appProtocol, so it is tcp, which has no requests"
            yield issue(path, reason, "use idleTimeoutSeconds, or give the port an appProtocol")


def ingress_ports(subject: Subject) -> Iterator[Issue]:
    """An ingressPortOverride is a port of the task that nothing else uses."""
    definition = _connected_definition(subject)
    containers = (
        {one.container_port for _, _, _, one in references.port_mappings(definition.spec)} if definition else set()
    )
    seen: set[int] = set()
    for index, offered in _offered(subject):
        port = offered.ingress_port_override
        path = f"{_CONNECT}.services[{index}].ingressPortOverride"
        if port in RESERVED:
            yield issue(path, f"{port} is one of 15000-15999, which are reserved for the proxy")
        if port and port in containers:
            yield issue(path, f"{port} is a containerPort of the task", "use a port that no container has")
        if port and port in seen:
            yield issue(path, f"{port} is the ingress port of two of its services")
        seen.add(port)


def proxy_settings(subject: Subject) -> Iterator[Issue]:
    """Each setting of the proxy is given once."""
    settings = _spec(subject).service_connect_configuration.container_configurations
    levels = [one for one in settings if one.HasField("log_level")]
    if len(levels) > 1:
        yield issue(f"{_CONNECT}.containerConfigurations", "logLevel is given twice", "keep one")


def proxy_log(subject: Subject) -> Iterator[Issue]:
    """A log group and a stream prefix have the characters that CloudWatch takes, and lead nowhere else."""
    options = _spec(subject).service_connect_configuration.log_configuration.options
    for name, pattern in _LOG_NAMES.items():
        written = options.get(name, "")
        if written and (not pattern.expression.fullmatch(written) or ".." in written.split("/")):
            path = f"{_CONNECT}.logConfiguration.options.{name}"
            yield issue(path, f"{shown(written)} is not valid", f"it must be {pattern.words}")


def lasting_protocols(subject: Subject) -> Iterator[Issue]:
    """A live service's port keeps its appProtocol and protocol, for which its callers' listeners are made."""
    old = references.objects(subject.indexes.before, "Service").get(subject.name)
    definition = _connected_definition(subject)
    if old is None or definition is None or not references.connects(old.service.spec):
        return
    known = references.find_task_definition(old.service.spec.task_definition, subject.indexes.before)
    before = _protocols(old.service.spec, known)
    for index, offered in _offered(subject):
        now = _protocols(_spec(subject), definition).get(offered.port_name)
        then = before.get(offered.port_name)
        if now and then and now != then:
            path = f"{_CONNECT}.services[{index}].portName"
            reason = f"port {offered.port_name!r} of the live service is {then}, and would become {now}"
            yield issue(path, reason, "delete the service and create it again, or offer the port under another name")


def of_a_machine(subject: Subject) -> Iterator[Issue]:
    """Who has the identity of a machine is there as long as somebody there keeps it, and only calls."""
    if not subject.obj.service.host:
        return
    if not subject.obj.meta.lease:
        yield issue(
            "host", "only a service that hangs on a lease calls as its node's machine", "'tsunagu connect' makes one"
        )
    if _spec(subject).service_connect_configuration.services:
        yield issue(f"{_CONNECT}.services", "a service that calls as its node's machine offers nothing")


def _protocols(spec: ecs_pb2.CreateServiceRequest, definition: objects_pb2.TaskDefinition | None) -> dict[str, str]:
    """Port name -> protocol of each port that a service offers."""
    found = {}
    for offered in spec.service_connect_configuration.services:
        mapping = references.port_named(offered.port_name, definition.spec) if definition else None
        if mapping is not None:
            found[offered.port_name] = mapping.app_protocol or mapping.protocol or "tcp"
    return found


def _spec(subject: Subject) -> ecs_pb2.CreateServiceRequest:
    return subject.obj.service.spec


def _offered(subject: Subject) -> list[tuple[int, ecs_pb2.ServiceConnectService]]:
    """(index, entry) of each port that the service offers; none if Service Connect is off."""
    spec = _spec(subject)
    return list(enumerate(spec.service_connect_configuration.services)) if references.connects(spec) else []


def _connected_definition(subject: Subject) -> objects_pb2.TaskDefinition | None:
    spec = _spec(subject)
    return subject.indexes.task_definition(spec) if references.connects(spec) else None


def _name(definition: objects_pb2.TaskDefinition) -> str:
    return f"{definition.spec.family}:{definition.revision}"


RULES = (
    *(named_rightly, cluster_exists, task_definition_exists, can_start, scheduling, launch_type, namespace_exists),
    *(network_mode, port_names, client_aliases, unique_discovery_names, unique_aliases, timeouts, ingress_ports),
    *(
        proxy_settings,
        proxy_log,
        lasting_protocols,
        resolvable,
        targets,
        linked_and_connected,
        registries,
        of_a_machine,
    ),
)
