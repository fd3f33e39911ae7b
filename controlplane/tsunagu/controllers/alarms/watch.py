"""Looks at every alarm, again and again, and writes the states that have changed.

The one rule: the streams of the proxies share this process, so samples are added up in a thread, and looking takes at most a tenth of
the time.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from tsunagu.controllers.alarms.evaluation import Known, evaluated, unknown_again
from tsunagu.controllers.alarms.scopes import resolved
from tsunagu.controllers.task_state import is_running
from tsunagu.kit import log
from tsunagu.model import ids
from tsunagu.model.deployments import alarms
from tsunagu.registry.objects import PutObject
from tsunagu.registry.store import Conflict, StoreFailed
from tsunagu.signals import datapoints

if TYPE_CHECKING:
    from tsunagu.controllers.alarms.scopes import Resolved
    from tsunagu.kit.clock import Clock
    from tsunagu.registry.informer import Informer
    from tsunagu.registry.objects import Objects, Registry
    from tsunagu.signals.datapoints import Point
    from tsunagu.signals.store import SignalStore
    from tsunagu.v1.objects_pb2 import Object

LOOK_SECONDS: Final = 2.0
_REST: Final = 9.0  # times as long as a look has taken
_LOG = log.get("alarms")


async def mark_unknown(registry: Registry, now: float) -> None:
    """Take back what a former control plane knew. To be called before anybody decides by an alarm's state."""
    found, _ = await registry.list("Alarm")
    if changed := unknown_again(found, now):
        with suppress(StoreFailed):  # a full disk, which whoever writes is told
            await registry.batch([PutObject(alarm, alarm.meta.revision) for alarm in changed])


class AlarmWatch:
    """The alarms of one registry. `informer` follows it and is run by the caller; `store` is fed by somebody else."""

    def __init__(self, registry: Objects, informer: Informer, store: SignalStore, clock: Clock) -> None:
        self._registry = registry
        self._informer = informer
        self._store = store
        self._clock = clock
        self._started = clock.monotonic()

    async def run(self) -> None:
        """Look until it is cancelled."""
        await self._informer.wait_synced()
        while True:
            began = self._clock.monotonic()
            await self.look()
            await self._clock.sleep(max(LOOK_SECONDS, _REST * (self._clock.monotonic() - began)))

    async def look(self) -> None:
        """Evaluate every alarm once."""
        for name in sorted(self._informer.objects("Alarm")):
            try:
                await self._evaluate(name)
            except Conflict:
                _LOG.debug("an alarm has changed meanwhile", alarm=name)
            except StoreFailed as problem:
                _LOG.warning("cannot write an alarm's state", alarm=name, problem=str(problem))
            except Exception:  # noqa: BLE001  # one broken alarm must not end the control plane
                _LOG.exception("cannot evaluate an alarm", alarm=name)

    async def _evaluate(self, name: str) -> None:
        alarm, now = self._informer.get("Alarm", name), self._clock.now()
        if alarm is None:
            return
        spec = alarm.alarm.spec
        found, views = resolved(self._informer, spec), self._store.views(now - alarms.window(spec))
        points: tuple[Point, ...] = ()
        if found.scope is not None:
            points = await asyncio.to_thread(datapoints.points, views, found.scope, spec, now)
        heard = frozenset(view.source.task for view in views)
        known = Known(self._clock.monotonic() - self._started, self._running(found), heard)
        changed = evaluated(alarm, found, points, known, now)
        if changed is not None:
            status = changed.alarm.status
            _LOG.info("alarm", alarm=name, state=status.state_value, reason=status.state_reason)
            await self._registry.put(changed, expected=alarm.meta.revision)

    def _running(self, found: Resolved) -> frozenset[str]:
        """The RUNNING tasks that an alarm is about; of calls that anybody may make: all."""
        service = found.scope.service if found.scope is not None else ""
        tasks = self._informer.objects("Task").values()
        return frozenset(task.meta.name for task in tasks if is_running(task) and _is_of(task, service))


def _is_of(task: Object, service: str) -> bool:
    return not service or (not task.task.spec.gateway and ids.service_of(task) == service)
