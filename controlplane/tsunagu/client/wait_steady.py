"""Waits until a mesh is steady: every service runs its desired number of tasks, of its desired revision.

The one rule: whether it is steady follows from the objects alone. The desired revision is resolved anew, so a status that is
older than an `apply` never passes for steady.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from tsunagu.client.errors import NotConverged
from tsunagu.client.source import registry_informer
from tsunagu.model import ids, revisions
from tsunagu.model.errors import ManifestError
from tsunagu.model.statuses import DeploymentStatus, RolloutState, Status

if TYPE_CHECKING:
    from collections.abc import Callable

    from tsunagu.client.connection import Link
    from tsunagu.model.references import State
    from tsunagu.registry.informer import Informer
    from tsunagu.v1 import objects_pb2


_NOTIFY_SECONDS = 1.0


def unsteady(state: State) -> list[str]:
    """The reasons why a mesh is not steady, one line each; empty when it is."""
    services = [_service(obj, state) for obj in state.get("Service", {}).values()]
    gateways = [_gateway(obj, state) for obj in state.get("Gateway", {}).values()]
    return [line for line in (*services, *gateways) if line]


def _service(obj: objects_pb2.Object, state: State) -> str:
    name, status, spec = obj.meta.name, obj.service.status, obj.service.spec
    try:
        desired, _ = revisions.resolve(obj, state)
    except ManifestError as error:
        return f"service {name}: {error}"
    deployment = _deployment_of(obj, desired, state)
    if why := _turned_back(deployment):
        return f"service {name}: {why}"
    if status.revision != desired and deployment is None:
        return f"service {name}: its change has not been taken up yet"
    if status.reason:
        return f"service {name}: {status.reason}"
    counted = spec.HasField("desired_count") and spec.scheduling_strategy != "DAEMON"  # which has as many as nodes
    count = spec.desired_count if counted else status.desired_count
    if status.revision != desired:
        return f"service {name}: its deployment goes on"
    if status.desired_count != count or status.updated_count != count or status.rollout_state != RolloutState.COMPLETED:
        return f"service {name}: {status.updated_count} of {count} tasks run"
    if status.running_count != count:
        return f"service {name}: {status.running_count} tasks run, {count} are wanted"
    return ""


def _deployment_of(service: objects_pb2.Object, desired: str, state: State) -> objects_pb2.Object | None:
    """The present deployment, if it is to bring that revision; None: something else is wanted since."""
    found = state.get("ServiceDeployment", {}).get(
        ids.deployment_name(service.meta.name, service.service.status.deployment)
    )
    return found if found is not None and found.service_deployment.target_revision == desired else None


def _turned_back(deployment: objects_pb2.Object | None) -> str:
    """That the deployment was rolled back, and why; empty if it was not."""
    if deployment is None or deployment.service_deployment.status != DeploymentStatus.ROLLBACK_SUCCESSFUL:
        return ""
    number = deployment.meta.name.rpartition("/")[2]
    return f"deployment {number} was rolled back: {deployment.service_deployment.status_reason}"


def _gateway(obj: objects_pb2.Object, state: State) -> str:
    tasks = [task.task for task in state.get("Task", {}).values() if task.task.spec.gateway == obj.meta.name]
    if any(task.status.last_status == Status.RUNNING and task.spec.desired_status == Status.RUNNING for task in tasks):
        return ""
    stopped = max(tasks, key=lambda task: task.status.stopped_at.ToNanoseconds(), default=None)
    reason = stopped.status.stopped_reason if stopped else ""
    return f"gateway {obj.meta.name}: {reason or 'its proxy is not running yet'}"


async def until_steady(link: Link, timeout: float | None, notify: Callable[[str], None]) -> None:
    """Returns when everything is steady. ``notify`` gets the first reason that it is not, once a second at most.

    Raises NotConverged with every reason after ``timeout`` seconds; None is for ever.
    """
    informer = registry_informer(link.registry)
    try:
        async with asyncio.timeout(timeout), asyncio.TaskGroup() as group:
            running = group.create_task(informer.run(), name="informer")
            await steady_in(informer, notify)
            running.cancel()
    except TimeoutError:
        reasons = "\n  ".join(unsteady(informer.state)) or "the control plane has not answered"
        raise NotConverged(f"not steady after {timeout:g} s:\n  {reasons}") from None


async def steady_in(informer: Informer, notify: Callable[[str], None]) -> None:
    """As `until_steady`, for an informer that the caller runs, and without a deadline."""
    notified, notified_at = "", time.monotonic()
    async for _ in informer.follow():
        reasons = unsteady(informer.state)
        if not reasons:
            return
        if reasons[0] != notified and time.monotonic() - notified_at > _NOTIFY_SECONDS:
            notified, notified_at = reasons[0], time.monotonic()
            notify(notified)
