"""The answers of the task metadata endpoint as JSON values: a container's, and a task's with all of its containers. Pure.

Rule: a member that is not known is left out, as AWS leaves it out, and none is made up. Source of names and shapes: Amazon
ECS Developer Guide, "Task metadata endpoint version 4" (and 3, 2), with the examples there.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from ipaddress import ip_network
from typing import Any, Final

from google.protobuf.timestamp_pb2 import Timestamp

from tsunagu.model.statuses import HealthStatus, Status
from tsunagu.v1 import ecs_pb2
from tsunagu_node.task.containers import State
from tsunagu_node.task.metadata.facts import Facts

Document = dict[str, Any]
_LABEL: Final = "com.amazonaws.ecs."
_UNITS: Final = 1024  # CPU units of one vCPU
_COUNTED: Final = ("ExitCode", "RestartCount")
#: What versions 2 and 3 do not have yet: of a task, of a container, of a container's network.
_NEW_IN_4: Final = (
    frozenset({"LaunchType", "ServiceName"}),
    frozenset({"ContainerARN", "LogDriver", "LogOptions", "RestartCount"}),
    frozenset({"NetworkMode", "IPv4Addresses"}),
)


def task(facts: Facts, version: int = 4) -> Document:
    """Return the answer to ${URI}/task."""
    spec, status = facts.spec, facts.status
    family, _, revision = spec.revision.task_definition_name.rpartition(":")
    document = _known(
        {
            "Cluster": spec.task.spec.cluster,
            "TaskARN": facts.task_arn,
            "Family": family,
            "Revision": revision,
            "ServiceName": spec.task.spec.service.rpartition("/")[2],
            "DesiredStatus": _desired(facts),
            "KnownStatus": status.last_status,
            "Limits": _task_limits(spec.revision.task_definition),
            "ExecutionStoppedAt": _time(status.stopped_at),
            "AvailabilityZone": spec.task.spec.zone,
            "LaunchType": _launch_type(spec.revision.task_definition),
            "Containers": [container(facts, one.name, version) for one in facts.definitions],
        }
    )
    return document if version >= 4 else _without(document, _NEW_IN_4[0])


def container(facts: Facts, name: str, version: int = 4) -> Document:
    """Return the answer to ${URI} of one of the containers. Raises KeyError when there is no such container."""
    definition = {one.name: one for one in facts.definitions}[name]
    document = _known({**_defined(facts, definition), **_running(facts, definition)})
    if version >= 4:
        return document
    networks = [{name: one[name] for name in one if name in _NEW_IN_4[2]} for one in document["Networks"]]
    return _without({**document, "Networks": networks}, _NEW_IN_4[1])


def _defined(facts: Facts, definition: ecs_pb2.ContainerDefinition) -> Document:
    """Return what the definition says."""
    return {
        "DockerId": facts.docker_id(definition.name),
        "Name": definition.name,
        "DockerName": _docker_name(facts, definition.name),
        "Image": definition.image,
        "Ports": [_port(one) for one in definition.port_mappings],
        "Labels": _labels(facts, definition),
        "Limits": _known({"CPU": definition.cpu, "Memory": definition.memory or definition.memory_reservation}),
        "Type": "NORMAL",
        "LogDriver": definition.log_configuration.log_driver,
        "LogOptions": _log_options(facts, definition),
        "ContainerARN": facts.container_arn(definition.name),
    }


def _running(facts: Facts, definition: ecs_pb2.ContainerDefinition) -> Document:
    """Return what has become of it."""
    state = facts.states.get(definition.name, State())
    process = facts.processes.get(definition.name)
    engine = process.container if process else None
    began = _moment(process.started) if process else ""
    return {
        "ImageID": engine.image_id if engine else "",
        "DesiredStatus": _desired(facts),
        "KnownStatus": state.status,
        "ExitCode": state.exit_code,
        "CreatedAt": began,
        "StartedAt": began,
        "FinishedAt": _moment(process.ended) if process and process.ended else "",
        "Health": _health(definition, state),
        "RestartCount": state.restarts if definition.restart_policy.enabled else None,
        "Networks": [_network(facts)],
    }


def _desired(facts: Facts) -> str:
    return str((Status.STOPPED if facts.stopping else Status.RUNNING).value)


def _docker_name(facts: Facts, container: str) -> str:
    """Return the engine's name of the container; without an engine, one in the form that ECS's agent gives to it."""
    process = facts.processes.get(container)
    if process and process.container:
        return process.container.name
    definition = facts.spec.revision.task_definition_name.replace(":", "-")
    return f"ecs-{definition}-{container}-{facts.docker_id(container).partition('-')[0][:20]}"


def _labels(facts: Facts, definition: ecs_pb2.ContainerDefinition) -> Mapping[str, str]:
    family, _, revision = facts.spec.revision.task_definition_name.rpartition(":")
    own = {
        "cluster": facts.spec.task.spec.cluster,
        "container-name": definition.name,
        "task-arn": facts.task_arn,
        "task-definition-family": family,
        "task-definition-version": revision,
    }
    return {**definition.docker_labels, **{f"{_LABEL}{name}": value for name, value in own.items()}}


def _port(mapping: ecs_pb2.PortMapping) -> Document:
    protocol = mapping.protocol or "tcp"
    return {"ContainerPort": mapping.container_port, "Protocol": protocol, "HostPort": mapping.container_port}


def _log_options(facts: Facts, definition: ecs_pb2.ContainerDefinition) -> Mapping[str, str]:
    """Return the options of the log driver; awslogs calls its stream PREFIX/CONTAINER/TASK when there is a prefix."""
    options = dict(definition.log_configuration.options)
    prefix = options.pop("awslogs-stream-prefix", "")
    if prefix and definition.log_configuration.log_driver == "awslogs":
        options["awslogs-stream"] = f"{prefix}/{definition.name}/{facts.spec.id}"
    return options


def _health(definition: ecs_pb2.ContainerDefinition, state: State) -> Document | None:
    if not definition.HasField("health_check"):
        return None
    failed = {"exitCode": state.check.code, "output": state.check.output} if state.check else {}
    return {"status": str(state.health or HealthStatus.UNKNOWN), **failed}


def _network(facts: Facts) -> Document:
    """Return the task's one network. Every task has an address of its own here, which is what awsvpc means."""
    network = ip_network(facts.cidr)
    return {
        "NetworkMode": "awsvpc",
        "IPv4Addresses": [facts.status.ip] if facts.status.ip else [],
        "AttachmentIndex": 0,
        "IPv4SubnetCIDRBlock": str(network),
        "PrivateDNSName": facts.spec.id,
        "SubnetGatewayIpv4Address": f"{network[1]}/{network.prefixlen}",
    }


