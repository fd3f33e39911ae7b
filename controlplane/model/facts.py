"""What the rules ask of all objects at once: who has which name in a namespace, which ports are published.

The one rule: each question is answered by an index that is built once, so validating a batch costs as much as there are
objects, not as much as there are pairs of them.
"""

from __future__ import annotations

from collections import defaultdict
from functools import cached_property
from typing import TYPE_CHECKING

from controlplane.model import references, revisions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tsunagu.v1 import ecs_pb2, objects_pb2

    from controlplane.model.references import State

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

    def users_of(self, kind: str, name: str) -> list[str]:
        """Services and gateways that need an object of that kind and name."""
        services = self.objects("Service").items()
        gateways = self.objects("Gateway").items()
        return [
            *(f"service {one}" for one, obj in services if self._service_needs(obj.service.spec, kind, name)),
            *(f"gateway {one}" for one, obj in gateways if _gateway_needs(obj.gateway, kind, name)),
        ]

    def _service_needs(self, spec: ecs_pb2.CreateServiceRequest, kind: str, name: str) -> bool:
        if kind == "Cluster":
            return references.cluster_of(spec) == name
        if kind == "Namespace":
            return references.connects(spec) and references.namespace_of(spec, self.before) == name
        used = references.find_task_definition(spec.task_definition, self.before) if kind == "TaskDefinition" else None
        return used is not None and f"{used.spec.family}:{used.revision}" == name


def _gateway_needs(gateway: objects_pb2.Gateway, kind: str, name: str) -> bool:
    if kind == "Cluster":
        return (gateway.cluster or references.DEFAULT_CLUSTER) == name
    return kind == "Namespace" and gateway.namespace == name
