"""Where AWS would treat a Service Connect service otherwise than this mesh: for the warnings of an apply, and for `describe`.

The one rule: `refused_there` is what AWS would not take or not start, so an apply warns of it; `advised_there` and `unseen_there`
only matter to whoever moves a service to AWS, so `describe` tells them.

Sources: ECS Developer Guide, Service Connect (task definition, concepts, limits); ECS API Reference, the ServiceConnect... shapes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tsunagu.model import references, revisions
from tsunagu.model.rules.constraints import issue
from tsunagu.model.rules.task_sizes import cpu_units, mebibytes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tsunagu.model.errors import Issue
    from tsunagu.model.references import State
    from tsunagu.v1 import ecs_pb2, objects_pb2

_CONNECT: Final = "serviceConnectConfiguration"
# What AWS's proxy takes beside the containers, and what it takes more in a large namespace.
_PROXY_CPU: Final = 256
_PROXY_MEMORY: Final = 64
_LARGE: Final = (100, 2000)  # services or tasks of a namespace
_PROXY_MEMORY_LARGE: Final = 192


def refused_there(spec: ecs_pb2.CreateServiceRequest, state: State) -> Iterator[Issue]:
    """Yield what runs here, and AWS would refuse or leave open, of a service with Service Connect."""
    config = spec.service_connect_configuration
    definition = references.find_task_definition(spec.task_definition, state)
    if definition is not None:
        yield from _of_definition(definition)
    if config.HasField("access_log_configuration") and not config.HasField("log_configuration"):
        yield issue(f"{_CONNECT}.accessLogConfiguration", "AWS wants logConfiguration beside it; here it works without")
    yield from _proxy_log(config.log_configuration)
    yield from _open_names(spec, state)


def advised_there(spec: ecs_pb2.CreateServiceRequest, state: State) -> Iterator[str]:
    """Yield what AWS wants written, or advises for its proxy's sake, and this mesh does not need."""
    definition = references.find_task_definition(spec.task_definition, state)
    if definition is None:
        return
    if not definition.spec.network_mode:
        yield f"{_named(definition)} has no networkMode; write awsvpc, which it is here, or bridge"
    containers = definition.spec.container_definitions
    cpu, memory = cpu_units(definition.spec.cpu), mebibytes(definition.spec.memory)
    if cpu and (left := cpu - sum(one.cpu for one in containers)) < _PROXY_CPU:
        yield f"cpu {cpu} leaves {max(left, 0)} units beside its containers; AWS advises {_PROXY_CPU} for the proxy"
    wanted = _PROXY_MEMORY_LARGE if _is_large(references.namespace_of(spec, state), state) else _PROXY_MEMORY
    if memory and (left := memory - sum(one.memory_reservation or one.memory for one in containers)) < wanted:
        yield f"memory {memory} leaves {max(left, 0)} MiB beside its containers; AWS advises {wanted} for the proxy"


def unseen_there(service: objects_pb2.Service, state: State) -> list[str]:
    """Aliases (NAME:PORT, sorted) that came after the service's deployment: with frozen names its tasks do not see them."""
    namespace, deployment = references.namespace_of(service.spec, state), service.status.deployment
    addresses = (obj.virtual_address for obj in references.objects(state, "VirtualAddress").values())
    found = [
        f"{address.dns_name}:{port}"
        for address in addresses
        if address.namespace == namespace and not address.HasField("released_at")
        for port, born in address.births.items()
        if born > deployment
    ]
    return sorted(found)


def _of_definition(definition: objects_pb2.TaskDefinition) -> Iterator[Issue]:
    name, spec = _named(definition), definition.spec
    if not spec.memory:
        yield issue(
            "taskDefinition",
            f"{name} has no task-level memory: AWS would not start it with Service Connect; here it runs",
        )
    if spec.network_mode == "bridge" and any(one.hostname for one in spec.container_definitions):
        yield issue(
            "taskDefinition", f"{name} has a hostname in networkMode bridge, which AWS refuses with Service Connect"
        )


def _named(definition: objects_pb2.TaskDefinition) -> str:
    return f"{definition.spec.family}:{definition.revision}"


def _proxy_log(config: ecs_pb2.LogConfiguration) -> Iterator[Issue]:
    """The proxy's log is kept in any case; a log group is another way to it."""
    kept = "the proxy's log is kept with its task's (`tsunagu logs TASK --container envoy`)"
    if config.log_driver not in ("", "awslogs"):
        yield issue(f"{_CONNECT}.logConfiguration.logDriver", f"nothing is sent to {config.log_driver} here; {kept}")
    elif config.log_driver and not config.options.get("awslogs-group"):
        yield issue(f"{_CONNECT}.logConfiguration.options", f"AWS wants awslogs-group; here {kept}")


def _open_names(spec: ecs_pb2.CreateServiceRequest, state: State) -> Iterator[Issue]:
    """AWS's texts contradict each other about the name of an alias without a dnsName."""
    namespace = references.namespace_of(spec, state)
    for index, offered in enumerate(spec.service_connect_configuration.services):
        if not offered.client_aliases or not all(one.dns_name for one in offered.client_aliases):
            names = [alias.dns_name for alias in revisions.aliases(offered, 0, namespace)]
            yield issue(f"{_CONNECT}.services[{index}]", f"has no dnsName; callers may use {' or '.join(names)}")


def _is_large(namespace: str, state: State) -> bool:
    services = [service for _, service in references.services_in(namespace, state)]
    return len(services) > _LARGE[0] or sum(one.spec.desired_count for one in services) > _LARGE[1]
