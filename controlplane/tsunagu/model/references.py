"""What objects say of each other: a service's cluster, namespace, task definition and images.

AWS lets one write a name, a family with or without a revision, or an ARN. The one rule: only this module reads such
a reference, so that validation, the plan and the revision never read one differently.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from tsunagu.model import ids

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tsunagu.v1 import ecs_pb2, objects_pb2

    #: Objects by kind and name; a kind that has none may be missing.
    State = Mapping[str, Mapping[str, objects_pb2.Object]]

DEFAULT_CLUSTER = "default"  # AWS's, when a request names none


def objects(state: State, kind: str) -> Mapping[str, objects_pb2.Object]:
    return state.get(kind, {})


def cluster_of(spec: ecs_pb2.CreateServiceRequest) -> str:
    """Name of the cluster that a service is for."""
    return ids.arn_tail(spec.cluster, "cluster") or DEFAULT_CLUSTER


def namespace_name(text: str) -> str:
    """Name of a namespace given by name or ARN. A Cloud Map ARN holds an id and no name, so that id becomes the name."""
    return ids.arn_tail(text, "namespace")


def namespace_of(spec: ecs_pb2.CreateServiceRequest, state: State) -> str:
    """Namespace of a service: its own, else its cluster's default; empty when neither says one."""
    own = spec.service_connect_configuration.namespace
    if own:
        return namespace_name(own)
    cluster = objects(state, "Cluster").get(cluster_of(spec))
    return namespace_name(cluster.cluster.spec.service_connect_defaults.namespace) if cluster else ""


def connects(spec: ecs_pb2.CreateServiceRequest) -> bool:
    """Whether Service Connect is on for the service."""
    return spec.service_connect_configuration.enabled


def task_definition_reference(text: str) -> tuple[str, int]:
    """(family, revision) of ``family``, ``family:revision`` or an ARN; revision 0 when it says none."""
    name = ids.arn_tail(text, "task-definition")
    family, colon, revision = name.rpartition(":")
    if colon and revision.isascii() and revision.isdigit():
        return family, int(revision)
    return name, 0


def revisions_of(family: str, state: State) -> list[objects_pb2.TaskDefinition]:
    """Every registered revision of a family, oldest first."""
    registered = (obj.task_definition for obj in objects(state, "TaskDefinition").values())
    return sorted((one for one in registered if one.spec.family == family), key=lambda one: one.revision)


def find_task_definition(text: str, state: State) -> objects_pb2.TaskDefinition | None:
    """What a reference means: that very revision, or the family's latest when it names none."""
    family, revision = task_definition_reference(text)
    if revision:
        exact = objects(state, "TaskDefinition").get(ids.task_definition_name(family, revision))
        return exact.task_definition if exact else None
    registered = revisions_of(family, state)
    return registered[-1] if registered else None


def image_for(reference: str, state: State) -> objects_pb2.Image | None:
    """The Image whose pattern matches; of several the one with the longest pattern, the most particular."""
    name = image_name(reference, state)
    return objects(state, "Image")[name].image if name else None


def image_name(reference: str, state: State) -> str:
    """Name of that Image; empty when none matches."""
    patterns = ((obj.image.pattern, name) for name, obj in objects(state, "Image").items())
    matching = [(len(pattern), pattern, name) for pattern, name in patterns if fnmatchcase(reference, pattern)]
    return max(matching)[2] if matching else ""


def port_mappings(
    definition: ecs_pb2.RegisterTaskDefinitionRequest,
) -> Iterator[tuple[int, int, ecs_pb2.ContainerDefinition, ecs_pb2.PortMapping]]:
    """(container index, mapping index, container, mapping) of every port of a task definition."""
    for i, container in enumerate(definition.container_definitions):
        for j, mapping in enumerate(container.port_mappings):
            yield i, j, container, mapping


def port_named(name: str, definition: ecs_pb2.RegisterTaskDefinitionRequest) -> ecs_pb2.PortMapping | None:
    return next((mapping for _, _, _, mapping in port_mappings(definition) if mapping.name == name), None)


def services_in(namespace: str, state: State) -> Iterator[tuple[str, objects_pb2.Service]]:
    """(name, service) of those that connect to a namespace."""
    for name, obj in objects(state, "Service").items():
        spec = obj.service.spec
        if connects(spec) and namespace_of(spec, state) == namespace:
            yield name, obj.service


def is_log_router(container: ecs_pb2.ContainerDefinition) -> bool:
    """Whether the container only carries logs away (FireLens). Here the node agent keeps them, so it has no work."""
    return container.HasField("firelens_configuration")


def runs_by_itself(container: ecs_pb2.ContainerDefinition) -> bool:
    """Whether the container says what to execute, so that it needs no Image."""
    return bool(container.entry_point or container.command)
