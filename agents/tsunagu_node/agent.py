"""The node agent: registers its node, and runs a controller for each of the node's tasks.

Rule: state, not events. After any change the agent goes through all tasks of its node and starts a controller for each that
has none. While the registry is away, or after this process is killed, tasks run on; the next node agent adopts them.
"""

from asyncio import TaskGroup
from collections.abc import Mapping
from typing import Final

from tsunagu.kit.log import get
from tsunagu.model.statuses import Status, StopCode
from tsunagu.registry.indexes import Index
from tsunagu.registry.informer import Informer
from tsunagu.v1 import objects_pb2
from tsunagu_node.control import Refused
from tsunagu_node.registration import Identity, Registration
from tsunagu_node.runtime.contract import RunningTask
from tsunagu_node.task.controller import TaskController
from tsunagu_node.task.dependencies import Dependencies
from tsunagu_node.task.lifecycle import Stop
from tsunagu_node.task.report import report
from tsunagu_node.task.spec import TaskSpec, load, task_id

_BY_NODE: Final = Index("tasks of a node", "Task", lambda obj: (obj.task.spec.node,))
log = get("node.agent")


class NodeAgent:
    """Runs the tasks of the node `identity`."""

    def __init__(self, dependencies: Dependencies, identity: Identity) -> None:
        self._dependencies = dependencies
        self._identity = identity
        self._registration = Registration(dependencies.control, dependencies.runtime, identity)
        self._finished: set[str] = set()  # names of tasks that have ended here and are still in the registry
        self.controllers: dict[str, TaskController] = {}

    @property
    def identity(self) -> Identity:
        return self._identity

    async def run(self) -> None:
        """Run until cancelled; every task then runs on."""
        async with TaskGroup() as group:
            group.create_task(self._registration.keep(), name="registration")
            for task in await self._dependencies.runtime.start():
                await self._adopt(group, task)
            self._registration.ready()
            addresses, tasks = self._informers()
            group.create_task(addresses.run(), name="informer of addresses")
            group.create_task(tasks.run(), name="informer of tasks")
            group.create_task(self._follow_names(addresses), name="names")
            group.create_task(self._follow_tasks(group, tasks), name="tasks")

    def find(self, name: str) -> TaskController | None:
        """Return the controller of the task with this name, or with this as the last part of its name."""
        return self.controllers.get(name) or next(
            (controller for controller in self.controllers.values() if controller.spec.id == name), None
        )

    async def _adopt(self, group: TaskGroup, task: RunningTask) -> None:
        spec = load(self._dependencies.directory(task.id))
        if spec is None or spec.task.status.last_status in ("", Status.PROVISIONING, Status.STOPPED):
            # The agent that was creating it died. If the registry still wants the task, it is created again.
            await task.kill()
            await task.remove()
            return
        log.info("task adopted", task=spec.name, status=spec.task.status.last_status)
        self._begin(group, TaskController(self._dependencies, spec, task))

    def _begin(self, group: TaskGroup, controller: TaskController) -> None:
        self.controllers[controller.spec.name] = controller
        group.create_task(self._control(controller), name=f"controller of {controller.spec.name}")

    async def _control(self, controller: TaskController) -> None:
        try:
            await controller.run()
        except Exception:
            # The top of a named task. The error ends this process, and the next one adopts what runs.
            log.exception("controller of a task ended in an error", task=controller.spec.name)
            raise
        self._finished.add(controller.spec.name)
        del self.controllers[controller.spec.name]

    def _informers(self) -> tuple[Informer, Informer]:
        addresses, tasks = map(self._dependencies.control.informer, ("VirtualAddress", "Task"))
        tasks.add_index(_BY_NODE)
        return addresses, tasks

    async def _follow_names(self, addresses: Informer) -> None:
        async for _ in addresses.follow():
            await self._dependencies.names.learn(dict(addresses.objects("VirtualAddress")))

    async def _follow_tasks(self, group: TaskGroup, tasks: Informer) -> None:
        async for _ in tasks.follow():
            mine = dict(tasks.by_index(_BY_NODE.name, self._identity.name))
            self._finished &= mine.keys()
            for name, obj in mine.items():
                await self._reconcile(group, name, obj)
            self._stop_deleted(mine)

    async def _reconcile(self, group: TaskGroup, name: str, obj: objects_pb2.Object) -> None:
        task = obj.task
        controller = self.controllers.get(name)
        if controller is None and task.status.last_status != Status.STOPPED and name not in self._finished:
            controller = await self._start(group, name, obj)
        if controller is not None and task.spec.desired_status == Status.STOPPED:
            code, reason = task.spec.stop_code or StopCode.USER, task.spec.stop_reason or "It was stopped"
            controller.stop(Stop(code, reason))

    async def _start(self, group: TaskGroup, name: str, shared: objects_pb2.Object) -> TaskController | None:
        obj = objects_pb2.Object()
        obj.CopyFrom(shared)  # the informer's objects are shared and must not be changed
        if obj.task.status.last_status not in ("", Status.PROVISIONING):
            await self._mark_lost(name, obj)
            return None
        if obj.task.spec.desired_status == Status.STOPPED:
            code, reason = obj.task.spec.stop_code or StopCode.USER, obj.task.spec.stop_reason
            await self._record_stopped(name, obj, Stop(code, reason))
            return None
        revision = await self._revision(obj.task.spec)
        if revision is None:
            reason = f"there is no ServiceRevision {obj.task.spec.service_revision!r}"
            await self._record_stopped(name, obj, Stop(StopCode.FAILED_TO_START, reason))
            return None
        controller = TaskController(self._dependencies, TaskSpec(name, obj.task, revision))
        self._begin(group, controller)
        return controller

    async def _revision(self, spec: objects_pb2.TaskSpec) -> objects_pb2.ServiceRevision | None:
        if spec.gateway:
            return objects_pb2.ServiceRevision()
        obj = await self._dependencies.control.get("ServiceRevision", spec.service_revision)
        return obj.service_revision if obj else None

    async def _mark_lost(self, name: str, obj: objects_pb2.Object) -> None:
        """Record a task as stopped that ran here and does not any more: it died while no node agent was there."""
        codes = self._dependencies.runtime.remembered(task_id(name))
        for container in obj.task.status.containers:
            ended = codes.get(container.name)
            container.last_status, container.pid = Status.STOPPED, 0
            container.exit_code = 137 if ended is None or ended.code is None else ended.code
        await self._record_stopped(name, obj, _why_it_ended(obj.task))

    async def _record_stopped(self, name: str, obj: objects_pb2.Object, stop: Stop) -> None:
        status = report(obj.task.status, Status.STOPPED, stop, ((), {}), None)
        status.proxy.Clear()
        self._finished.add(name)
        try:
            await self._dependencies.control.write_status(name, status)
        except Refused as error:
            log.warning("status refused", task=name, reason=str(error))

    def _stop_deleted(self, mine: Mapping[str, objects_pb2.Object]) -> None:
        for name, controller in self.controllers.items():
            if name not in mine:
                controller.stop(Stop(StopCode.USER, "Its object is gone", drain=False))


def _why_it_ended(task: objects_pb2.Task) -> Stop:
    """Return the reason for the end of a task that is not there any more: the one for which it was ending, if it was."""
    if task.status.stop_code:
        return Stop(task.status.stop_code, task.status.stopped_reason)
    if task.spec.desired_status == Status.STOPPED:
        return Stop(task.spec.stop_code or StopCode.USER, task.spec.stop_reason)
    return Stop(StopCode.CONTAINER_EXITED, "It died while its node agent was away")


def capacity(memory_bytes: int) -> int:
    """Return how many tasks fit into the memory: an Envoy takes 15 MB, an init 8, a small app some 20."""
    return max(1, memory_bytes // (64 * 1024 * 1024))
