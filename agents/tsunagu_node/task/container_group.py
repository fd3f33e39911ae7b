"""The containers of one running task: started in order, watched, started again where their policy says so, stopped.

Rule: `states` is all that is known, and every decision is a rule of `containers`; this only does what they say. Events of
the task come in through `exited`.
"""

import asyncio
import itertools
import signal
import time
from asyncio import Future, TaskGroup
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from tsunagu.kit.log import get
from tsunagu.model.statuses import Status
from tsunagu_node.runtime.contract import Exec, Process, ProcessExited, ProcessState, RunningTask, RuntimeFailed
from tsunagu_node.task import containers, health
from tsunagu_node.task.containers import Container, State

log = get("node.containers")


@dataclass(frozen=True, slots=True)
class Hooks:
    """What the container group asks of its task's life: an environment for a container (may wait), and to be told of changes."""

    environment: Callable[[Container], Awaitable[Mapping[str, str]]]
    changed: Callable[[], None]


class ContainerGroup:
    """The containers `plans` in `task`; what runs for them runs in `group`."""

    def __init__(self, task: RunningTask, plans: Sequence[Container], group: TaskGroup, hooks: Hooks) -> None:
        self._task = task
        self._plans = {plan.name: plan for plan in plans}
        self._group = group
        self._hooks = hooks
        self._environments: dict[str, Mapping[str, str]] = {}  # of the present start of each container
        self._commands: dict[str, Future[int]] = {}
        self._numbers = itertools.count(1)
        self._stopping = False
        self._starting: set[str] = set()  # from the decision until its pid is known
        self._launching: set[str] = set()  # of those, the ones whose process is being made
        self._news = asyncio.Condition()
        self.states: dict[str, State] = {plan.name: State() for plan in plans}
        self.failure = ""  # why an essential container could not be started

    @property
    def plans(self) -> Sequence[Container]:
        return tuple(self._plans.values())

    @property
    def settled(self) -> bool:
        """Whether nothing is being started at this moment: each one's pid is known, or why there is none."""
        return not self._starting

    def adopt(self, known: Mapping[str, State]) -> None:
        """Takes over what already runs or has ended; `known` is what a former agent thought of them."""
        now, wall = time.monotonic(), time.time()
        for name, process in self._task.processes().items():
            if name in self._plans:
                self.states[name] = adopted(process, known.get(name, State()), now - (wall - process.started))
                if process.code is None:
                    self._watch(self._plans[name])
                elif known.get(name, State()).status == Status.RUNNING:  # it ended while nobody looked
                    lived = (process.ended or process.started) - process.started
                    self._apply_policy(name, self.states[name].since + lived)

    def advance(self) -> None:
        """Starts what may start now."""
        if self._stopping:
            return
        for plan in containers.startable(self.plans, self.states):
            before = self.states[plan.name]
            self.states[plan.name] = replace(before, status=Status.RUNNING, since=time.monotonic())
            self._starting.add(plan.name)
            self._group.create_task(self._start(plan), name=f"start {self._task.id}/{plan.name}")

    def exited(self, event: ProcessExited) -> None:
        """A process of the task ended: a container's, or a command's."""
        if (command := self._commands.get(event.name)) and not command.done():
            command.set_result(event.code)
        if event.name in self._plans:
            self._container_ended(event.name, event.code)

    def all_gone(self) -> None:
        """The kernel has ended every process of the task."""
        for name, state in self.states.items():
            if state.status == Status.RUNNING:
                self._container_ended(name, 128 + signal.SIGKILL)
        for command in self._commands.values():
            if not command.done():
                command.set_result(128 + signal.SIGKILL)

    async def run(self, container: str, argv: Sequence[str], streams: Sequence[int] = (), *, term: str = "") -> int:
        """Runs a command in the place of a container, with its environment; the exit code. Raises RuntimeFailed.

        A cancelled one is killed. `term`: TERM of the terminal that its streams are; empty when they are none.
        """
        plan = self._plans[container]
        name = f"{container}#{next(self._numbers)}-{time.monotonic_ns()}"
        env = {**await self._environment(plan), **({"TERM": term} if term else {})}
        process = Process(name, Exec(container, argv, streams, tty=bool(term)), env, plan.cwd)
        ended = self._commands[name] = asyncio.get_running_loop().create_future()
        try:
            await self._task.start(process)
            code: int = await ended
        except asyncio.CancelledError:
            await self._kill(name)
            raise
        finally:
            del self._commands[name]
        return code

    async def stop(self) -> None:
        """SIGTERM, after each one's stopTimeout SIGKILL; those that others depend on last. None is started again."""
        self._stopping = True
        for name in self._starting - self._launching:  # it waits for its secrets, and shall not any more
            self.states[name] = State()
        async with self._news:  # a process that is being made cannot be signalled yet
            await self._news.wait_for(lambda: not self._launching)
        for wave in containers.stop_waves(self.plans):
            async with TaskGroup() as group:
                for plan in wave:
                    group.create_task(self._stop(plan), name=f"stop {self._task.id}/{plan.name}")

    async def _start(self, plan: Container) -> None:
        await self._launch(plan)
        self._launching.discard(plan.name)
        self._starting.discard(plan.name)
        await self._notify()
        self._hooks.changed()

    async def _environment(self, plan: Container) -> Mapping[str, str]:
        """What the container was started with: its secrets are asked for anew only after an adoption, since the control
        plane may be away while checks and commands go on.
        """
        if plan.name not in self._environments:
            self._environments.setdefault(plan.name, await self._hooks.environment(plan))
        return self._environments[plan.name]

    async def _launch(self, plan: Container) -> None:
        try:
            env = self._environments[plan.name] = await self._hooks.environment(plan)
            if self._stopping:
                return
            self._launching.add(plan.name)
            await self._task.start(Process(plan.name, plan.image, env, plan.cwd))
        except RuntimeFailed as error:
            reason = f"CannotStartContainerError: {plan.name}: {error}"
            state = replace(self.states[plan.name], status=Status.STOPPED, exit_code=127, reason=reason)
            self.states[plan.name] = state
            self.failure = reason if plan.essential else self.failure
            return
        host = await self._task.host_pid(plan.name)
        state = self.states[plan.name]
        if state.status == Status.RUNNING:
            self.states[plan.name] = replace(state, pid=host)
            self._watch(plan)

    def _container_ended(self, name: str, code: int) -> None:
        self.states[name] = containers.stopped(self.states[name], code)
        self._apply_policy(name, time.monotonic())
        self._group.create_task(self._notify(), name=f"ended {self._task.id}/{name}")
        self._hooks.changed()

    def _apply_policy(self, name: str, ended: float) -> None:
        state = self.states[name]
        if not self._stopping and containers.restarts(self._plans[name], state, ended):
            log.info("container is started again", task=self._task.id, container=name, code=state.exit_code)
            self.states[name] = State(restarts=state.restarts + 1)

    async def _notify(self) -> None:
        async with self._news:
            self._news.notify_all()

    async def _stop(self, plan: Container) -> None:
        def gone() -> bool:
            return self.states[plan.name].status != Status.RUNNING

        if gone():
            return
        await self._task.signal(plan.name, signal.SIGTERM)
        with suppress(TimeoutError):
            async with asyncio.timeout(plan.stop_timeout), self._news:
                await self._news.wait_for(gone)
        if not gone():
            await self._task.signal(plan.name, signal.SIGKILL, group=True)
            async with self._news:
                await self._news.wait_for(gone)

    def _watch(self, plan: Container) -> None:
        if plan.check is not None:
            name = f"health {self._task.id}/{plan.name}"
            self._group.create_task(self._check(plan, plan.check, self.states[plan.name].since), name=name)

    async def _check(self, plan: Container, check: health.Check, since: float) -> None:
        """Runs the check for as long as this start of the container lasts."""
        current = health.Health(self.states[plan.name].health)
        # After an adoption this may take until the control plane is back, which is no failure of the container's.
        with suppress(RuntimeFailed):
            await self._environment(plan)
        while True:
            await asyncio.sleep(health.pause(check, current))
            if not self._lasts(plan.name, since):
                return
            passed = await self._passes(plan, check)
            if not self._lasts(plan.name, since):
                return
            current = health.evaluate(check, current, passed, time.monotonic() - since)
            if self.states[plan.name].health != current.status:
                self.states[plan.name] = replace(self.states[plan.name], health=current.status)
                self._hooks.changed()

    def _lasts(self, name: str, since: float) -> bool:
        state = self.states[name]
        return state.status == Status.RUNNING and state.since == since and not self._stopping

    async def _passes(self, plan: Container, check: health.Check) -> bool:
        try:
            async with asyncio.timeout(check.timeout):
                return await self.run(plan.name, check.argv) == 0
        except (TimeoutError, RuntimeFailed):
            return False

    async def _kill(self, name: str) -> None:
        with suppress(RuntimeFailed):
            await self._task.signal(name, signal.SIGKILL, group=True)


def adopted(process: ProcessState, known: State, since: float) -> State:
    """What is known of a container that a former agent started; `since`: when, on this agent's clock."""
    if process.code is not None:
        return containers.stopped(replace(known, since=since), process.code)
    return replace(known, status=Status.RUNNING, since=since)
