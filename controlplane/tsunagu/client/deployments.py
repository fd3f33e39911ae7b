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
from tsunagu.model.deployments import lifecycle_hooks
from tsunagu.model.statuses import FINISHED, DeploymentStatus, HookStatus
from tsunagu.v1 import deployments_pb2

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tsunagu.client.connection import Link
    from tsunagu.v1.deployments_pb2 import LifecycleHookState, ServiceDeployment
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


async def resume(link: Link, deployment: Object, hook_id: str, *, back: bool) -> LifecycleHookState:
    """Let a deployment that is paused go on, or (`back`) go back; return the hook that paused it. `hook_id`: which one of
    several, empty for the only one. Raises InvalidRequest.
    """
    answer = deployments_pb2.HookAnswer(
        status=HookStatus.FAILED if back else HookStatus.SUCCEEDED,
        reason="the user asked for it" if back else "the user continued it",
    )
    answered: list[LifecycleHookState] = []

    def give(obj: Object) -> None:
        hook = _paused_at(obj.service_deployment, hook_id, obj.meta.name.rpartition("/")[2])
        hook.answer.CopyFrom(answer)
        answered[:] = [hook]

    await link.registry.update("ServiceDeployment", deployment.meta.name, give)
    return answered[0]


def _paused_at(body: ServiceDeployment, hook_id: str, number: str) -> LifecycleHookState:
    paused = {hook.hook_id: hook for hook in body.lifecycle_hooks if lifecycle_hooks.is_paused(hook)}
    if not paused:
        waits = [f"it {lifecycle_hooks.waiting(body, hook)}" for hook in lifecycle_hooks.waited_for(body)]
        raise InvalidRequest(f"deployment {number} is not paused: {'; '.join(waits) or f'it is {body.status}'}")
    if hook_id and hook_id not in paused:
        raise InvalidRequest(f"deployment {number} is not paused by hook {hook_id!r}, but by {', '.join(paused)}")
    if not hook_id and len(paused) > 1:
        several = ", ".join(paused)
        raise InvalidRequest(f"deployment {number} is paused by {len(paused)} hooks; name one with --hook: {several}")
    return paused[hook_id] if hook_id else next(iter(paused.values()))
