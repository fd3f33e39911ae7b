"""Validation rules for names by which parts of a task refer to each other: volumes, links, load balancers, registries.

Most of them have no effect here, but AWS refuses a name that nothing has, and a typing error is best told where it is
written. The one rule: as in ``tasks`` and ``services``, which list these rules.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tsunagu.kit.spelling import did_you_mean
from tsunagu.model import references
from tsunagu.model.rules.constraints import at_indices, issue, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tsunagu.model.errors import Issue
    from tsunagu.model.rules.subject import Subject
    from tsunagu.v1 import ecs_pb2


def _unknown(path: str, what: str, name: str, known: Iterable[str]) -> Iterator[Issue]:
    known = list(known)
    if name and name not in known:
        hint = did_you_mean(name, known) or (f"there is {', '.join(sorted(known))}" if known else "")
        yield issue(path, f"there is no {what} {shown(name)}", hint)


def volumes(subject: Subject) -> Iterator[Issue]:
    """A mount point's volume, and a container whose volumes are taken over, are of the task."""
    definition = subject.definition
    known = [one.name for one in definition.volumes if one.name]
    containers = [one.name for one in definition.container_definitions]
    for name in sorted({name for name in known if known.count(name) > 1}):
        yield issue("volumes", f"{name!r} is the name of two volumes")
    for index, container in enumerate(definition.container_definitions):
        here = f"containerDefinitions[{index}]"
        for number, mount in enumerate(container.mount_points):
            yield from _unknown(f"{here}.mountPoints[{number}].sourceVolume", "volume", mount.source_volume, known)
        for number, one in enumerate(container.volumes_from):
            path = f"{here}.volumesFrom[{number}].sourceContainer"
            yield from _unknown(path, "container", one.source_container, containers)


def links(subject: Subject) -> Iterator[Issue]:
    """A link names a container of a task in bridge mode; it becomes a name of the task for itself."""
    definition = subject.definition
    containers = [one.name for one in definition.container_definitions]
    for index, container in enumerate(definition.container_definitions):
        for number, link in enumerate(container.links):
            path = f"containerDefinitions[{index}].links[{number}]"
            yield from _unknown(path, "container", link.partition(":")[0], containers)
        if container.links and definition.network_mode not in ("", "bridge"):
            reason = f"AWS allows links in networkMode bridge only, this is {definition.network_mode}"
            yield issue(
                f"containerDefinitions[{index}].links", reason, "containers of a task reach each other at localhost"
            )


def variables(subject: Subject) -> Iterator[Issue]:
    """A secret's name is unique in its container, among secrets and variables."""
    for index, container in enumerate(subject.definition.container_definitions):
        seen = {pair.name for pair in container.environment}
        for number, secret in enumerate(container.secrets):
            if secret.name and secret.name in seen:
                path = f"containerDefinitions[{index}].secrets[{number}].name"
                yield issue(path, f"{secret.name!r} is already a variable or a secret of the container")
            seen.add(secret.name)


def targets(subject: Subject) -> Iterator[Issue]:
    """A load balancer's, and a registry's, container and port are of the task definition."""
    spec = subject.obj.service.spec
    found = subject.indexes.task_definition(spec)
    if found is None:
        return
    ports = {
        one.name: {mapping.container_port for mapping in one.port_mappings} for one in found.spec.container_definitions
    }
    ranges = {
        one.name for one in found.spec.container_definitions if any(m.container_port_range for m in one.port_mappings)
    }
    entries: list[tuple[str, ecs_pb2.LoadBalancer | ecs_pb2.ServiceRegistry]] = [
        *at_indices("loadBalancers", spec.load_balancers),
        *at_indices("serviceRegistries", spec.service_registries),
    ]
    for path, entry in entries:
        yield from _unknown(f"{path}.containerName", "container", entry.container_name, ports)
        mapped = ports.get(entry.container_name, set())
        wrong = entry.container_port and entry.container_name in ports and entry.container_port not in mapped
        if wrong and entry.container_name not in ranges:
            hint = f"its ports are {', '.join(map(str, sorted(mapped)))}" if mapped else "add a portMappings entry"
            reason = f"container {entry.container_name!r} has no port {entry.container_port}"
            yield issue(f"{path}.containerPort", reason, hint)
    known = [one.name for one in found.spec.volumes]
    for index, one in enumerate(spec.volume_configurations):
        yield from _unknown(f"volumeConfigurations[{index}].name", "volume", one.name, known)


def linked_and_connected(subject: Subject) -> Iterator[Issue]:
    """Service Connect has no links, in AWS as here."""
    spec = subject.obj.service.spec
    found = subject.indexes.task_definition(spec)
    if found is None or not references.connects(spec):
        return
    linked = next((one.name for one in found.spec.container_definitions if one.links), "")
    if linked:
        reason = f"container {linked!r} has links, which Service Connect does not support"
        yield issue("taskDefinition", reason, "containers of a task reach each other at localhost")
