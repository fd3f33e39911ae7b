"""What plans ask of the registry, as named indexes of the informer: the tasks of a service, of a gateway, of a node.

The one rule: an answer is sorted by name, so that a plan never depends on the order in which objects came. It is read from
the informer's state as it is at that moment; a plan asks all of its questions without awaiting anything in between.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from tsunagu.controllers import task_state
from tsunagu.controllers.services.placement import NodeLoad
from tsunagu.model import ids, images
from tsunagu.model.statuses import NodeState
from tsunagu.registry.indexes import Index

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tsunagu.registry.informer import Informer, ObjectChange
    from tsunagu.v1.objects_pb2 import Object


def service_of_revision(revision: Object) -> str:
    """Name of the Service that a revision belongs to."""
    body = revision.service_revision
    return f"{body.cluster}/{body.service}"


def service_of_deployment(deployment: Object) -> str:
    """Name of the Service that a deployment is of."""
    return deployment.meta.name.rpartition("/")[0]


def _service(task: Object) -> Iterable[str]:
    return () if task.task.spec.gateway else (ids.service_of(task),)


def _gateway(task: Object) -> Iterable[str]:
    return (task.task.spec.gateway,) if task.task.spec.gateway else ()


def _occupied_node(task: Object) -> Iterable[str]:
    """A task holds its room on a node until it is STOPPED."""
    return () if task_state.is_stopped(task) else (task.task.spec.node,)


_TASKS_OF_SERVICE = Index("tasks by service", "Task", _service)
_TASKS_OF_GATEWAY = Index("tasks by gateway", "Task", _gateway)
_TASKS_OF_NODE = Index("tasks by node", "Task", lambda task: (task.task.spec.node,))
_TASKS_WITH_ROOM = Index("tasks by occupied node", "Task", _occupied_node)
_REVISIONS_OF_SERVICE = Index(
    "revisions by service", "ServiceRevision", lambda revision: (service_of_revision(revision),)
)

_DEPLOYMENTS_OF_SERVICE = Index(
    "deployments by service", "ServiceDeployment", lambda deployment: (service_of_deployment(deployment),)
)

_SERVICES_OF_ALARM = Index(
    "services by alarm", "Service", lambda obj: obj.service.spec.deployment_configuration.alarms.alarm_names
)
_DEPLOYMENTS_OF_ALARM = Index(
    "deployments by alarm",
    "ServiceDeployment",
    lambda obj: obj.service_deployment.configuration.alarms.alarm_names,
)

#: What the controllers need of an informer.
INDEXES = (
    _TASKS_OF_SERVICE,
    _TASKS_OF_GATEWAY,
    _TASKS_OF_NODE,
    _TASKS_WITH_ROOM,
    _REVISIONS_OF_SERVICE,
    _DEPLOYMENTS_OF_SERVICE,
    _SERVICES_OF_ALARM,
    _DEPLOYMENTS_OF_ALARM,
)


def tasks_of_service(informer: Informer, service: str) -> tuple[Object, ...]:
    """Its tasks, dead or alive."""
    return _sorted(informer, _TASKS_OF_SERVICE, service)


def tasks_of_gateway(informer: Informer, gateway: str) -> tuple[Object, ...]:
    """Its tasks, dead or alive."""
    return _sorted(informer, _TASKS_OF_GATEWAY, gateway)


def tasks_of_node(informer: Informer, node: str) -> tuple[Object, ...]:
    """All tasks that were placed on the node, dead or alive."""
    return _sorted(informer, _TASKS_OF_NODE, node)


def revisions_of_service(informer: Informer, service: str) -> tuple[Object, ...]:
    """Its ServiceRevisions."""
    return _sorted(informer, _REVISIONS_OF_SERVICE, service)


def deployments_of_service(informer: Informer, service: str) -> tuple[Object, ...]:
    """Its ServiceDeployments."""
    return _sorted(informer, _DEPLOYMENTS_OF_SERVICE, service)


def services_of_alarm(informer: Informer, alarm: str) -> set[str]:
    """Names of the services that name an alarm, or whose deployments do."""
    deployments = informer.by_index(_DEPLOYMENTS_OF_ALARM.name, alarm).values()
    return {*informer.by_index(_SERVICES_OF_ALARM.name, alarm), *map(service_of_deployment, deployments)}


def node_loads(informer: Informer, service: str = "") -> tuple[NodeLoad, ...]:
    """Every node that takes new tasks; siblings are the live tasks of the service."""
    live = [task.task.spec for task in tasks_of_service(informer, service) if task_state.is_live(task)]
    siblings = Counter(task.node for task in live)
    in_zone = Counter((task.node, task.zone) for task in live)
    return tuple(
        NodeLoad(
            name=name,
            capacity=node.node.task_capacity,
            tasks=len(informer.by_index(_TASKS_WITH_ROOM.name, name)),
            siblings=siblings[name],
            runs_images=images.runs_images(node.node),
            zones=tuple((zone, in_zone[name, zone]) for zone in node.node.zones),
        )
        for name, node in sorted(informer.objects("Node").items())
        if _takes_tasks(node)
    )


def changes_placement(change: ObjectChange) -> bool:
    """Whether it makes room for tasks, or takes it away; a node with another runtime has room for others."""
    return change.kind == "Node" and _room(change.old) != _room(change.new)


def _takes_tasks(node: Object) -> bool:
    return node.node.state != NodeState.NOT_READY


def _room(node: Object | None) -> tuple[int, str] | None:
    """How many tasks it may have, and its runtime; None when it takes none."""
    return (node.node.task_capacity, node.node.runtime) if node is not None and _takes_tasks(node) else None


def _sorted(informer: Informer, index: Index, key: str) -> tuple[Object, ...]:
    return tuple(obj for _, obj in sorted(informer.by_index(index.name, key).items()))
