"""What the rules ask of all objects at once: who has which name in a namespace, which ports are published.

The one rule: each question is answered by an index that is built once, so validating a batch costs as much as there are
objects, not as much as there are pairs of them.
"""

from __future__ import annotations

from collections import defaultdict
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING

from tsunagu.model import references, revisions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from tsunagu.model.references import State
    from tsunagu.v1 import ecs_pb2, objects_pb2

Index = dict[tuple[str, ...], list[str]]


class Facts:
    """Objects as they would be (``state``) and as they are (``before``)."""

    def __init__(self, state: State, before: State) -> None:
        self.state = state
        self.before = before

    def objects(self, kind: str) -> Mapping[str, objects_pb2.Object]:
        return references.objects(self.state, kind)

    @cached_property
    def _connected(self) -> list[tuple[str, str, objects_pb2.Service]]:
        """(namespace, name, service) of every service that connects."""
        found = []
        for name, obj in self.objects("Service").items():
            if references.connects(obj.service.spec):
                found.append((references.namespace_of(obj.service.spec, self.state), name, obj.service))
        return found

    @cached_property
    def aliases(self) -> Index:
        """(namespace, dns name, port) -> services that offer it."""
        index: Index = defaultdict(list)
        for namespace, name, service in self._connected:
            for dns_name, port in revisions.aliases_of(service, self.state):
                index[namespace, dns_name, str(port)].append(name)
        return index

    @cached_property
    def discovery_names(self) -> Index:
        """(namespace, discovery name) -> services that have it."""
        index: Index = defaultdict(list)
        for namespace, name, service in self._connected:
            for offered in service.spec.service_connect_configuration.services:
                index[namespace, revisions.discovery_name(offered)].append(name)
        return index

    @cached_property
    def dns_names(self) -> set[tuple[str, str]]:
        """(namespace, dns name) of every alias."""
        return {(namespace, dns_name) for namespace, dns_name, _ in self.aliases}

    @cached_property
    def published(self) -> Index:
        """(host, port) -> gateways that listen there."""
        index: Index = defaultdict(list)
        for name, obj in self.objects("Gateway").items():
            for port in obj.gateway.ports:
                index[port.host or "127.0.0.1", str(port.host_port)].append(name)
        return index

    def task_definition(self, spec: ecs_pb2.CreateServiceRequest) -> objects_pb2.TaskDefinition | None:
        return references.find_task_definition(spec.task_definition, self.state)

    @cached_property
    def stranded(self) -> dict[tuple[str, str], ecs_pb2.ContainerDefinition]:
        """(Image, service) -> a container of the service that could be started, and could not be any more.

        The Image is the one that the container had, or the one that it would have.
        """
        found = {}
        for service, obj in self.objects("Service").items():
            for container in self.containers(obj.service.spec):
                if self._loses_its_process(container):
                    for state in (self.before, self.state):
                        found[references.image_name(container.image, state), service] = container
        return found

    def _loses_its_process(self, container: ecs_pb2.ContainerDefinition) -> bool:
        lacks = [revisions.lacks_process(container, state) is not None for state in (self.before, self.state)]
        return lacks == [False, True]

    def containers(self, spec: ecs_pb2.CreateServiceRequest) -> Iterable[ecs_pb2.ContainerDefinition]:
        """Those of a service's task definition."""
        definition = self.task_definition(spec)
        return definition.spec.container_definitions if definition else ()

    def is_as_before(self, kind: str, name: str) -> bool:
        """Whether an object is not one of those that are put, whose own rules judge it."""
        return self.objects(kind).get(name) is references.objects(self.before, kind).get(name)

    def users_of(self, kind: str, name: str) -> list[str]:
        """Services and gateways that need an object of that kind and name."""
        services = self.objects("Service")
        gateways = self.objects("Gateway").items()
        return [
            *(f"service {one}" for one in services if _service_needs(self, one, kind, name)),
            *(f"gateway {one}" for one, obj in gateways if _gateway_needs(obj.gateway, kind, name)),
        ]

    def service(self, name: str) -> ecs_pb2.CreateServiceRequest:
        return self.objects("Service")[name].service.spec


def _service_needs(facts: Facts, service: str, kind: str, name: str) -> bool:
    needs = _SERVICE_NEEDS.get(kind)
    return needs is not None and needs(facts, service, name)


def _needs_cluster(facts: Facts, service: str, name: str) -> bool:
    return references.cluster_of(facts.service(service)) == name


def _needs_namespace(facts: Facts, service: str, name: str) -> bool:
    spec = facts.service(service)
    return references.connects(spec) and references.namespace_of(spec, facts.before) == name


def _needs_task_definition(facts: Facts, service: str, name: str) -> bool:
    used = references.find_task_definition(facts.service(service).task_definition, facts.before)
    return used is not None and f"{used.spec.family}:{used.revision}" == name


def _needs_image(facts: Facts, service: str, name: str) -> bool:
    """Not when another Image says as well what to run, nor for what is merely left out without it."""
    return (name, service) in facts.stranded


def _needs_secret(facts: Facts, service: str, name: str) -> bool:
    containers = facts.containers(facts.service(service))
    started = (one for one in containers if not revisions.is_left_out(one, facts.state))
    return any(secret.value_from == name for container in started for secret in container.secrets)


def _gateway_needs(gateway: objects_pb2.Gateway, kind: str, name: str) -> bool:
    if kind == "Cluster":
        return (gateway.cluster or references.DEFAULT_CLUSTER) == name
    return kind == "Namespace" and gateway.namespace == name


#: Whether a service needs an object of a kind, by the object's name.
_SERVICE_NEEDS: Mapping[str, Callable[[Facts, str, str], bool]] = MappingProxyType(
    {
        "Cluster": _needs_cluster,
        "Namespace": _needs_namespace,
        "TaskDefinition": _needs_task_definition,
        "Image": _needs_image,
        "SecretValue": _needs_secret,
    }
)
