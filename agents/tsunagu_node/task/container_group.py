"""The containers of one running task: started in order, checked, started again by their restart policy, and stopped.

Rule: every decision is a function of `containers` over `states`; this class carries them out. Events of the task reach it
through `exited` and `all_gone`.
"""

import asyncio
import itertools
import signal
import time
from asyncio import Future, TaskGroup
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Final

from tsunagu.kit.log import get
from tsunagu.model.statuses import Status
from tsunagu_node.runtime.contract import Exec, Process, ProcessExited, ProcessState, RunningTask, RuntimeFailed
from tsunagu_node.task import containers, health
from tsunagu_node.task.check_output import CheckResult, captured
from tsunagu_node.task.containers import Container, State
from tsunagu_node.task.process_names import process_of

log = get("node.containers")
_NOT_STARTED: Final = 127  # as a shell says it


@dataclass(frozen=True, slots=True)
class Hooks:
    """What a container group needs of the task's controller.

    `environment` returns what a container starts with, and may wait for the control plane; `changed` is called after every
    change of `states`.
    """

    environment: Callable[[Container], Awaitable[Mapping[str, str]]]
    changed: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Beside:
    """What a command has beside its container's: `environment`, which goes before it, and `directory`, where it starts. `term`:
    TERM, when its streams are a terminal; otherwise empty. `named` gets the command's name, for `ContainerGroup.signal`.
    """

    environment: Mapping[str, str] = field(default_factory=dict)
    directory: str = ""
    term: str = ""
    named: Callable[[str], None] = lambda _: None


