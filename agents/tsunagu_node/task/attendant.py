"""Attends to one task of this node from its start, or its adoption, until the registry knows how it ended.

Rule: whatever fails, and however, is this task's failure: it ends neither the node agent nor another task. A controller that
ends in an error is followed by another, which adopts the task as a new node agent would; when that fails again and again,
the task is taken away and recorded as STOPPED, with the error as the reason.
"""

import asyncio
import time
from collections.abc import Awaitable
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from tsunagu.client.errors import first
from tsunagu.kit.backoff import Backoff
from tsunagu.kit.log import get
from tsunagu.model.statuses import Status, StopCode
from tsunagu.v1 import objects_pb2
from tsunagu_node.control import Refused
from tsunagu_node.runtime.contract import RunningTask
from tsunagu_node.task.controller import TaskController
from tsunagu_node.task.dependencies import Dependencies
from tsunagu_node.task.lifecycle import Stop, merged
from tsunagu_node.task.process_names import process_of
from tsunagu_node.task.spec import TaskSpec, for_runtime, forget, task_id

_TRIES: Final = 3
_SETTLED: Final = 60.0  # seconds after which a controller's error is the first of a row again
_TRY_AGAIN: Final = Backoff(base=0.1, cap=5.0)
_TAKE_AWAY: Final = 10.0
log = get("node.attendant")


class Attendant:
    """Attends to the task `name`. `controller` is None until there is something to control."""

    def __init__(self, dependencies: Dependencies, name: str) -> None:
        self.name = name
        self.controller: TaskController | None = None
        self._dependencies = dependencies
        self._running: RunningTask | None = None
        self._stop: Stop | None = None
        self._egress_mode: str | None = None  # None: as the task was when it was started or saved
        self._status = objects_pb2.TaskStatus()

    def stop(self, stop: Stop) -> None:
        """Stop the task, whatever has become of it by now. Of several reasons the first counts."""
        self._stop = merged(self._stop, stop)
        if self.controller is not None:
            self.controller.stop(stop)

    def log_calls(self, mode: str) -> None:
        """Switch the egress access log, now or as soon as there is something to control."""
        self._egress_mode = mode
        if self.controller is not None:
            self.controller.egress_log.want(mode)

    async def start(self, task: objects_pb2.Task) -> None:
        """Run a task that the registry wants and that does not run here, until it is STOPPED."""
        self._status.CopyFrom(task.status)
        await self._contained(self._start(task))

    async def adopt(self, running: RunningTask, spec: TaskSpec) -> None:
        """Go on with a task that runs, until it is STOPPED."""
        self._status.CopyFrom(spec.task.status)
        self._running = running
        await self._contained(self._control(TaskController(self._dependencies, spec, running)))

    async def _contained(self, work: Awaitable[None]) -> None:
        try:
            await work
        except Exception as error:
            log.exception("task is given up", task=self.name)
            await self._give_up(first(error))

    async def _start(self, task: objects_pb2.Task) -> None:
        if task.status.last_status not in ("", Status.PROVISIONING):
            self._count_the_dead()
            await self._record(why_it_ended(task))
        elif task.spec.desired_status == Status.STOPPED:
            await self._record(Stop(task.spec.stop_code or StopCode.USER, task.spec.stop_reason))
        elif (revision := await self._revision(task.spec)) is None:
            reason = f"there is no ServiceRevision {task.spec.service_revision!r}"
            await self._record(Stop(StopCode.FAILED_TO_START, reason))
        else:
            await self._control(TaskController(self._dependencies, TaskSpec(self.name, task, revision)))

    async def _control(self, controller: TaskController) -> None:
        failures = 0
        while True:
            self.controller, began = controller, time.monotonic()
            if self._stop is not None:
                controller.stop(self._stop)
            if self._egress_mode is not None:
                controller.egress_log.want(self._egress_mode)
            try:
                return await controller.run()
            except Exception:
                failures = 1 if time.monotonic() - began > _SETTLED else failures + 1
                self._status, self._running = controller.reported, controller.running or self._running
                if controller.running is None or failures >= _TRIES:
                    raise
                log.exception("controller of a task ended in an error", task=self.name)
            await asyncio.sleep(_TRY_AGAIN.delay(failures))
            controller = controller.successor()

    async def _revision(self, spec: objects_pb2.TaskSpec) -> objects_pb2.ServiceRevision | None:
        if spec.gateway:
            return objects_pb2.ServiceRevision()
        obj = await self._dependencies.control.get("ServiceRevision", spec.service_revision)
        has_images = self._dependencies.runtime.has_images
        return for_runtime(obj.service_revision, has_images=has_images) if obj else None

    def _count_the_dead(self) -> None:
        """Note how the containers of a task ended that ran here and died while no node agent was there."""
        codes = self._dependencies.runtime.remembered(task_id(self.name))
        for container in self._status.containers:
            ended = codes.get(process_of(container.name))
            container.last_status, container.pid = Status.STOPPED, 0
            container.exit_code = 137 if ended is None or ended.code is None else ended.code

    async def _give_up(self, error: BaseException) -> None:
        if self._running is not None:
            await self._try("kill", self._running.kill())
            await self._try("remove", self._running.remove())
        self._dependencies.outside.end(task_id(self.name))
        forget(self._dependencies.directory(task_id(self.name)))
        for container in self._status.containers:
            if container.last_status != Status.STOPPED:
                container.last_status, container.pid, container.exit_code = Status.STOPPED, 0, 137
        code = StopCode.CONTAINER_EXITED if self._status.HasField("started_at") else StopCode.FAILED_TO_START
        what = str(error) or type(error).__name__
        await self._try("record", self._record(Stop(code, f"The node agent could not go on with it: {what}")))

    async def _try(self, what: str, work: Awaitable[None]) -> None:
        try:
            async with asyncio.timeout(None if what == "record" else _TAKE_AWAY):
                await work
        except Exception:
            log.exception("what is left of a task stays", task=self.name, step=what)

    async def _record(self, stop: Stop) -> None:
        """Write that the task is STOPPED; what made it end counts more than what was found later."""
        status, now = self._status, Timestamp()
        now.GetCurrentTime()
        status.last_status = Status.STOPPED
        status.stop_code, status.stopped_reason = status.stop_code or stop.code, status.stopped_reason or stop.reason
        for field in (status.created_at, status.stopped_at):
            if not field.ByteSize():
                field.CopyFrom(now)
        status.waits_for = ""
        status.ClearField("proxy")
        try:
            await self._dependencies.control.write_status(self.name, status)
        except Refused as error:
            log.warning("status refused", task=self.name, reason=str(error))


def why_it_ended(task: objects_pb2.Task) -> Stop:
    """Return the reason for the end of a task that is not there any more: the one for which it was ending, if it was."""
    if task.status.stop_code:
        return Stop(task.status.stop_code, task.status.stopped_reason)
    if task.spec.desired_status == Status.STOPPED:
        return Stop(task.spec.stop_code or StopCode.USER, task.spec.stop_reason)
    return Stop(StopCode.CONTAINER_EXITED, "It died while its node agent was away")
