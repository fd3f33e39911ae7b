"""Containers and what runs in their place, while the control plane is away and comes back."""

import asyncio
import os
from contextlib import asynccontextmanager

from tsunagu.model.statuses import HealthStatus
from tsunagu_node.runtime.contract import Exec, Image, ProcessExited, ProcessState
from tsunagu_node.task.container_group import ContainerGroup, Hooks
from tsunagu_node.task.containers import Container, State
from tsunagu_node.task.health import Check

SERVE = Image("", command=("serve",))
APP = Container(
    "app", SERVE, secrets=(("PASSWORD", "db"),), check=Check(("true",), interval=0.005, timeout=0.02, retries=1)
)

PLAIN = Container("plain", SERVE, check=APP.check)


class Task:
    """A running task whose commands end at once, well; it keeps with which environment what was started."""

    id = "web-1"

    def __init__(self, processes=None):
        self.started = []
        self.containers = None
        self._processes = processes or {}

    def processes(self):
        return self._processes

    async def start(self, process):
        if isinstance(process.run, Exec):
            self.started.append((process.run.container, dict(process.env)))
            asyncio.get_running_loop().call_soon(self.containers.exited, ProcessExited(process.name, 0))
        else:
            self.started.append((process.name, dict(process.env)))

    async def host_pid(self, name):
        return 9

    async def signal(self, name, number, *, group=False):
        self.containers.exited(ProcessExited(name, 143))


class Registry:
    """The secrets, while it is `there`."""

    def __init__(self):
        self.there = asyncio.Event()
        self.there.set()
        self.value, self.asked = "one", 0

    async def environment(self, container):
        if container.secrets:
            self.asked += 1
            await self.there.wait()
        return {name: self.value for name, _ in container.secrets}


@asynccontextmanager
async def containers_of(task, registry, *plans):
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        containers = task.containers = ContainerGroup(
            task, plans or [APP], group, Hooks(registry.environment, lambda: None)
        )
        yield containers
        await containers.stop()


async def until(condition):
    while not condition():  # noqa: ASYNC110 - what it looks at tells nobody
        await asyncio.sleep(0.002)


async def test_checks_and_commands_go_on_without_a_control_plane():
    task, registry = Task(), Registry()
    async with containers_of(task, registry) as containers:
        containers.advance()
        await until(lambda: containers.states["app"].pid)
        registry.there.clear()
        await until(lambda: len(task.started) > 5)
        assert containers.states["app"].health == HealthStatus.HEALTHY
        assert await containers.run("app", ["psql"]) == 0
    assert {environment["PASSWORD"] for _, environment in task.started} == {"one"}
    assert registry.asked == 1


async def test_a_container_that_is_started_again_gets_the_secrets_of_that_moment():
    task, registry = Task(), Registry()
    async with containers_of(task, registry) as containers:
        containers.advance()
        await until(lambda: containers.states["app"].pid)
        registry.value = "two"
        containers.exited(ProcessExited("app", 0))
        containers.states["app"] = State()
        containers.advance()
        await until(lambda: containers.states["app"].pid)
        assert await containers.run("app", ["psql"]) == 0
    assert [environment["PASSWORD"] for name, environment in task.started if name == "app"][-1] == "two"


async def test_a_check_of_an_adopted_container_waits_for_the_control_plane_and_does_not_fail():
    running = ProcessState(None, 0.0, None)
    task, registry = Task({"app": running, "plain": running}), Registry()
    registry.there.clear()
    async with containers_of(task, registry, APP, PLAIN) as containers:
        containers.adopt({name: State("RUNNING", health=HealthStatus.HEALTHY) for name in ("app", "plain")})
        await until(lambda: len(task.started) > 12)  # longer than a check of the other one may take
        assert {name for name, _ in task.started} == {"plain"}
        assert containers.states["app"].health == HealthStatus.HEALTHY
        registry.there.set()
        await until(lambda: ("app", {"PASSWORD": "one"}) in task.started)
        assert containers.states["app"].health == HealthStatus.HEALTHY
    assert registry.asked == 1


class Failing(Task):
    """A running task whose checks end with `code`, after they have written `words`."""

    code, words = 1, b""

    async def start(self, process):
        await super().start(process) if not isinstance(process.run, Exec) else await self._check(process)

    async def _check(self, process):
        self.started.append((process.run.container, dict(process.env)))
        os.write(process.run.streams[1], self.words)
        asyncio.get_running_loop().call_soon(self.containers.exited, ProcessExited(process.name, self.code))


async def test_what_a_failed_check_wrote_is_kept_until_one_passes():
    task, registry = Failing(), Registry()
    task.code, task.words = 2, b"\x1b[31mstarting\x1b[0m\npg_isready: no response\n"
    async with containers_of(task, registry) as containers:
        containers.advance()
        await until(lambda: containers.states["app"].check)
        kept = containers.states["app"].check
        assert (kept.code, kept.output, kept.timed_out) == (2, "starting pg_isready: no response", False)
        task.code = 0
        await until(lambda: containers.states["app"].health == HealthStatus.HEALTHY)
        assert containers.states["app"].check is None


async def test_a_check_that_says_the_same_but_for_numbers_is_no_news():
    task, registry, news = Failing(), Registry(), []
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        hooks = Hooks(registry.environment, lambda: news.append(task.containers.states["app"].check))
        patient = Container("app", SERVE, check=Check(("true",), interval=0.001, timeout=1, retries=1000))
        containers = task.containers = ContainerGroup(task, [patient], group, hooks)
        task.words = b"12:00:01 refused\n"
        containers.advance()
        await until(lambda: containers.states["app"].check)
        told = len(news)
        task.words = b"12:00:02 refused\n"
        checks = len(task.started)
        await until(lambda: len(task.started) > checks + 2)
        assert len(news) == told
        task.words = b"timed out\n"
        await until(lambda: containers.states["app"].check.output == "timed out")
        await containers.stop()
