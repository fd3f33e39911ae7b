"""What a table shows of each kind of object.

The one rule: a column that says how well something is has the colour of it, in one place: `_WELL`.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from tsunagu.cli.output import Cell, age
from tsunagu.model import cloud_map
from tsunagu.model.failures import why_not_running
from tsunagu.model.outside import external
from tsunagu.model.statuses import AlarmState, DeploymentStatus, HealthStatus, NodeState, RolloutState, Status

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from google.protobuf.timestamp_pb2 import Timestamp

    from tsunagu.v1 import objects_pb2

#: Colour of a word of status; words that are not here have none.
_WELL = {
    Status.RUNNING: "green",
    HealthStatus.HEALTHY: "green",
    RolloutState.COMPLETED: "green",
    "LIVE": "green",
    NodeState.READY: "green",
    NodeState.NOT_READY: "red",
    "SYNCED": "green",
    RolloutState.IN_PROGRESS: "yellow",
    RolloutState.FAILED: "red",
    DeploymentStatus.SUCCESSFUL: "green",
    DeploymentStatus.ROLLBACK_SUCCESSFUL: "yellow",
    DeploymentStatus.ROLLBACK_IN_PROGRESS: "yellow",
    DeploymentStatus.ROLLBACK_FAILED: "red",
    AlarmState.OK: "green",
    AlarmState.ALARM: "red",
    AlarmState.INSUFFICIENT_DATA: "yellow",
    "STALE": "yellow",
    Status.PENDING: "yellow",
    Status.PROVISIONING: "yellow",
    Status.ACTIVATING: "yellow",
    Status.DEACTIVATING: "yellow",
    Status.STOPPING: "yellow",
    "RESTARTING": "yellow",
    HealthStatus.UNHEALTHY: "red",
    "NACKED": "bold red",
    Status.STOPPED: "dim",
}


def status(word: str) -> Cell:
    """A word of status in its colour; a dash for none."""
    return Cell(word or "-", _WELL.get(word, ""))


def since(stamp: Timestamp, now: float | None = None) -> str:
    """How long ago that was; a dash for an unset stamp."""
    if not stamp.seconds:
        return "-"
    return age((time.time() if now is None else now) - stamp.seconds - stamp.nanos / 1e9)


def exit_codes(task: objects_pb2.Object) -> str:
    """Exit codes of a task's containers, or why it stopped."""
    codes = [f"{c.name}={c.exit_code}" for c in task.task.status.containers if c.HasField("exit_code")]
    return " ".join(codes)


def _service_ports(obj: Any) -> str:
    services = obj.service.spec.service_connect_configuration.services
    aliases = [alias for service in services for alias in service.client_aliases]
    return ", ".join(f"{alias.dns_name or '(default)'}:{alias.port}" for alias in aliases)


def _instance_address(obj: Any) -> str:
    address = cloud_map.address_of(obj.cloud_map_instance.attributes)
    return f"{address.ip}:{address.port}" if address else "-"


def _selected(obj: Any) -> str:
    to = obj.access_policy.to
    return str(to.service) + (f" ({', '.join(to.ports)})" if to.ports else "")


def _allowed(obj: Any) -> str:
    """Who is allowed anything."""
    callers = (_caller(one) for rule in obj.access_policy.allow for one in rule.callers)
    return ", ".join(dict.fromkeys(callers)) or "nobody"


def _caller(one: Any) -> str:
    words = (one.service, one.family and f"family {one.family}", one.gateway and f"gateway {one.gateway}")
    flags = (one.hosts and "hosts", one.everybody and "everybody", one.anyone and "anyone")
    who = next((word for word in (*words, *flags) if word), "")
    return f"{who} of {one.namespace}" if one.namespace else str(who)


def _gateway_ports(obj: Any) -> str:
    return ", ".join(
        f"{port.host or '127.0.0.1'}:{port.host_port} -> {f'{port.alias}:{port.port}' if port.alias else 'its routes'}"
        for port in obj.gateway.ports
    )


def _health(obj: Any) -> Cell:
    """The health, once a health check has said something."""
    health = obj.task.status.health_status
    return status("" if health == HealthStatus.UNKNOWN else health)


