"""Resolves references between objects: a service's cluster, namespace, task definition and images.

AWS accepts a name, a family with or without a revision, or an ARN. The one rule: only this module interprets references, so
validation, plans and service revisions never differ about one.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from tsunagu.model import ids
from tsunagu.model.image_index import ImageIndex

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tsunagu.v1 import ecs_pb2, objects_pb2

    #: All objects by kind and name. A kind without objects may be missing.
    State = Mapping[str, Mapping[str, objects_pb2.Object]]

DEFAULT_CLUSTER = "default"  # AWS's, for a request that names none


def objects(state: State, kind: str) -> Mapping[str, objects_pb2.Object]:
    return state.get(kind, {})


def cluster_of(spec: ecs_pb2.CreateServiceRequest) -> str:
    """Name of a service's cluster."""
    return ids.arn_tail(spec.cluster, "cluster") or DEFAULT_CLUSTER


def service_name(text: str) -> str:
    """CLUSTER/SERVICE of a service that is written so, or as SERVICE of the cluster `default`."""
    return text if "/" in text else ids.service_name(DEFAULT_CLUSTER, text)


def namespace_name(text: str, state: State) -> str:
    """Name of a namespace that is given by name or ARN.

    A Cloud Map ARN contains an id, not the name. A Namespace with that ``arn`` tells the name; without one the id serves.
    """
    return namespace_with(text, state) or ids.arn_tail(text, "namespace")


def namespace_with(arn: str, state: State) -> str:
    """Name of the Namespace that has an ARN; empty if none has."""
    if not arn.startswith("arn:"):
        return ""
    return next((name for name, obj in objects(state, "Namespace").items() if obj.namespace.arn == arn), "")


def namespace_of(spec: ecs_pb2.CreateServiceRequest, state: State) -> str:
    """Namespace of a service: its own, else its cluster's default, else empty."""
    own = spec.service_connect_configuration.namespace
    if own:
        return namespace_name(own, state)
    cluster = objects(state, "Cluster").get(cluster_of(spec))
    return namespace_name(cluster.cluster.spec.service_connect_defaults.namespace, state) if cluster else ""


def is_frozen(namespace: str, state: State) -> bool:
    """Whether the tasks of a namespace see the names that there were when they were deployed, as in AWS."""
    found = objects(state, "Namespace").get(namespace)
    return found is not None and found.namespace.freeze == "deployment"


def connects(spec: ecs_pb2.CreateServiceRequest) -> bool:
    """Whether Service Connect is on for the service."""
    return spec.service_connect_configuration.enabled


def task_definition_reference(text: str) -> tuple[str, int]:
    """Parse ``family``, ``family:revision`` or an ARN into (family, revision); the revision is 0 if there is none."""
    name = ids.arn_tail(text, "task-definition")
    family, colon, revision = name.rpartition(":")
    if colon and revision.isascii() and revision.isdigit():
        return family, int(revision)
    return name, 0


def revisions_of(family: str, state: State) -> list[objects_pb2.TaskDefinition]:
    """All registered revisions of a family, oldest first."""
    registered = (obj.task_definition for obj in objects(state, "TaskDefinition").values())
    return sorted((one for one in registered if one.spec.family == family), key=lambda one: one.revision)


def find_task_definition(text: str, state: State) -> objects_pb2.TaskDefinition | None:
    """The task definition that a reference means: that revision, or the family's latest if it names none."""
    family, revision = task_definition_reference(text)
    if revision:
        exact = objects(state, "TaskDefinition").get(ids.task_definition_name(family, revision))
        return exact.task_definition if exact else None
    registered = revisions_of(family, state)
    return registered[-1] if registered else None


def image_for(reference: str, state: State) -> objects_pb2.Image | None:
    """The Image whose pattern matches a reference; the longest pattern wins, as the most specific."""
    name = image_name(reference, state)
    return objects(state, "Image")[name].image if name else None


def image_name(reference: str, state: State) -> str:
    """Name of the Image whose pattern matches a reference; empty if none does."""
    images = objects(state, "Image")
    if isinstance(images, ImageIndex):
        return images.matching(reference)
    patterns = ((obj.image.pattern, name) for name, obj in images.items())
    matching = [(len(pattern), pattern, name) for pattern, name in patterns if fnmatchcase(reference, pattern)]
    return max(matching)[2] if matching else ""


def port_mappings(
    definition: ecs_pb2.RegisterTaskDefinitionRequest,
) -> Iterator[tuple[int, int, ecs_pb2.ContainerDefinition, ecs_pb2.PortMapping]]:
    """Yield (container index, mapping index, container, mapping) for every port of a task definition."""
    for i, container in enumerate(definition.container_definitions):
        for j, mapping in enumerate(container.port_mappings):
            yield i, j, container, mapping


def port_named(name: str, definition: ecs_pb2.RegisterTaskDefinitionRequest) -> ecs_pb2.PortMapping | None:
    return next((mapping for _, _, _, mapping in port_mappings(definition) if mapping.name == name), None)


def services_in(namespace: str, state: State) -> Iterator[tuple[str, objects_pb2.Service]]:
    """Yield (name, service) for the services that connect to a namespace."""
    for name, obj in objects(state, "Service").items():
        spec = obj.service.spec
        if connects(spec) and namespace_of(spec, state) == namespace:
            yield name, obj.service


def is_log_router(container: ecs_pb2.ContainerDefinition) -> bool:
    """Whether the container is a FireLens log router. The node agent keeps all logs, so it has nothing to do here."""
    return container.HasField("firelens_configuration")


def runs_by_itself(container: ecs_pb2.ContainerDefinition) -> bool:
    """Whether the container itself has a command, so that it needs no Image."""
    return bool(container.entry_point or container.command)
