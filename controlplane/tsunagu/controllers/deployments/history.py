"""Which deployment of a service is the present one, when a new one begins, and which records of earlier ones are kept.

The one rule: a deployment begins when what the service resolves to is another revision than the present deployment's target.
So neither desiredCount nor a change back to where a rollback has gone anyway is mistaken for one.

Source: ECS API Reference, UpdateService (what starts a deployment), ServiceDeployment (statuses).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tsunagu.controllers.actions import clone, stamp
from tsunagu.controllers.deployments.stages import finish
from tsunagu.model import ids
from tsunagu.model.statuses import FINISHED, DeploymentStatus, RolloutState, Stage
from tsunagu.v1 import deployments_pb2

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tsunagu.v1.objects_pb2 import Object, Service

_COMPLETED = frozenset({DeploymentStatus.SUCCESSFUL, DeploymentStatus.ROLLBACK_SUCCESSFUL})


def number_of(deployment: Object) -> int:
    """The number in its name: `ServiceStatus.deployment`, which only grows."""
    return int(deployment.meta.name.rpartition("/")[2])


def newest_first(deployments: Iterable[Object]) -> list[Object]:
    """Deployments of one service in the order in which they are listed."""
    return sorted(deployments, key=number_of, reverse=True)


def present(service: Service, deployments: Iterable[Object]) -> Object | None:
    """The deployment that the service's status names; records of an earlier service of the same name are none of its."""
    return next((one for one in deployments if number_of(one) == service.status.deployment), None)


def is_over(deployment: Object) -> bool:
    """Whether it does nothing more."""
    return deployment.service_deployment.status in FINISHED


def must_begin(service: Service, now_present: Object | None, asked: str) -> bool:
    """Whether a deployment of the revision of that name begins; empty: it is not known which."""
    if not asked:
        return False
    if now_present is not None:
        return now_present.service_deployment.target_revision != asked
    settled = service.status.rollout_state == RolloutState.COMPLETED  # before deployments had records
    return not settled or service.status.revision != asked


def begun(service: Object, number: int, asked: str, source: tuple[str, int], now: float) -> Object:
    """The new deployment. `source`: the revision to go back to (empty: none), and the deployment that brought it."""
    body = deployments_pb2.ServiceDeployment(
        cluster=service.meta.name.rpartition("/")[0],
        service=service.meta.name.rpartition("/")[2],
        status=DeploymentStatus.IN_PROGRESS,
        target_revision=asked,
        source_revision=source[0] if source[0] != asked else "",
        source_deployment=source[1],
    )
    body.configuration.CopyFrom(service.service.spec.deployment_configuration)
    if service.service.spec.deployment_controller.type == "CODE_DEPLOY":  # which has no strategy of ECS
        body.configuration.strategy = body.configuration.strategy or "BLUE_GREEN"
    if service.service.HasField("next_deployment"):
        body.request.CopyFrom(service.service.next_deployment)
    if service.service.spec.scheduling_strategy == "DAEMON":  # there is no second task beside the one of a node
        body.request.strategy = "ROLLING"
    stamp(body.created_at, now)
    return ids.make("ServiceDeployment", ids.deployment_name(service.meta.name, number), body)


def overtaken(deployment: Object, number: int, now: float) -> Object:
    """The deployment as it ends when the one of that number begins. One that had only to clean up has succeeded."""
    ended = clone(deployment)
    body = ended.service_deployment
    if body.status == DeploymentStatus.IN_PROGRESS and body.lifecycle_stage == Stage.CLEAN_UP:
        finish(body, DeploymentStatus.SUCCESSFUL, "", now)
    else:
        finish(body, DeploymentStatus.STOPPED, f"deployment {number} has overtaken it", now)
    return ended


def completed(service: Service, deployments: Iterable[Object]) -> tuple[str, int]:
    """The revision of the last deployment that was completed, and the deployment that brought it; ("", 0): there is none."""
    found = newest_first(deployments)
    for one in found:
        body = one.service_deployment
        if body.status == DeploymentStatus.SUCCESSFUL:
            return body.target_revision, number_of(one)
        if body.status == DeploymentStatus.ROLLBACK_SUCCESSFUL:
            return body.source_revision, body.source_deployment
    if not found and service.status.rollout_state == RolloutState.COMPLETED:
        return service.status.revision, service.status.deployment
    return "", 0


def outdated(deployments: Iterable[Object], kept: int) -> list[Object]:
    """The records to remove: all but the newest, and the last that was completed."""
    over = [one for one in newest_first(deployments) if is_over(one)]
    last = next((one for one in over if one.service_deployment.status in _COMPLETED), None)
    return [one for one in over[kept:] if one is not last]


def revisions_of(deployments: Sequence[Object]) -> set[str]:
    """The service revisions that a deployment may still go to: of the present one, and of the last that was completed."""
    newest = newest_first(deployments)
    last = next((one for one in newest if one.service_deployment.status == DeploymentStatus.SUCCESSFUL), None)
    bodies = [one.service_deployment for one in (*newest[:1], *([last] if last else []))]
    return {name for body in bodies for name in (body.target_revision, body.source_revision)} - {""}