class ContainerGroup:
    """Controls the containers `plans` in `task`; its own jobs run in `group`. `states` has an entry for each plan."""

    def __init__(self, task: RunningTask, plans: Sequence[Container], group: TaskGroup, hooks: Hooks) -> None:
        self._task = task
        self._plans = {plan.name: plan for plan in plans}
        self._by_process = {process_of(name): name for name in self._plans}
        self._group = group
        self._hooks = hooks
        self._environments: dict[str, Mapping[str, str]] = {}  # container -> what its last start was given
        self._commands: dict[str, Future[int]] = {}
        self._numbers = itertools.count(1)
        self._stopping = False
        self._starting: set[str] = set()  # containers from the decision to start them until their pid is known
        self._launching: set[str] = set()  # a subset of `_starting`: those whose process is being created
        self._news = asyncio.Condition()
        self.states: dict[str, State] = {plan.name: State() for plan in plans}
        self.failure = ""  # why an essential container could not be started; empty as long as none failed

    @property
    def plans(self) -> Sequence[Container]:
        return tuple(self._plans.values())

    @property
    def settled(self) -> bool:
        """Whether no container is being started at this moment: of each the pid is known, or why it has none."""
        return not self._starting

    def adopt(self, known: Mapping[str, State]) -> None:
        """Take over containers that run or have ended; `known` is what the former node agent last reported of them."""
        now, wall = time.monotonic(), time.time()
        for process_name, process in self._task.processes().items():
            if (name := self._by_process.get(process_name)) is not None:
                self.states[name] = adopted(process, known.get(name, State()), now - (wall - process.started))
                if process.code is None:
                    self._watch(self._plans[name])
                elif known.get(name, State()).status == Status.RUNNING:  # it ended while no node agent was there
                    lived = (process.ended or process.started) - process.started
                    self._apply_policy(name, self.states[name].since + lived)

    def advance(self) -> None:
        """Start the containers that may start now."""
        if self._stopping:
            return
        for plan in containers.startable(self.plans, self.states):
            if any(
                name in self._starting for name, _ in plan.depends_on
            ):  # where that takes its time (an image's container)
                continue
            before = self.states[plan.name]
            self.states[plan.name] = replace(before, status=Status.RUNNING, since=time.monotonic())
            self._starting.add(plan.name)
            self._group.create_task(self._start(plan), name=f"start {self._task.id}/{plan.name}")

    def exited(self, event: ProcessExited) -> None:
        """Take note that a process of the task, a container or a command, has ended."""
        if (command := self._commands.get(event.name)) and not command.done():
            command.set_result(event.code)
        if (container := self._by_process.get(event.name)) is not None:
            self._container_ended(container, event.code, event.reason)

    def all_gone(self) -> None:
        """Take note that the task died with all of its processes."""
        for name, state in self.states.items():
            if state.status == Status.RUNNING:
                self._container_ended(name, 128 + signal.SIGKILL)
        for command in self._commands.values():
            if not command.done():
                command.set_result(128 + signal.SIGKILL)

    async def run(
        self, container: str, argv: Sequence[str], streams: Sequence[int] = (), more: "Beside | None" = None
    ) -> int:
        """Run a command in a container's place, with its environment; return the exit code. Raises RuntimeFailed.

        When cancelled, the command is killed.
        """
        plan, more = self._plans[container], more or Beside()
        place = process_of(container)
        name = f"{place}#{next(self._numbers)}-{time.monotonic_ns()}"
        term = {"TERM": more.term} if more.term else {}
        env = {**await self._environment(plan), **more.environment, **term}
        process = Process(name, Exec(place, argv, streams, tty=bool(term)), env, more.directory or plan.cwd)
        more.named(name)
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

    async def signal(self, command: str, number: int) -> None:
        """Signal a command of `run`, with all that it started."""
        await self._task.signal(command, number, group=True)

    async def stop(self) -> None:
        """Stop all containers: SIGTERM, and SIGKILL after stopTimeout; those that others depend on last. None starts again."""
        self._stopping = True
        for name in self._starting - self._launching:  # they wait for their secrets, and need not any more
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
        """Return what the container was started with. Its secrets are fetched again only after an adoption, so that checks
        and commands go on while the control plane is away.
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
            await self._task.start(Process(process_of(plan.name), plan.image, env, plan.cwd))
        except Exception as error:
            if not isinstance(error, RuntimeFailed):
                log.exception("container does not start", task=self._task.id, container=plan.name)
            reason = f"{containers.NOT_STARTED}{plan.name}: {str(error) or type(error).__name__}"
            state = replace(self.states[plan.name], status=Status.STOPPED, exit_code=127, reason=reason)
            self.states[plan.name] = state
            self.failure = reason if plan.essential else self.failure
            return
        host = await self._task.host_pid(process_of(plan.name))
        state = self.states[plan.name]
        if state.status == Status.RUNNING:
            self.states[plan.name] = replace(state, pid=host)
            self._watch(plan)

    def _container_ended(self, name: str, code: int, reason: str = "") -> None:
        self.states[name] = containers.stopped(self.states[name], code, reason)
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
        await self._task.signal(process_of(plan.name), signal.SIGTERM)
        with suppress(TimeoutError):
            async with asyncio.timeout(plan.stop_timeout), self._news:
                await self._news.wait_for(gone)
        if not gone():
            await self._task.signal(process_of(plan.name), signal.SIGKILL, group=True)
            async with self._news:
                await self._news.wait_for(gone)

    def _watch(self, plan: Container) -> None:
        if plan.check is not None:
            name = f"health {self._task.id}/{plan.name}"
            self._group.create_task(self._check(plan, plan.check, self.states[plan.name].since), name=name)

    async def _check(self, plan: Container, check: health.Check, since: float) -> None:
        """Run the health check until the container that started at `since` ends."""
        current = health.Health(self.states[plan.name].health)
        # After an adoption this may wait for the control plane, which must not count as a failed check.
        with suppress(RuntimeFailed):
            await self._environment(plan)
        while True:
            await asyncio.sleep(health.pause(check, current))
            if not self._lasts(plan.name, since):
                return
            result = await self._result(plan, check)
            if not self._lasts(plan.name, since):
                return
            current = health.evaluate(check, current, result.passed, time.monotonic() - since)
            self._learn(plan.name, current.status, None if result.passed else result)

    def _learn(self, name: str, status: str, failed: CheckResult | None) -> None:
        """Keep the health of a container and its last failed check; what says the same again is no news."""
        known = self.states[name]
        same = failed is None if known.check is None else failed is not None and failed.like(known.check)
        if known.health != status or not same:
            self.states[name] = replace(known, health=status, check=failed)
            self._hooks.changed()

    def _lasts(self, name: str, since: float) -> bool:
        state = self.states[name]
        return state.status == Status.RUNNING and state.since == since and not self._stopping

    async def _result(self, plan: Container, check: health.Check) -> CheckResult:
        try:
            with captured() as output:
                try:
                    async with asyncio.timeout(check.timeout):
                        code = await self.run(plan.name, check.argv, output.streams)
                except TimeoutError:
                    return CheckResult(128 + signal.SIGKILL, output.text(), timed_out=True)
                return CheckResult(code, output.text())
        except RuntimeFailed as error:
            return CheckResult(_NOT_STARTED, str(error))
        except Exception as error:
            log.exception("health check cannot be run", task=self._task.id, container=plan.name)
            return CheckResult(_NOT_STARTED, str(error))

    async def _kill(self, name: str) -> None:
        with suppress(RuntimeFailed):
            await self._task.signal(name, signal.SIGKILL, group=True)


def adopted(process: ProcessState, known: State, since: float) -> State:
    """Return the state of a container that a former node agent started at `since`, on this agent's monotonic clock."""
    if process.code is not None:
        return containers.stopped(replace(known, since=since), process.code, process.reason)
    return replace(known, status=Status.RUNNING, since=since)
