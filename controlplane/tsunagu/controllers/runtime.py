"""Runs the controllers: waits for changes, makes plans, applies them, and tries again what failed.

The one rule: plans are made one at a time, each over a state that contains the commits of all before it. A plan is
applied whole or not at all, and only if what it is based on has not changed; so a slow informer, a second control plane
or a restart at any point costs another reconciliation and never a task too many.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tsunagu.controllers import addresses, gateways, indexes, nodes
from tsunagu.controllers.actions import Action, Create, Plan, Remove
from tsunagu.controllers.policy import Policy
from tsunagu.controllers.services import controller as services
from tsunagu.controllers.work_queue import WorkQueue
from tsunagu.kit import log
from tsunagu.kit.clock import SystemClock
from tsunagu.model import ids
from tsunagu.registry.objects import DeleteObject, PutObject
from tsunagu.registry.store import Conflict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tsunagu.kit.clock import Clock
    from tsunagu.registry.informer import Follower, Informer, ObjectChange
    from tsunagu.registry.objects import Objects


@dataclass(frozen=True, slots=True)
class Controller:
    """`keys_for` gives the keys that a change may concern; `plan` decides what to do about one, and is pure."""

    name: str
    keys_for: Callable[[Informer, ObjectChange], Iterable[str]]
    plan: Callable[[Informer, str, float, Policy], Plan]


CONTROLLERS = (
    Controller("services", services.keys_for, services.plan),
    Controller("addresses", addresses.keys_for, addresses.plan),
    Controller("nodes", nodes.keys_for, nodes.plan),
    Controller("gateways", gateways.keys_for, gateways.plan),
)


@dataclass(frozen=True, slots=True)
class Done:
    """Nothing more to do until something changes."""


@dataclass(frozen=True, slots=True)
class Retry:
    """To be reconciled again after so many seconds, though nothing may have changed."""

    after: float


async def run_controllers(
    registry: Objects, informer: Informer, *, clock: Clock | None = None, policy: Policy | None = None
) -> None:
    """Runs every controller until it is cancelled. `informer` follows `registry` and is run by the caller."""
    await Runtime(registry, informer, clock or SystemClock(), policy or Policy()).run()


class Runtime:
    """The controllers over one registry and one informer of it. Plans read the informer between two awaits, never across one."""

    def __init__(self, registry: Objects, informer: Informer, clock: Clock, policy: Policy) -> None:
        self._registry = registry
        self._informer = informer
        self._clock = clock
        self._policy = policy
        self._planning = asyncio.Lock()
        self._queues: dict[str, WorkQueue] = {}
        self._follower: Follower | None = None
        self._log = log.get("controllers")
        self._problems: dict[tuple[str, str], str] = {}
        for index in indexes.INDEXES:
            informer.add_index(index)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for controller in CONTROLLERS:
                name = f"controller {controller.name}"
                self._queues[controller.name] = queue = WorkQueue(name, group, self._clock, self._policy)
                group.create_task(self._work(controller, queue), name=name)
            group.create_task(self._follow(), name="controllers follow")

    @property
    def idle(self) -> bool:
        """Whether everything that the informer shows has been reconciled; what is only delayed does not count."""
        if self._follower is None or self._follower.waiting:
            return False
        return all(queue.idle for queue in self._queues.values())

    async def _follow(self) -> None:
        self._follower = self._informer.follow()
        async for item in self._follower:
            for controller in CONTROLLERS:
                queue = self._queues[controller.name]
                for change in item.changes:
                    for key in controller.keys_for(self._informer, change):
                        queue.add(key)

    async def _work(self, controller: Controller, queue: WorkQueue) -> None:
        """The top of a controller's task: an error of one key is logged and the key is tried again."""
        while True:
            key = await queue.next()
            try:
                result = await self.reconcile(controller, key)
            except Conflict as conflict:
                self._log.debug("conflict", controller=controller.name, key=key, conflict=str(conflict))
                queue.retry(key, random.random())  # noqa: S311  # jitter is no secret
            except Exception:  # noqa: BLE001  # one broken object must not end the control of all others
                delay = queue.retry(key, random.random())  # noqa: S311
                self._log.exception("reconciliation failed", controller=controller.name, key=key, retry_after=delay)
            else:
                queue.forget(key)
                if isinstance(result, Retry):
                    queue.add_after(key, result.after)
            finally:
                queue.done(key)

    async def reconcile(self, controller: Controller, key: str) -> Done | Retry:
        """Plans for one key and applies the plan. Raises Conflict when another writer was faster, and to wait a little helps."""
        async with self._planning:
            now = self._clock.now()
            plan = controller.plan(self._informer, key, now, self._policy)
            self._log_problem(controller.name, key, plan.problem)
            if plan.actions and not await self._apply(plan):
                return Retry(0.0)
        return Done() if plan.wake_at is None else Retry(max(0.0, plan.wake_at - now))

    async def _apply(self, plan: Plan) -> bool:
        """Commits the plan, and waits until the informer shows it. False: the state that it was made over is outdated."""
        try:
            revision = await self._registry.batch([operation(action) for action in plan.actions])
        except Conflict as conflict:
            if conflict.actual <= self._informer.revision:
                raise
            await self._catch_up(conflict)
            return False
        await self._informer.wait_revision(revision)
        return True

    async def _catch_up(self, conflict: Conflict) -> None:
        """Waits until the informer shows the faster writer's change. Raises the conflict when it does not come: no answer
        of the registry may hold up all plans for ever.
        """
        try:
            async with asyncio.timeout(self._policy.catch_up):
                await self._informer.wait_revision(conflict.actual)
        except TimeoutError:
            raise conflict from None

    def _log_problem(self, controller: str, key: str, problem: str) -> None:
        """Logs a problem once, and its end."""
        before = self._problems.pop((controller, key), "")
        if problem:
            self._problems[controller, key] = problem
        if problem and problem != before:
            self._log.error("cannot reconcile", controller=controller, key=key, problem=problem)
        elif before and not problem:
            self._log.info("can reconcile again", controller=controller, key=key)


def operation(action: Action) -> PutObject | DeleteObject:
    """An action as a part of a commit, with what it is based on."""
    obj = action.obj
    if isinstance(action, Create):
        return PutObject(obj, expected=0)
    if isinstance(action, Remove):
        return DeleteObject(ids.kind_of(obj), obj.meta.name, expected=obj.meta.revision)
    return PutObject(obj, expected=obj.meta.revision)
