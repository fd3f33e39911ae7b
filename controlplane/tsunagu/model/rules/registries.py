"""What a service's `serviceRegistries` must be, and what is only worth a warning: a registry that gives its tasks no name here.

Source: ECS API Reference, ServiceRegistry.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tsunagu.model import cloud_map
from tsunagu.model.rules.constraints import issue

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tsunagu.model.errors import Issue
    from tsunagu.model.references import State
    from tsunagu.model.rules.subject import Subject
    from tsunagu.v1 import ecs_pb2

_MOST: Final = 1


def registries(subject: Subject) -> Iterator[Issue]:
    """A service has one registry at most; with SRV records it says which port they tell."""
    spec: ecs_pb2.CreateServiceRequest = subject.obj.service.spec
    if len(spec.service_registries) > _MOST:
        yield issue("serviceRegistries", f"there are {len(spec.service_registries)}; AWS takes one", "keep one")
    for index, registry in enumerate(spec.service_registries):
        path = f"serviceRegistries[{index}]"
        if registry.port and registry.container_port:
            yield issue(f"{path}.port", "there is a containerPort too", "leave one of them out")
        kinds = cloud_map.record_types(registry.registry_arn, subject.indexes.state)
        if "SRV" in kinds and not (registry.port or registry.container_port):
            yield issue(path, "its CloudMapService has SRV records, which need a port", "write `port`")


def unregistered(spec: ecs_pb2.CreateServiceRequest, state: State) -> Iterator[Issue]:
    """Yield a warning about each registry that gives the tasks no name here."""
    for index, registry in enumerate(spec.service_registries):
        path = f"serviceRegistries[{index}].registryArn"
        name = cloud_map.service_named(registry.registry_arn, state)
        if not name:
            reason = f"no CloudMapService has the ARN {registry.registry_arn}, so its tasks get no DNS name here"
            yield issue(path, reason, f"add `kind: CloudMapService` with `arn: {registry.registry_arn}`")
        elif not cloud_map.is_dns(name.partition("/")[0], state):
            reason = f"{name} is in a namespace without DNS: its tasks are found by DiscoverInstances alone"
            yield issue(path, reason, "give the Namespace `type: DNS_PRIVATE`")