def _restarts(obj: Any) -> str:
    """How often a container, or the Envoy, of a task was started again, and how it had ended."""
    counted = [(one.name, one.restarts, None) for one in obj.task.status.containers]
    proxy = obj.task.status.proxy
    counted.append(("envoy", proxy.restarts, proxy.exit_code if proxy.HasField("exit_code") else None))
    return ", ".join(f"{name} {times}{_after(code)}" for name, times, code in counted if times)


def _after(code: int | None) -> str:
    return "" if code is None else f" (exit code {code})"


def newest_first(tasks: Sequence[Any]) -> list[Any]:
    """Tasks in the order in which they are listed."""
    return sorted(tasks, key=lambda task: (-task.meta.created_revision, task.meta.name))


def task_of(obj: Any) -> str:
    """Whose task it is: its service, or its gateway."""
    return obj.task.spec.service or f"gateway {obj.task.spec.gateway}"


def _counts(obj: Any) -> Cell:
    wanted, running = obj.service.status.desired_count, obj.service.status.running_count
    return Cell(f"{running}/{wanted}", "green" if running == wanted else "yellow")


_NAME = ("NAME", lambda obj: obj.meta.name)

_COLUMNS: dict[str, tuple[tuple[str, Callable[[Any], Any]], ...]] = {
    "Service": (
        _NAME,
        ("RUNNING", _counts),
        ("ROLLOUT", lambda obj: status(obj.service.status.rollout_state)),
        ("TASK DEFINITION", lambda obj: obj.service.spec.task_definition),
        ("ALIASES", _service_ports),
        ("WHY NOT STEADY", lambda obj: obj.service.status.reason),
    ),
    "Task": (
        ("TASK", lambda obj: obj.meta.name.rpartition("/")[2]),
        ("OF", task_of),
        ("STATUS", lambda obj: status(obj.task.status.last_status)),
        ("WANTED", lambda obj: "" if obj.task.spec.desired_status == Status.RUNNING else obj.task.spec.desired_status),
        ("HEALTH", _health),
        ("IP", lambda obj: obj.task.status.ip or "-"),
        ("PROXY", lambda obj: status(obj.task.status.proxy.state)),
        ("RESTARTS", _restarts),
        ("NODE", lambda obj: obj.task.spec.node or "-"),
        ("ZONE", lambda obj: obj.task.spec.zone),
        ("AGE", lambda obj: since(obj.task.status.created_at)),
        ("STOPPED", lambda obj: since(obj.task.status.stopped_at)),
        ("WHY NOT RUNNING", lambda obj: why_not_running(obj.task)),
    ),
    "TaskDefinition": (
        _NAME,
        ("CONTAINERS", lambda obj: ", ".join(c.name for c in obj.task_definition.spec.container_definitions)),
    ),
    "Node": (
        _NAME,
        ("STATE", lambda obj: status(obj.node.state)),
        ("RUNTIME", lambda obj: obj.node.runtime),
        ("WHY", lambda obj: obj.node.runtime_reason),
        ("TASK ADDRESSES", lambda obj: obj.node.task_cidr),
        ("ZONE", lambda obj: ",".join(obj.node.zones)),
        ("AGE", lambda obj: since(obj.node.started_at)),
        ("WHAT IS WRONG", lambda obj: obj.node.reason),
    ),
    "NodeLease": (_NAME, ("PROCESS", lambda obj: str(obj.node_lease.pid))),
    "VirtualAddress": (
        _NAME,
        ("IP", lambda obj: obj.virtual_address.ip),
        ("IN USE", lambda obj: "no" if obj.virtual_address.HasField("released_at") else "yes"),
    ),
    "Gateway": (_NAME, ("NAMESPACE", lambda obj: obj.gateway.namespace), ("PORTS", _gateway_ports)),
    "Image": (
        _NAME,
        ("PATTERN", lambda obj: obj.image.pattern),
        ("COMMAND", lambda obj: " ".join(obj.image.command)),
    ),
    "SecretValue": (_NAME, ("VALUE", lambda _: "(not shown)")),
    "ServiceRevision": (
        _NAME,
        ("TASK DEFINITION", lambda obj: obj.service_revision.task_definition_name),
        ("NAMESPACE", lambda obj: obj.service_revision.namespace or "-"),
    ),
    "Namespace": (
        _NAME,
        ("TYPE", lambda obj: obj.namespace.type or "HTTP"),
        ("NAMES", lambda obj: f"as of the {obj.namespace.freeze}" if obj.namespace.freeze else "live"),
        ("TLS", lambda obj: obj.namespace.tls or "off"),
        ("EGRESS", lambda obj: ", ".join(obj.namespace.egress) or "allow"),
    ),
    "CloudMapService": (
        _NAME,
        ("DNS", lambda obj: ", ".join(record.type for record in obj.cloud_map_service.dns_config.dns_records) or "-"),
        ("PROTOCOL", lambda obj: obj.cloud_map_service.app_protocol or "tcp"),
        ("AGE", lambda obj: since(obj.cloud_map_service.created_at)),
    ),
    "CloudMapInstance": (
        _NAME,
        ("ADDRESS", _instance_address),
        ("HEALTH", lambda obj: "HEALTHY" if cloud_map.is_healthy(obj.cloud_map_instance) else "UNHEALTHY"),
        ("AGE", lambda obj: since(obj.cloud_map_instance.created_at)),
    ),
    "CloudMapOperation": (
        _NAME,
        ("TYPE", lambda obj: obj.cloud_map_operation.type),
        ("AGE", lambda obj: since(obj.cloud_map_operation.created_at)),
    ),
    "External": (
        _NAME,
        ("ADDRESSES", lambda obj: ", ".join(obj.external.addresses)),
        (
            "ALIASES",
            lambda obj: ", ".join(f"{name}:{port}" for name, port in external.aliases(obj.meta.name, obj.external)),
        ),
        (
            "PROTOCOL",
            lambda obj: external.protocol(obj.external) + (" over TLS" if obj.external.HasField("tls") else ""),
        ),
    ),
    "Route": (
        _NAME,
        ("OF", lambda obj: obj.route.alias or f"gateway {obj.route.gateway}"),
        ("PRIORITY", lambda obj: str(obj.route.priority if obj.route.HasField("priority") else 1000)),
        ("TARGETS", lambda obj: ", ".join(one.target for one in obj.route.action.weighted_targets) or "-"),
    ),
    "ServiceDeployment": (
        _NAME,
        ("STATUS", lambda obj: status(obj.service_deployment.status)),
        ("STAGE", lambda obj: obj.service_deployment.lifecycle_stage or "-"),
        ("TO", lambda obj: obj.service_deployment.target_revision.rpartition("/")[2]),
        ("FROM", lambda obj: obj.service_deployment.source_revision.rpartition("/")[2] or "-"),
        ("AGE", lambda obj: since(obj.service_deployment.created_at)),
        ("WHY", lambda obj: obj.service_deployment.status_reason),
    ),
    "Alarm": (
        _NAME,
        ("STATE", lambda obj: status(obj.alarm.status.state_value or AlarmState.INSUFFICIENT_DATA)),
        ("SINCE", lambda obj: since(obj.alarm.status.state_updated_timestamp)),
        ("METRIC", lambda obj: obj.alarm.spec.metric_name),
        ("WHY", lambda obj: obj.alarm.status.state_reason),
    ),
    "TrafficPolicy": (
        _NAME,
        ("SETS", lambda obj: ", ".join(field.json_name for field, _ in obj.traffic_policy.ListFields())),
    ),
    "AccessPolicy": (
        _NAME,
        ("TO", _selected),
        ("ALLOWS", _allowed),
        ("MODE", lambda obj: obj.access_policy.mode or "enforce"),
    ),
    "Cluster": (_NAME,),
}


#: Columns that say something only when their rows differ: on one machine every task has the same node.
_UNIFORM = frozenset({"NODE"})
#: Columns that few meshes have anything for.
_SELDOM = frozenset({"ZONE"})


def _differs(cell: Callable[[Any], Any], objects: Sequence[Any]) -> bool:
    return len({str(cell(obj)) for obj in objects}) > 1


def _is_shown(title: str, cell: Callable[[Any], Any], objects: Sequence[Any]) -> bool:
    if title in _SELDOM:
        return any(cell(obj) for obj in objects)
    return title not in _UNIFORM or _differs(cell, objects)


def of_kind(kind: str, objects: Sequence[Any]) -> tuple[list[str], list[list[Any]]]:
    """Titles and rows of a table of these objects."""
    shown = [(title, cell) for title, cell in _COLUMNS[kind] if _is_shown(title, cell, objects)]
    return [title for title, _ in shown], [[cell(obj) for _, cell in shown] for obj in objects]
