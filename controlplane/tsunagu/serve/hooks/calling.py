"""Calls the functions that deployments wait for, and leaves their answers in the deployments.

The one rule: what is to be called is in the registry, and nothing else is remembered. A call whose answer was not written yet
when the control plane ended is made again: a function is called at least once.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tsunagu.kit import log
from tsunagu.kit.backoff import Backoff
from tsunagu.model.deployments.lifecycle_hooks import LAMBDA, waited_for
from tsunagu.model.statuses import DeploymentStatus
from tsunagu.registry.objects import NotFound
from tsunagu.serve.hooks import hook_map
from tsunagu.serve.hooks.answer import failed
from tsunagu.serve.hooks.event import event
from tsunagu.v1.objects_pb2 import ServiceTraffic

if TYPE_CHECKING:
    from pathlib import Path

    from tsunagu.kit.clock import Clock
    from tsunagu.registry.informer import Informer
    from tsunagu.registry.objects import Registry
    from tsunagu.serve.hooks.call import Caller
    from tsunagu.v1.deployments_pb2 import HookAnswer, LifecycleHookState
    from tsunagu.v1.objects_pb2 import Object

AT_ONCE: Final = 16
"""Functions that are called at the same time; others wait."""
_AGAIN: Final = Backoff(base=0.5, cap=30.0)


@dataclass(frozen=True, slots=True)
class Due:
    """A call that is to be made. `turn`: how many were answered before it; `at`: seconds since the epoch."""

    deployment: str
    hook_id: str
    turn: int
    at: float


def due(deployment: Object) -> frozenset[Due]:
    """The calls that a deployment waits for."""
    body, name = deployment.service_deployment, deployment.meta.name
    if body.status != DeploymentStatus.IN_PROGRESS:
        return frozenset()
    return frozenset(
        Due(name, hook.hook_id, hook.calls, hook.call_at.ToNanoseconds() / 1e9)
        for hook in waited_for(body)
        if hook.target_type == LAMBDA and hook.HasField("call_at") and not hook.HasField("answer")
    )


class HookCalls:
    """The calls of all deployments. `hooks`: the file that maps functions."""

    def __init__(self, registry: Registry, informer: Informer, hooks: Path, caller: Caller, clock: Clock) -> None:
        self._registry = registry
        self._informer = informer
        self._hooks = hooks
        self._caller = caller
        self._clock = clock
        self._calls: dict[Due, asyncio.Task[None]] = {}  # those of which the answer is not known to be written
        self._places = asyncio.Semaphore(AT_ONCE)
        self._log = log.get("hooks")

    async def run(self) -> None:
        """Call until it is cancelled, which ends the commands that run."""
        async with asyncio.TaskGroup() as group:
            async for item in self._informer.follow(first=True):
                for change in item.changes:
                    if change.kind == "ServiceDeployment":
                        self._look_at(change.name, change.new, group)

    def _look_at(self, name: str, deployment: Object | None, group: asyncio.TaskGroup) -> None:
        wanted = due(deployment) if deployment is not None else frozenset()
        for call in [one for one in self._calls if one.deployment == name and one not in wanted]:
            self._calls.pop(call).cancel()  # it is over, timed out, or answered
        for call in wanted - self._calls.keys():
            self._calls[call] = group.create_task(self._make(call), name=f"hook {call.hook_id} of {call.deployment}")

    async def _make(self, call: Due) -> None:
        """The top of a call's task: an error that is not the function's is logged, and the call made again."""
        await self._clock.sleep(max(0.0, call.at - self._clock.now()))
        attempt = 0
        while True:
            try:
                async with self._places:
                    await self._leave(call, await self._answer(call))
            except Exception:  # noqa: BLE001 - one broken call must not end those of all others
                attempt += 1
                self._log.exception("hook not called", deployment=call.deployment, hook=call.hook_id)
                await self._clock.sleep(_AGAIN.delay(attempt))
            else:
                return

    async def _answer(self, call: Due) -> HookAnswer:
        deployment = self._informer.get("ServiceDeployment", call.deployment)
        hook = _named(deployment, call.hook_id) if deployment is not None else None
        if deployment is None or hook is None:
            return failed("the deployment is gone")
        service = self._informer.get("Service", call.deployment.rpartition("/")[0])
        traffic = service.service.status.traffic if service is not None else ServiceTraffic()
        try:
            target = hook_map.find(self._hooks, hook.target_arn)
        except hook_map.BadHook as error:
            return failed(str(error))
        text = json.dumps(event(deployment, hook, traffic))
        self._log.info("calling hook", deployment=call.deployment, hook=call.hook_id, target=str(target))
        said = await self._caller.call(target, text.encode())
        self._log.info(
            "hook answered", deployment=call.deployment, hook=call.hook_id, status=said.status, reason=said.reason
        )
        return said

    async def _leave(self, call: Due, said: HookAnswer) -> None:
        """Write the answer, if the deployment still waits for it."""

        def write(obj: Object) -> bool:
            hook = _named(obj, call.hook_id)
            if call not in due(obj) or hook is None:
                return False
            hook.answer.CopyFrom(said)
            return True

        try:
            await self._registry.update("ServiceDeployment", call.deployment, write)
        except NotFound:  # the service was deleted meanwhile
            return


def _named(deployment: Object, hook_id: str) -> LifecycleHookState | None:
    hooks = deployment.service_deployment.lifecycle_hooks
    return next((hook for hook in hooks if hook.hook_id == hook_id), None)
