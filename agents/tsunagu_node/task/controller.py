"""The controller of one task, from PROVISIONING to STOPPED: does the work of each status and watches the task meanwhile.

Rule: `lifecycle.TABLE` decides when a status ends. Entering a status starts its job, and a job only updates conditions; so
an adopted task continues from the status that it had.
"""

import asyncio
import time
from asyncio import Task as Job
from asyncio import TaskGroup
from collections.abc import Coroutine
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from tsunagu.kit.log import get
from tsunagu.model.statuses import HealthStatus, Status, StopCode
from tsunagu.v1 import objects_pb2
from tsunagu_node.dns.task_discovery import TaskDiscovery
from tsunagu_node.runtime.contract import RELAY, RunningTask, RuntimeFailed, TaskGone
from tsunagu_node.task import containers, drain, grpc_clients, lifecycle
from tsunagu_node.task.calls.egress_log import EgressLog
from tsunagu_node.task.calls.tls import TaskTls
from tsunagu_node.task.container_group import ContainerGroup, Hooks
from tsunagu_node.task.containers import Container, State
from tsunagu_node.task.dependencies import Dependencies
from tsunagu_node.task.envoy import NAME as ENVOY
from tsunagu_node.task.envoy import Proxy
from tsunagu_node.task.gateway import Gateway
from tsunagu_node.task.lifecycle import Conditions, Stop
from tsunagu_node.task.metadata import endpoint
from tsunagu_node.task.metadata.facts import Facts
from tsunagu_node.task.names import TaskNames
from tsunagu_node.task.process_names import process_of
from tsunagu_node.task.report import report, stop_of
from tsunagu_node.task.spec import TaskSpec, forget
from tsunagu_node.task.status_writer import StatusWriter

_LOOKS: Final = {Status.PROVISIONING: 1.0, Status.PENDING: 0.05, Status.ACTIVATING: 0.05}
"""Seconds after which a task is looked at though nobody told of a change."""
_PATIENCE: Final = 2.0  # seconds in ACTIVATING before `waits_for` is set
_NAMES_WAIT: Final = 5.0
_CRASH_WAIT: Final = 5.0
_CALLS: Final = "the calls that it still answers"
_PROXIED: Final = frozenset({Status.ACTIVATING, Status.RUNNING, Status.DEACTIVATING, Status.STOPPING})
log = get("node.controller")


