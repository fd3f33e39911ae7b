"""All that a plan for one service looks at, read from the informer in one go.

The one rule: whatever a plan decides follows from this value, the time and the policy alone, so that it can be made and
tested without a registry.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tsunagu.controllers import indexes, task_state
from tsunagu.controllers.deployments import history
from tsunagu.controllers.services import rollout
from tsunagu.controllers.services.placement import Kind, kind_for, suited
from tsunagu.controllers.services.revisions import DesiredRevision, deployment_of, desired_revision
from tsunagu.model import images

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tsunagu.controllers.services.placement import NodeLoad
    from tsunagu.registry.informer import Informer
    from tsunagu.v1.objects_pb2 import Object


@dataclass(frozen=True, slots=True)
class ServiceState:
    """`service` is None when it was deleted. `desired` is what its tasks are to be made from: as observed, what the service
    asks for; on its course (`services.deploying`), the revision that its deployment has in force.
    """

    name: str
    service: Object | None
    desired: DesiredRevision
    tasks: tuple[Object, ...]  # its tasks, dead or alive
    revisions: tuple[Object, ...]
    nodes: tuple[NodeLoad, ...]  # those that can run them and take new tasks
    deployment: int = 0  # of its present deployment; as observed, of one that would begin now
    deployments: tuple[Object, ...] = ()
    alarms: Mapping[str, Object] = field(
        default_factory=dict
    )  # those that its deployments name, as far as there are any
    both: bool = False  # the mesh has nodes that run images, and others

    @property
    def kind(self) -> Kind:
        """The nodes for its tasks."""
        return _kind(self.desired, both=self.both)

    @property
    def limits(self) -> rollout.Limits:
        """The counts of its tasks. A DAEMON counts the nodes that take tasks, and those that still have one."""
        assert self.service is not None
        live = (task.task.spec.node for task in self.tasks if task_state.is_live(task))
        nodes = {*(node.name for node in self.nodes), *live}
        return rollout.limits(self.service.service.spec, len(nodes))


def observe(informer: Informer, name: str) -> ServiceState:
    """The state of the service of that name, as the informer shows it now."""
    service = informer.get("Service", name)
    desired = desired_revision(service, informer.state) if service else DesiredRevision(None)
    both = images.node_for_images(informer.state) and images.node_for_processes(informer.state)
    return ServiceState(
        name=name,
        service=service,
        desired=desired,
        tasks=indexes.tasks_of_service(informer, name),
        revisions=indexes.revisions_of_service(informer, name),
        nodes=suited(indexes.node_loads(informer, name), _kind(desired, both=both)),
        deployment=deployment_of(service, desired, informer.state) if service else 0,
        both=both,
        deployments=(deployments := indexes.deployments_of_service(informer, name)),
        alarms=_alarms(informer, service, deployments),
    )


def _alarms(informer: Informer, service: Object | None, deployments: Iterable[Object]) -> dict[str, Object]:
    """Those that the service names, for a deployment that begins, and those that its deployments name."""
    configs = [one.service_deployment.configuration for one in deployments if not history.is_over(one)]
    if service is not None:
        configs.append(service.service.spec.deployment_configuration)
    names = {name for config in configs for name in config.alarms.alarm_names}
    found = {name: informer.get("Alarm", name) for name in sorted(names)}
    return {name: obj for name, obj in found.items() if obj is not None}


def _kind(desired: DesiredRevision, *, both: bool) -> Kind:
    return kind_for(desired.revision.service_revision, both=both) if desired.revision else Kind.ANY
