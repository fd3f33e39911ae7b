"""The node agent: its node, its tasks, and what it must know of the registry.

Rule: state, not events. Whatever has changed, the whole list of this node's tasks is looked at, and each task that has no
life gets one. The registry may be away, this process may be killed: what runs goes on, and is adopted by the next.
"""

import asyncio
from asyncio import TaskGroup
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from tsunagu.kit.log import get
from tsunagu.v1 import objects_pb2
from tsunagu_node.control import Refused
from tsunagu_node.runtime.contract import RunningTask
from tsunagu_node.task.life import TaskLife
from tsunagu_node.task.lifecycle import Status, Stop
from tsunagu_node.task.report import report
from tsunagu_node.task.services import Services
from tsunagu_node.task.spec import Brief, kept

LEASE_SECONDS: Final = 10
RENEW_SECONDS: Final = 3.0
_REGISTER_RETRY: Final = 0.5
log = get("node.agent")


@dataclass(frozen=True, slots=True)
class Identity:
    """The node as it registers itself. `api`: where its NodeAgent service listens, as gRPC writes it; `pid`: the host's."""

    name: str
    version: str
    api: str
    pid: int
    capacity: int


class NodeAgent:
    """Runs the tasks of the node `identity`."""

    def __init__(self, services: Services, identity: Identity) -> None:
        self._services = services
        self._identity = identity
        self._began = Timestamp()
        self._began.GetCurrentTime()
        self._over_with: set[str] = set()  # tasks that ended, until the registry forgets them
        self.lives: dict[str, TaskLife] = {}

    @property
    def identity(self) -> Identity:
        return self._identity

    async def run(self) -> None:
        """Until cancelled, which leaves every task running."""
        running = await self._services.runtime.start()
        async with TaskGroup() as group:
            for task in running:
                await self._adopt(group, task)
            group.create_task(self._keep_registered(), name="lease")
            group.create_task(self._follow_names(), name="names")
            group.create_task(self._follow_tasks(group), name="tasks")

    def find(self, name: str) -> TaskLife | None:
        """A task by its name, or by the last part of it."""
        return self.lives.get(name) or next((life for life in self.lives.values() if life.brief.id == name), None)

    async def _adopt(self, group: TaskGroup, task: RunningTask) -> None:
        brief = kept(task.directory)
        if brief is None or brief.task.status.last_status in ("", Status.PROVISIONING, Status.STOPPED):
            # Its making was cut short: the registry still wants it, or not, and it is made anew.
            await task.kill()
            await task.remove()
            return
        log.info("task adopted", task=brief.name, status=brief.task.status.last_status)
        self._begin(group, TaskLife(self._services, brief, task))

    def _begin(self, group: TaskGroup, life: TaskLife) -> None:
        self.lives[life.brief.name] = life
        group.create_task(self._live(life), name=f"life of {life.brief.name}")

    async def _live(self, life: TaskLife) -> None:
        try:
            await life.run()
        except Exception:
            # The top of a named task. It goes on and ends this process: the next one adopts what runs.
            log.exception("life of a task ended in an error", task=life.brief.name)
            raise
        self._over_with.add(life.brief.name)
        del self.lives[life.brief.name]

    async def _keep_registered(self) -> None:
        control, lease = self._services.control, f"node/{self._identity.name}"
        while True:
            kept_alive = await self._register(lease)
            while kept_alive:
                await asyncio.sleep(RENEW_SECONDS)
                kept_alive = await control.keep_lease(lease) and await self._is_registered()
            log.warning("no longer registered; registering again", node=self._identity.name)

    async def _is_registered(self) -> bool:
        """A Node may be deleted by hand; its lease lives on."""
        return await self._services.control.get("Node", self._identity.name) is not None

    async def _register(self, lease: str) -> bool:
        try:
            await self._services.control.lease(lease, LEASE_SECONDS)
            await self._services.control.put(self._node(lease))
        except Refused as error:  # the lease ran out in between, as after a suspend of the machine
            log.warning("not registered", node=self._identity.name, reason=str(error))
            await asyncio.sleep(_REGISTER_RETRY)
            return False
        return True

    def _node(self, lease: str) -> objects_pb2.Object:
        runtime = self._services.runtime
        node = objects_pb2.Node(
            runtime=runtime.kind,
            runtime_reason=runtime.reason,
            task_cidr=runtime.task_cidr,
            version=self._identity.version,
            pid=self._identity.pid,
            api=self._identity.api,
            task_capacity=self._identity.capacity,
            started_at=self._began,
        )
        return objects_pb2.Object(meta=objects_pb2.Meta(name=self._identity.name, lease=lease), node=node)

    async def _follow_names(self) -> None:
        async for addresses in self._services.control.follow("VirtualAddress"):
            await self._services.names.learn(addresses)

    async def _follow_tasks(self, group: TaskGroup) -> None:
        async for tasks in self._services.control.follow("Task"):
            mine = {name: obj for name, obj in tasks.items() if obj.task.spec.node == self._identity.name}
            self._over_with &= mine.keys()
            for name, obj in mine.items():
                await self._consider(group, name, obj)
            self._stop_unknown(mine)

    async def _consider(self, group: TaskGroup, name: str, obj: objects_pb2.Object) -> None:
        task = obj.task
        life = self.lives.get(name)
        if life is None and task.status.last_status != Status.STOPPED and name not in self._over_with:
            life = await self._new(group, name, obj)
        if life is not None and task.spec.desired_status == Status.STOPPED:
            code, reason = task.spec.stop_code or "UserInitiated", task.spec.stop_reason or "It was stopped"
            life.stop(Stop(code, reason))

    async def _new(self, group: TaskGroup, name: str, obj: objects_pb2.Object) -> TaskLife | None:
        if obj.task.status.last_status not in ("", Status.PROVISIONING):
            await self._lost(name, obj)
            return None
        if obj.task.spec.desired_status == Status.STOPPED:
            code, reason = obj.task.spec.stop_code or "UserInitiated", obj.task.spec.stop_reason
            await self._over(name, obj, Stop(code, reason))
            return None
        revision = await self._revision(obj.task.spec)
        if revision is None:
            reason = f"there is no ServiceRevision {obj.task.spec.service_revision!r}"
            await self._over(name, obj, Stop("TaskFailedToStart", reason))
            return None
        life = TaskLife(self._services, Brief(name, obj.task, revision))
        self._begin(group, life)
        return life

    async def _revision(self, spec: objects_pb2.TaskSpec) -> objects_pb2.ServiceRevision | None:
        if spec.gateway:
            return objects_pb2.ServiceRevision()
        obj = await self._services.control.get("ServiceRevision", spec.service_revision)
        return obj.service_revision if obj else None

    async def _lost(self, name: str, obj: objects_pb2.Object) -> None:
        """It ran, and it does not run here any more: it died while nobody looked."""
        codes = self._services.runtime.remembered(name.rpartition("/")[2])
        for container in obj.task.status.containers:
            ended = codes.get(container.name)
            container.last_status, container.pid = Status.STOPPED, 0
            container.exit_code = 137 if ended is None or ended.code is None else ended.code
        await self._over(name, obj, Stop("EssentialContainerExited", "It died while its node agent was away"))

    async def _over(self, name: str, obj: objects_pb2.Object, stop: Stop) -> None:
        status = report(obj.task.status, Status.STOPPED, stop, ((), {}), None)
        status.proxy.Clear()
        self._over_with.add(name)
        try:
            await self._services.control.write_status(name, status)
        except Refused as error:
            log.warning("status refused", task=name, reason=str(error))

    def _stop_unknown(self, mine: Mapping[str, objects_pb2.Object]) -> None:
        for name, life in self.lives.items():
            if name not in mine:
                life.stop(Stop("UserInitiated", "Its object is gone", drain=False))


def capacity(memory_bytes: int) -> int:
    """Tasks that fit a machine: an Envoy takes 15 MB, an init 8, a small app some 20."""
    return max(1, memory_bytes // (64 * 1024 * 1024))