def _task_limits(definition: ecs_pb2.RegisterTaskDefinitionRequest) -> Document:
    """Return vCPUs and MiB; a task definition has them as text, "256" or "0.25 vCPU", "512" or "0.5 GB"."""
    cpu = _amount(definition.cpu, lambda number, unit: number if unit == "vcpu" else number / _UNITS)
    memory = _amount(definition.memory, lambda number, unit: number * 1024 if unit == "gb" else number)
    return _known({"CPU": cpu, "Memory": round(memory)})


def _amount(text: str, scaled: Callable[[float, str], float]) -> float:
    number = text.lower().rstrip("abcdefghijklmnopqrstuvwxyz ")
    try:
        return scaled(float(number), text.lower().removeprefix(number).strip())
    except ValueError:
        return 0.0


def _launch_type(definition: ecs_pb2.RegisterTaskDefinitionRequest) -> str:
    """Return the first launch type that the definition is made for; EC2, as in AWS, when it names none."""
    return next(iter(definition.requires_compatibilities), "EC2")


def _time(moment: Timestamp) -> str:
    return _moment(moment.ToNanoseconds() / 1e9) if moment.ByteSize() else ""


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _known(document: Document) -> Document:
    """Return the members that say something; 0 says something as a code or a count, but not as a limit."""
    return {name: value for name, value in document.items() if value or (value == 0 and name in _COUNTED)}


def _without(document: Document, names: frozenset[str]) -> Document:
    return {name: value for name, value in document.items() if name not in names}
