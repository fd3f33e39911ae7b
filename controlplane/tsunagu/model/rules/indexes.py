"""Indexes over all objects for validation: who has which name in a namespace, which ports are published.

The one rule: each is built once, when it is first needed, so the cost of validating a batch grows with the number of objects
and not with the number of pairs of them.
"""

from __future__ import annotations

from collections import defaultdict
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING

from tsunagu.model import images, references, revisions
from tsunagu.model.image_index import ImageIndex
from tsunagu.model.outside import external
from tsunagu.v1 import objects_pb2

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from tsunagu.model.references import State
    from tsunagu.v1 import ecs_pb2

Index = dict[tuple[str, ...], list[str]]  # key -> names of objects


class Indexes:
    """Indexes over the objects as they would be (``state``); ``before`` are the objects as they are."""

    state: State
    before: State

    def __init__(self, state: State, before: State) -> None:
        self.state = {**state, "Image": ImageIndex(references.objects(state, "Image"))}
        self.before = {**before, "Image": ImageIndex(references.objects(before, "Image"))}

    def objects(self, kind: str) -> Mapping[str, objects_pb2.Object]:
        return references.objects(self.state, kind)

    @cached_property
    def _connected(self) -> list[tuple[str, str, objects_pb2.Service]]:
        """(namespace, name, service) of every service with Service Connect."""
        found = []
        for name, obj in self.objects("Service").items():
            if references.connects(obj.service.spec):
                found.append((references.namespace_of(obj.service.spec, self.state), name, obj.service))
        return found

    @cached_property
    def aliases(self) -> Index:
        """(namespace, DNS name, port) -> names of the services and Externals that offer it."""
        index: Index = defaultdict(list)
        for namespace, name, service in self._connected:
            for dns_name, port in revisions.aliases_of(service, self.state):
                index[namespace, dns_name, str(port)].append(name)
        for name, obj in self.objects("External").items():
            for dns_name, port in external.aliases(name, obj.external):
                index[name.partition("/")[0], dns_name, str(port)].append(name)
        return index

    @cached_property
    def discovery_names(self) -> Index:
        """(namespace, discovery name) -> names of the services that offer it, and of the CloudMapService or External that is called so."""
        index: Index = defaultdict(list)
        for name in (*self.objects("CloudMapService"), *self.objects("External")):
            namespace, _, called = name.partition("/")
            index[namespace, called].append(name)
        for namespace, name, service in self._connected:
            for offered in service.spec.service_connect_configuration.services:
                index[namespace, revisions.discovery_name(offered)].append(name)
        return index

    @cached_property
    def protocols(self) -> Mapping[tuple[str, str], str]:
        """(namespace, discovery name) -> the protocol of the port, where its task definition is known."""
        return {(namespace, name): protocol for namespace, name, protocol, _ in self._offered}

    @cached_property
    def alias_protocols(self) -> Mapping[tuple[str, str, str], str]:
        """(namespace, DNS name, port) -> the protocol of the port behind it, where its task definition is known."""
        return {
            (namespace, alias.dns_name, str(alias.port)): protocol
            for namespace, _, protocol, aliases in self._offered
            for alias in aliases
        }

    @cached_property
    def _offered(self) -> list[tuple[str, str, str, list[objects_pb2.Alias]]]:
        """(namespace, discovery name, protocol, aliases) of every port whose task definition is known."""
        found = []
        for name, obj in self.objects("External").items():
            namespace, _, called = name.partition("/")
            own = [objects_pb2.Alias(dns_name=one, port=port) for one, port in external.aliases(name, obj.external)]
            found.append((namespace, called, external.protocol(obj.external), own))
        for namespace, _, service in self._connected:
            definition = self.task_definition(service.spec)
            for offered in service.spec.service_connect_configuration.services:
                port = references.port_named(offered.port_name, definition.spec) if definition else None
                if port is not None:
                    aliases = revisions.aliases(offered, port.container_port, namespace)
                    found.append((namespace, revisions.discovery_name(offered), port.app_protocol or "tcp", aliases))
        return found

    @cached_property
    def service_names(self) -> frozenset[str]:
        """Names of all services, without their clusters, as they begin the IDs of tasks."""
        return frozenset(name.rpartition("/")[2] for name in self.objects("Service"))

    @cached_property
    def plain_namespaces(self) -> frozenset[str]:
        """Namespaces that are meant by name, not by ARN."""
        written = [obj.service.spec.service_connect_configuration.namespace for obj in self.objects("Service").values()]
        written += [obj.cluster.spec.service_connect_defaults.namespace for obj in self.objects("Cluster").values()]
        written += [obj.gateway.namespace for obj in self.objects("Gateway").values()]
        return frozenset(text for text in written if text and not text.startswith("arn:"))

    @cached_property
    def image_users(self) -> Mapping[str, list[tuple[str, ecs_pb2.ContainerDefinition]]]:
        """Image -> (task definition, container) of each container that it says something about."""
        found: dict[str, list[tuple[str, ecs_pb2.ContainerDefinition]]] = defaultdict(list)
        for name, obj in self.objects("TaskDefinition").items():
            for container in obj.task_definition.spec.container_definitions:
                if image := references.image_name(container.image, self.state):
                    found[image].append((name, container))
        return found

    @cached_property
    def image_references(self) -> frozenset[str]:
        """The images of all containers."""
        definitions = (obj.task_definition.spec for obj in self.objects("TaskDefinition").values())
        return frozenset(container.image for one in definitions for container in one.container_definitions)

    @cached_property
    def dns_names(self) -> set[tuple[str, str]]:
        """(namespace, DNS name) of every alias."""
        return {(namespace, dns_name) for namespace, dns_name, _ in self.aliases}

    @cached_property
    def published(self) -> Index:
        """(host, port) -> names of the gateways that listen there."""
        index: Index = defaultdict(list)
        for name, obj in self.objects("Gateway").items():
            for port in obj.gateway.ports:
                index[port.host or "127.0.0.1", str(port.host_port)].append(name)
        return index

    def task_definition(self, spec: ecs_pb2.CreateServiceRequest) -> objects_pb2.TaskDefinition | None:
        return references.find_task_definition(spec.task_definition, self.state)

    @cached_property
    def losing_commands(self) -> dict[tuple[str, str], ecs_pb2.ContainerDefinition]:
        """(Image, service) -> a container of the service that has a command now, and would have none.

        The Image is the container's now, and also the one that it would have.
        """
        found = {}
        for service, obj in self.objects("Service").items():
            for container in self.containers(obj.service.spec):
                if self._loses_its_command(container):
                    for state in (self.before, self.state):
                        found[references.image_name(container.image, state), service] = container
        return found

    def _loses_its_command(self, container: ecs_pb2.ContainerDefinition) -> bool:
        missing = [images.missing_command(container, state) is not None for state in (self.before, self.state)]
        return missing == [False, True]

    def containers(self, spec: ecs_pb2.CreateServiceRequest) -> Iterable[ecs_pb2.ContainerDefinition]:
        """The containers of a service's task definition."""
        definition = self.task_definition(spec)
        return definition.spec.container_definitions if definition else ()

    def is_as_before(self, kind: str, name: str) -> bool:
        """Whether an object stays as it is. If it is put, its own rules validate it."""
        return self.objects(kind).get(name) is references.objects(self.before, kind).get(name)

    def users_of(self, kind: str, name: str) -> list[str]:
        """What needs an object: services and gateways, and of Cloud Map services and instances, each with its kind and name."""
        services = self.objects("Service")
        gateways = self.objects("Gateway").items()
        return [
            *self._inside(kind, name),
            *(f"service {one}" for one in services if _service_needs(self, one, kind, name)),
            *(f"gateway {one}" for one, obj in gateways if _gateway_needs(obj.gateway, kind, name)),
        ]

    def _inside(self, kind: str, name: str) -> list[str]:
        """The services in a namespace of Cloud Map, or the instances of a service."""
        contained = {"Namespace": ("CloudMapService", "External"), "CloudMapService": ("CloudMapInstance",)}.get(
            kind, ()
        )
        return [f"{one} {each}" for one in contained for each in self.objects(one) if each.startswith(f"{name}/")]

    def service(self, name: str) -> ecs_pb2.CreateServiceRequest:
        return self.objects("Service")[name].service.spec


