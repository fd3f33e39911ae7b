"""The node agent: registers its node, and attends to each of the node's tasks.

Rule: state, not events. After any change the agent goes through all tasks of its node and starts an attendant for each that
has none. While the registry is away, or after this process is killed, tasks run on; the next node agent adopts them.
"""

import asyncio
from asyncio import TaskGroup
from collections.abc import Awaitable, Coroutine, Mapping
from functools import partial
from typing import Any, Final

from tsunagu.kit.log import get
from tsunagu.model.statuses import Status, StopCode
from tsunagu.registry.indexes import Index
from tsunagu.registry.informer import Informer
from tsunagu.v1 import objects_pb2
from tsunagu_node.dns.discovered import KINDS
from tsunagu_node.dns.machine_dns import MachineDns
from tsunagu_node.outside.registered_places import Places
from tsunagu_node.registration import Identity, Registration
from tsunagu_node.runtime.contract import RunningTask
from tsunagu_node.task.attendant import Attendant
from tsunagu_node.task.controller import TaskController
from tsunagu_node.task.dependencies import Dependencies
from tsunagu_node.task.lifecycle import Stop
from tsunagu_node.task.output import log_streams
from tsunagu_node.task.spec import load, task_id

_BY_NODE: Final = Index("tasks of a node", "Task", lambda obj: (obj.task.spec.node,))
_TAKE_AWAY: Final = 10.0
log = get("node.agent")


