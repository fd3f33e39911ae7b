"""Begins, follows and turns back deployments of services over the API.

The one rule: a deployment is asked for by changing its service, as an apply does, and is known by the number that the service's
status then names; so nobody follows a deployment that somebody else's change has begun before.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tsunagu.client.errors import InvalidRequest, NotConverged, UnknownName
from tsunagu.model import ids
from tsunagu.model.statuses import FINISHED, DeploymentStatus
from tsunagu.v1 import deployments_pb2

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tsunagu.client.connection import Link
    from tsunagu.v1.objects_pb2 import Object

_POLL = 0.25  # seconds


@dataclass(frozen=True, slots=True)
class Wish:
    """What a user asks of one deployment. `definition`: FAMILY:REVISION; empty: the service's own, anew."""

    definition: str = ""
    strategy: str = ""
    bake_seconds: float | None = None


async def begin(link: Link, service: str, wish: Wish) -> int:
    """Ask for a deployment of the service of that whole name; return the number of the one before it. Raises NotFound."""
    before = [0]

    def change(obj: Object) -> None:
        before[0] = obj.service.status.deployment
        if wish.definition and wish.definition != obj.service.spec.task_definition:
            obj.service.spec.task_definition = wish.definition
        else:
            obj.service.forced_deployments += 1
        obj.service.ClearField("next_deployment")
        if wish.strategy or wish.bake_seconds is not None:
            request = deployments_pb2.DeploymentRequest(strategy=wish.strategy, bake_seconds=wish.bake_seconds)
            obj.service.next_deployment.CopyFrom(request)

    await link.registry.update("Service", service, change)
    return before[0]


async def begun(link: Link, service: str, before: int, timeout: float) -> Object:
    """Return the deployment that came after that number. Raises NotConverged with what keeps it from beginning."""
    reason = ""
    try:
        async with asyncio.timeout(timeout):
            while True:
                obj = await link.registry.get("Service", service)
                if obj is None:
                    raise UnknownName(f"service {service} was deleted")
                reason = obj.service.status.reason
                if obj.service.status.deployment > before and (found := await present(link, obj)) is not None:
                    return found
                await asyncio.sleep(_POLL)
    except TimeoutError:
        raise NotConverged(f"no deployment of {service} has begun after {timeout:g} s: {reason}") from None


async def present(link: Link, service: Object) -> Object | None:
    """The deployment that the service's status names."""
    name = ids.deployment_name(service.meta.name, service.service.status.deployment)
    return await link.registry.get("ServiceDeployment", name)


async def until_over(link: Link, name: str) -> AsyncIterator[Object]:
    """Yield the deployment of that name as it is, again and again, until it is over; that one last. Raises UnknownName."""
    while True:
        found = await link.registry.get("ServiceDeployment", name)
        if found is None:
            raise UnknownName(f"deployment {name} is gone")
        yield found
        if found.service_deployment.status in FINISHED:
            return
        await asyncio.sleep(_POLL)


async def turn(link: Link, deployment: Object, status: DeploymentStatus) -> None:
    """Ask that a deployment goes back (ROLLBACK_REQUESTED) or stays as it is (STOP_REQUESTED). Raises InvalidRequest."""

    def ask(obj: Object) -> None:
        body = obj.service_deployment
        if body.status != DeploymentStatus.IN_PROGRESS:
            number = obj.meta.name.rpartition("/")[2]
            raise InvalidRequest(f"deployment {number} is not in progress: it is {body.status}")
        body.status = status

    await link.registry.update("ServiceDeployment", deployment.meta.name, ask)