def _service_needs(indexes: Indexes, service: str, kind: str, name: str) -> bool:
    needs = _SERVICE_NEEDS.get(kind)
    return needs is not None and needs(indexes, service, name)


def _needs_cluster(indexes: Indexes, service: str, name: str) -> bool:
    return references.cluster_of(indexes.service(service)) == name


def _needs_namespace(indexes: Indexes, service: str, name: str) -> bool:
    spec = indexes.service(service)
    return references.connects(spec) and references.namespace_of(spec, indexes.before) == name


def _needs_task_definition(indexes: Indexes, service: str, name: str) -> bool:
    used = references.find_task_definition(indexes.service(service).task_definition, indexes.before)
    return used is not None and f"{used.spec.family}:{used.revision}" == name


def _needs_image(indexes: Indexes, service: str, name: str) -> bool:
    """A service does not need an Image if another one gives the command, or the container would only be left out."""
    return (name, service) in indexes.losing_commands


def _needs_secret(indexes: Indexes, service: str, name: str) -> bool:
    containers = indexes.containers(indexes.service(service))
    started = (one for one in containers if not images.is_left_out(one, indexes.state))
    return any(secret.value_from == name for container in started for secret in container.secrets)


def _gateway_needs(gateway: objects_pb2.Gateway, kind: str, name: str) -> bool:
    if kind == "Cluster":
        return (gateway.cluster or references.DEFAULT_CLUSTER) == name
    return kind == "Namespace" and gateway.namespace == name


#: By kind: whether a service needs the object of that name.
_SERVICE_NEEDS: Mapping[str, Callable[[Indexes, str, str], bool]] = MappingProxyType(
    {
        "Cluster": _needs_cluster,
        "Namespace": _needs_namespace,
        "TaskDefinition": _needs_task_definition,
        "Image": _needs_image,
        "SecretValue": _needs_secret,
    }
)