class NodeAgent:
    """Runs the tasks of the node `identity`."""

    def __init__(self, dependencies: Dependencies, identity: Identity, machine_dns: MachineDns) -> None:
        self._dependencies = dependencies
        self._machine_dns = machine_dns
        self._identity = identity
        self._registration = Registration(dependencies.control, dependencies.runtime, identity, dependencies.hosts)
        self._finished: set[str] = set()  # names of tasks that have ended here and are still in the registry
        self._attendants: dict[str, Attendant] = {}
        self._recorded: frozenset[str] = (
            frozenset()
        )  # IDs of the tasks of this node that the registry has, ended or not
        self._fewer = asyncio.Event()  # the registry has given up records, or they are known for the first time

    @property
    def identity(self) -> Identity:
        return self._identity

    async def run(self) -> None:
        """Run until cancelled; every task then runs on."""
        async with TaskGroup() as group:
            group.create_task(self._registration.keep(), name="registration")
            group.create_task(self._dependencies.collector.run(), name="signals")
            group.create_task(self._dependencies.relay_collector.run(), name="signals of the relay")
            for task in await self._dependencies.runtime.start():
                await self._adopt(group, task)
            self._registration.ready()
            addresses, tasks = self._informers()
            discovered = {kind: self._informer(kind) for kind in KINDS}
            externals, bundles = self._informer("External"), self._informer("TrustBundle")
            for informer in (addresses, tasks, externals, bundles, *discovered.values()):
                group.create_task(informer.run(), name="informer")
            names = self._dependencies.name_servers.discovered.follow({**discovered, "Task": tasks})
            group.create_task(names, name="discovered names")
            group.create_task(self._machine_dns.run(), name="name server of the machine")
            group.create_task(self._follow_names(addresses), name="names")
            group.create_task(self._dependencies.trust.follow(bundles), name="trust")
            group.create_task(self._dependencies.hosts.run(), name="identities of the machine")
            group.create_task(self._follow_modes(discovered["Namespace"]), name="modes of namespaces")
            group.create_task(self._follow_tasks(group, tasks), name="tasks")
            group.create_task(self._forget(), name="directories of ended tasks")
            self._lead_outside(group, discovered["Namespace"], discovered["CloudMapInstance"], externals)

    def _lead_outside(self, group: TaskGroup, namespaces: Informer, instances: Informer, externals: Informer) -> None:
        """Let tasks reach what they may of the world outside."""
        group.create_task(self._dependencies.runtime.way_out.run(), name="way out")
        group.create_task(self._dependencies.outside.run(namespaces, externals), name="egress policies")
        places = Places(instances, externals)
        for informer in places.informers:
            group.create_task(places.follow(informer), name="places outside")
        group.create_task(self._tell(places), name="egress")

    async def _tell(self, places: Places) -> None:
        async for found in places:
            await self._dependencies.runtime.way_out.places(found)

    @property
    def controllers(self) -> Mapping[str, TaskController]:
        """The controllers of the tasks that run here, by the name of the task."""
        attendants = self._attendants.items()
        return {name: attendant.controller for name, attendant in attendants if attendant.controller is not None}

    def find(self, name: str) -> TaskController | None:
        """Return the controller of the task with this name, or with this as the last part of its name."""
        controllers = self.controllers
        return controllers.get(name) or next(
            (controller for controller in controllers.values() if controller.spec.id == name), None
        )

    def attends(self, name: str) -> bool:
        """Return whether the task with this name, or with this as the last part of its name, has not ended here."""
        return any(name in (known, known.rpartition("/")[2]) for known in self._attendants)

    async def _adopt(self, group: TaskGroup, task: RunningTask) -> None:
        try:
            spec = load(self._dependencies.directory(task.id))
            if spec is None or spec.task.status.last_status in ("", Status.PROVISIONING, Status.STOPPED):
                # The agent that was creating it died. If the registry still wants the task, it is created again.
                async with asyncio.timeout(_TAKE_AWAY):
                    await task.kill()
                    await task.remove()
                return
        except Exception:
            log.exception("task cannot be adopted", task=task.id)
            return
        log.info("task adopted", task=spec.name, status=spec.task.status.last_status)
        self._dependencies.adopt(spec)
        attendant = Attendant(self._dependencies, spec.name)
        self._begin(group, attendant, attendant.adopt(task, spec))

    def _begin(self, group: TaskGroup, attendant: Attendant, work: Coroutine[Any, Any, None]) -> None:
        self._attendants[attendant.name] = attendant
        group.create_task(self._attend(attendant.name, work), name=f"attendant of {attendant.name}")

    async def _attend(self, name: str, work: Awaitable[None]) -> None:
        await work
        await self._dependencies.collector.end(name)
        await self._dependencies.relay_collector.end(name)
        self._finished.add(name)
        del self._attendants[name]

    def _informers(self) -> tuple[Informer, Informer]:
        addresses, tasks = map(self._informer, ("VirtualAddress", "Task"))
        tasks.add_index(_BY_NODE)
        return addresses, tasks

    def _informer(self, kind: str) -> Informer:
        return self._dependencies.control.informer(kind, partial(self._unread, kind))

    def _unread(self, kind: str, refusal: str) -> None:
        """Log, and show in the Node, that objects cannot be read, or can be again."""
        if refusal:
            log.error("watch fails", kind=kind, reason=refusal)
        else:
            log.info("watch works again", kind=kind)
        self._registration.tell(kind, f"its watch of {kind} objects fails: {refusal}" if refusal else "")

    async def _follow_names(self, addresses: Informer) -> None:
        async for _ in addresses.follow():
            await self._dependencies.names.learn(dict(addresses.objects("VirtualAddress")))

    async def _follow_modes(self, namespaces: Informer) -> None:
        async for _ in namespaces.follow():
            await self._dependencies.modes.learn(dict(namespaces.objects("Namespace")))

    async def _follow_tasks(self, group: TaskGroup, tasks: Informer) -> None:
        async for _ in tasks.follow():
            mine = dict(tasks.by_index(_BY_NODE.name, self._identity.name))
            self._finished &= mine.keys()
            for name, obj in mine.items():
                self._reconcile(group, name, obj.task)
            self._stop_deleted(mine)
            self._note_records(frozenset(map(task_id, mine)))

    def _note_records(self, recorded: frozenset[str]) -> None:
        if not self._recorded or self._recorded - recorded:
            self._fewer.set()
        self._recorded = recorded

    async def _forget(self) -> None:
        """Keep what a task leaves (its logs, above all) as long as the registry keeps its record."""
        while True:
            await self._fewer.wait()
            self._fewer.clear()
            running = map(task_id, self._attendants)
            await self._dependencies.runtime.forget({*self._recorded, *running})
            await asyncio.to_thread(log_streams.sweep, self._dependencies.folders.mesh)

    def _reconcile(self, group: TaskGroup, name: str, task: objects_pb2.Task) -> None:
        attendant = self._attendants.get(name)
        if attendant is None and task.status.last_status != Status.STOPPED and name not in self._finished:
            attendant = Attendant(self._dependencies, name)
            wanted = objects_pb2.Task()
            wanted.CopyFrom(task)  # the informer's objects are shared and must not be changed
            self._begin(group, attendant, attendant.start(wanted))
        if attendant is not None:
            attendant.log_calls(task.spec.egress_log)
        if attendant is not None and task.spec.desired_status == Status.STOPPED:
            code, reason = task.spec.stop_code or StopCode.USER, task.spec.stop_reason or "It was stopped"
            attendant.stop(Stop(code, reason))

    def _stop_deleted(self, mine: Mapping[str, objects_pb2.Object]) -> None:
        for name, attendant in self._attendants.items():
            if name not in mine:
                attendant.stop(Stop(StopCode.USER, "Its object is gone", drain=False))


def capacity(memory_bytes: int) -> int:
    """Return how many tasks fit into the memory: an Envoy takes 15 MB, an init 8, a small app some 20."""
    return max(1, memory_bytes // (64 * 1024 * 1024))