class TaskController:
    """Controls one task. `running`: the task, if it is adopted; `spec` then holds its last status.

    `running` and `container_group` are None until the task is created, `proxy` as long as it has none, `names` before that starts.
    """

    def __init__(self, dependencies: Dependencies, spec: TaskSpec, running: RunningTask | None = None) -> None:
        self.spec = spec
        self.status = Status(spec.task.status.last_status) if running else Status.PROVISIONING
        self.running = running
        self.container_group: ContainerGroup | None = None
        self.proxy: Proxy | None = None
        self.names: TaskNames | None = None
        self.egress_log = EgressLog(spec.task.spec.egress_log, adopted=running is not None)
        self._dependencies = dependencies
        self._reported = objects_pb2.TaskStatus()
        self._reported.CopyFrom(spec.task.status)
        self._entered = 0.0
        self._writer = StatusWriter(dependencies.control, spec.name, dependencies.directory(spec.id))
        self._conditions = Conditions(stop=stop_of(spec.task.status) if running else None)
        self._silent: frozenset[int] = frozenset()  # service ports at which nothing listened when it was last looked
        self._ready = asyncio.Event()  # containers may start: the proxy is live and knows the names, or there is none
        if not spec.has_proxy:
            self._ready.set()
        self._changed = asyncio.Event()
        self._gateway = Gateway(self._changed.set)
        self.identity = dependencies.identity(spec, self._changed.set)
        self._tls = TaskTls(spec, dependencies.modes, dependencies.control, self._report)
        self.discovery = TaskDiscovery(dependencies, spec, self._changed.set, self._tls.led)
        self._draining = ""  # what the draining waits for
        self._jobs: list[Job[None]] = []
        self._provisioning: Job[None] | None = None
        self._proxy_job: Job[None] | None = None

    def stop(self, stop: Stop) -> None:
        """Begin to stop the task. Later calls keep the first reason, but may end the draining."""
        counts = lifecycle.merged(self._conditions.stop, stop)
        if counts != self._conditions.stop:
            self._update(replace(self._conditions, stop=counts))

    @property
    def reported(self) -> objects_pb2.TaskStatus:
        """The last status, written or not."""
        return self._reported

    def successor(self) -> "TaskController":
        """Return a controller that adopts the task when this one has ended in an error."""
        task = objects_pb2.Task(spec=self.spec.task.spec, status=self._reported)
        return TaskController(self._dependencies, replace(self.spec, task=task), self.running)

    async def run(self) -> None:
        """Run until the task is STOPPED and the registry knows it. Cancelled, leave the task as it is."""
        async with TaskGroup() as group:
            self._group = group
            self._job(self._writer.run(), "status")
            if self.running is not None:
                await self._attend(self.running)
            await self._advance()
            await self._writer.written()
            for job in self._jobs:
                job.cancel()

    async def _advance(self) -> None:
        self._enter(self.status)
        while self.status is not Status.STOPPED:
            self._changed.clear()
            await self._observe()
            following = lifecycle.after(self.status, self._conditions)
            if following is not self.status:
                self._enter(following)
                continue
            self._report()
            await self._wait()

    def _enter(self, status: Status) -> None:
        stop = self._conditions.stop and self._conditions.stop.reason
        log.info("task", task=self.spec.name, status=status.value, stop=stop)
        self.status = status
        self._entered = time.monotonic()
        self._report()
        jobs = {
            Status.PROVISIONING: self._provision,
            Status.PENDING: self._start_proxy,
            Status.DEACTIVATING: self._drain,
            Status.STOPPING: self._stop_processes,
            Status.DEPROVISIONING: self._remove,
        }
        if work := jobs.get(status):
            job = self._job(work(), status.value)
            self._provisioning = job if status is Status.PROVISIONING else self._provisioning

    async def _observe(self) -> None:
        """Start containers that may start, and update the conditions."""
        container_group = self.container_group
        if container_group is None:
            return
        if self._ready.is_set() and not lifecycle.earlier(Status.RUNNING, self.status):
            container_group.advance()
        states = container_group.states
        now = time.monotonic()
        if container_group.failure:
            self.stop(Stop(StopCode.FAILED_TO_START, container_group.failure, drain=False))
        elif name := containers.ended(container_group.plans, states):
            more = f" ({states[name].reason})" if states[name].reason else ""
            reason = f"Essential container in task exited: {name}, with code {states[name].exit_code}{more}"
            self.stop(Stop(StopCode.CONTAINER_EXITED, reason, drain=False))
        elif why := containers.hopeless(container_group.plans, states, now):
            self.stop(Stop(StopCode.FAILED_TO_START, why, drain=False))
        begun = all(state.status != Status.PENDING for state in states.values())
        started = self._ready.is_set() and begun and container_group.settled
        self._conditions = replace(
            self._conditions, started=started, admitted=await self._admitted(container_group, now)
        )

    async def _admitted(self, container_group: ContainerGroup, now: float) -> bool:
        if self.status is not Status.ACTIVATING or self.running is None:
            return False
        if self.spec.gateway:
            return self._gateway.open
        self._silent = self.spec.app_ports - {one.port for one in await self.running.listening()}
        if self._silent or self._tls.unadmitted:
            return False
        health = containers.health(container_group.plans, container_group.states)
        return health == HealthStatus.HEALTHY or (
            health == HealthStatus.UNKNOWN
            and now >= containers.unknown_until(container_group.plans, container_group.states)
        )

    def _waits_for(self) -> str:
        """Return what keeps a task for long from being RUNNING (most often an app that does not listen), or from stopping."""
        if self.proxy is not None and self.proxy.trouble:
            return f"its Envoy does not start: {self.proxy.trouble}"
        if time.monotonic() < self._entered + _PATIENCE:
            return ""
        if self.status is Status.DEACTIVATING:
            return self._draining
        if self.status is Status.PROVISIONING:
            return self._dependencies.runtime.preparing(self.spec.id)
        if self.status is not Status.ACTIVATING or self.running is None or self.spec.gateway:
            return ""
        if self._silent:
            return f"nothing in it listens at port {', '.join(map(str, sorted(self._silent)))}"
        group = self.container_group
        failing = containers.failing_check(group.plans, group.states) if group else ""
        return self._tls.unadmitted or failing or f"its health check says {self._reported.health_status}"

    def _report(self) -> None:
        states = self.container_group.states if self.container_group else {}
        plans = self.container_group.plans if self.container_group else ()
        proxy = self.proxy.status() if self.proxy else None
        last = self._dependencies.last_line(self.spec.id)
        self._reported = report(self._reported, self.status, self._conditions.stop, (plans, states), proxy, last)
        if self.running is not None:
            self._reported.ip = self.running.ip
        for part in (self.discovery, self.identity, self._tls):
            part.report(self._reported)
        self._reported.waits_for = self._waits_for()
        self._writer.set(self._reported)

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(_LOOKS.get(self.status)):
                await self._changed.wait()
        except TimeoutError:
            return

    async def _provision(self) -> None:
        try:
            for plan in self._plans():
                self._dependencies.runtime.validate(plan.name, plan.image)
            self.spec.save(self._directory)
            self._dependencies.link_proxy_log(self.spec)
            self.running = await self._dependencies.create(self.spec)
            if self.spec.links:  # a task with a proxy has none; its names are the namespace's
                await self.running.set_hosts(self.spec.links)
            grpc_clients.write(self.spec, self.running, self._dependencies.key, self._dependencies.runtime.xds_socket)
            await self._attend(self.running)
        except (RuntimeFailed, OSError) as error:  # a full disk is this task's failure, not its agent's
            self._failed(str(error))
            return
        self._update(replace(self._conditions, network=True))

    async def _attend(self, running: RunningTask) -> None:
        """Begin to handle the events of the task, created or adopted, and to control its containers and its proxy."""
        if not self.spec.gateway:
            metadata = endpoint.Endpoint(running, partial(self._facts, running))
            self._job(metadata.run(), "metadata")
            if self.status is Status.PROVISIONING:
                await metadata.listening()
        for work, what in self.discovery.jobs(running):
            self._job(work, what)
        hooks = Hooks(partial(self._environment, running), self._changed.set)
        self.container_group = ContainerGroup(running, self._plans(), self._group, hooks)
        known = {
            one.name: State(one.last_status, health=one.health_status, pid=one.pid, restarts=one.restarts)
            for one in self._reported.containers
        }
        self.container_group.adopt(known)
        self._conditions = replace(self._conditions, network=True)
        if self.spec.has_proxy:
            sidecar = self._dependencies.sidecar(self.spec, running)
            self.proxy = Proxy(running, sidecar, self._changed.set, self.egress_log.values)
            self._dependencies.observe(self.spec, running, self.proxy)
            self.identity.place(running)
            self._job(self.identity.run(running), "identity")
        self._job(self._listen(running, self.container_group), "events")
        if self.status in _PROXIED:  # adopted
            self._ready.set()
            self._supervise(running)

    def _supervise(self, running: RunningTask) -> None:
        """Start the jobs that a task with a proxy has from PENDING on: proxy, names, published ports."""
        if self.proxy is None:
            return
        self._proxy_job = self._job(self.proxy.run(self._reported.proxy.restarts), "proxy")
        self.names = names = TaskNames(running, self.spec, self._dependencies.names, self.proxy.admin)
        self._job(names.run(), "names")
        self._job(self.egress_log.run(self.proxy.admin), "egress log")
        self._job(self._tls.run(self.proxy.admin, self._writer, lambda: self._reported), "tls")
        if not self._ready.is_set():
            self._job(self._learn_names(names, self.proxy), "first names")
        if self.spec.gateway:
            self._job(self._publish(running), "relay")

    async def _start_proxy(self) -> None:
        # The convergence barrier counts this proxy from PENDING on, so the registry has to know of it before it starts.
        await self._writer.written()
        if self.running is not None and self._conditions.stop is None:
            self._supervise(self.running)
        self._changed.set()

    async def _learn_names(self, names: TaskNames, proxy: Proxy) -> None:
        """Let containers start once the proxy is live and has a listener for every known name, or after _NAMES_WAIT seconds."""
        await proxy.ready.wait()
        try:
            async with asyncio.timeout(_NAMES_WAIT):
                await names.complete.wait()
        except TimeoutError:
            log.warning("containers start before all names are known", task=self.spec.name)
        self._ready.set()
        self._changed.set()

    async def _publish(self, running: RunningTask) -> None:
        try:
            await self._gateway.run(running, self._ready)
        except (RuntimeFailed, OSError) as error:
            self._failed(str(error))

    async def _listen(self, running: RunningTask, container_group: ContainerGroup) -> None:
        async for event in running.events():
            if isinstance(event, TaskGone):
                self._task_gone(container_group)
            elif event.name == ENVOY and self.proxy:
                self.proxy.exited(event.code)
            elif event.name == RELAY and self.spec.gateway:
                self._gateway.exited(event.code)
            else:
                container_group.exited(event)
            self._changed.set()

    def _task_gone(self, container_group: ContainerGroup) -> None:
        self.stop(lifecycle.TASK_GONE)
        container_group.all_gone()
        if self.proxy:
            self.proxy.stop()
            self.proxy.exited(137)

    async def _drain(self) -> None:
        timeout = self.spec.drain_timeout
        try:
            async with asyncio.timeout(timeout):
                if self.spec.revision.connect:
                    await drain.acknowledged_by_all(
                        self._dependencies.control, self._writer, self.spec.namespace, timeout, self._drains
                    )
                await self.discovery.answers_expired(timeout, self._drains)
                self._drains(_CALLS)
                if self.proxy is not None:
                    await drain.idle(self.proxy.admin, self._tls.ingress)
                if self.spec.gateway and self.running is not None and self.proxy is not None:
                    await self._gateway.drain(self.running)
                    await drain.calls_ended(self.proxy.admin)
        except TimeoutError:
            log.warning("stopped while it may still be called", task=self.spec.name, after=timeout)
        self._update(replace(self._conditions, drained=True))

    def _drains(self, waits_for: str) -> None:
        self._draining = waits_for
        self._changed.set()

    async def _stop_processes(self) -> None:
        if self.container_group is not None:
            await self.container_group.stop()
        if self.proxy is not None and self._proxy_job is not None:
            await self._dependencies.collector.end(self.spec.name)
            self.proxy.stop()
            await asyncio.wait([self._proxy_job])
        self._update(replace(self._conditions, ended=True))

    async def _remove(self) -> None:
        if self._provisioning is not None:  # a task that is only half created cannot be removed
            await asyncio.wait([self._provisioning])
        if self.running is not None:
            await self.running.kill()
            await self._dependencies.relay_collector.end(self.spec.name)
            if not self._conditions.drained and self.spec.revision.connect and self._reported.HasField("started_at"):
                # Callers that do not know of it yet get resets, and no timeouts.
                await drain.acknowledged_by_all(
                    self._dependencies.control, self._writer, self.spec.namespace, _CRASH_WAIT
                )
            await self.running.remove()
        self._dependencies.outside.end(self.spec.id)
        forget(self._directory)
        self._update(replace(self._conditions, removed=True))

    async def _environment(self, running: RunningTask, container: Container) -> dict[str, str]:
        secrets = [(name, await self._dependencies.secret(value_from)) for name, value_from in container.secrets]
        given = {
            **self._dependencies.started_with(self.spec.id),
            **grpc_clients.environment(self.spec, running),
            **endpoint.environment(self.spec, container.name),
        }
        return {**given, **dict(container.environment), **dict(secrets)}

    def _facts(self, running: RunningTask) -> Facts:
        states = self.container_group.states if self.container_group else {}
        stopping = self._conditions.stop is not None
        cidr = self._dependencies.runtime.task_cidr
        processes = running.processes()
        known = {name: processes[process_of(name)] for name in states if process_of(name) in processes}
        return Facts(self.spec, self._reported, stopping, cidr, states, known)

    @property
    def _directory(self) -> Path:
        return self._dependencies.directory(self.spec.id)

    def _plans(self) -> tuple[Container, ...]:
        return containers.plans(self.spec.revision.task_definition)

    def _failed(self, reason: str) -> None:
        self.stop(Stop(StopCode.FAILED_TO_START, reason, drain=False))

    def _update(self, conditions: Conditions) -> None:
        self._conditions = conditions
        self._changed.set()

    def _job(self, work: Coroutine[Any, Any, None], what: str) -> Job[None]:
        job = self._group.create_task(work, name=f"{self.spec.id} {what}")
        self._jobs.append(job)
        return job
