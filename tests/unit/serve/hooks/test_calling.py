"""Which calls are made, when, and what becomes of their answers; over a real registry, with calls that a test answers."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from tests.unit.controllers.world import NOW
from tsunagu.model import ids
from tsunagu.registry.informer import Informer
from tsunagu.registry.objects import Registry
from tsunagu.registry.stores.memory import MemoryStore
from tsunagu.serve.hooks.calling import AT_ONCE, HookCalls
from tsunagu.serve.hooks.hook_map import Url, save
from tsunagu.testing.clock import ManualClock
from tsunagu.v1 import deployments_pb2

ARN = "arn:aws:lambda:eu-west-1:1:function:check"
NAME = "default/orders/7"


class Function:
    """Stands for the caller of targets: keeps the events, and answers when it is told to."""

    def __init__(self):
        self.called = []
        self.ended = 0
        self.answers = asyncio.Queue()

    async def call(self, target, event):
        self.called.append((str(target), event))
        try:
            said = await self.answers.get()
        finally:
            self.ended += 1
        if isinstance(said, Exception):
            raise said
        return deployments_pb2.HookAnswer(status=said)


class Place:
    def __init__(self, folder):
        self.registry = Registry(MemoryStore())
        self.informer = Informer(self.registry)
        self.clock = ManualClock(epoch=NOW)
        self.function = Function()
        self.hooks = folder / "hooks.json"
        save(self.hooks, [(ARN, Url("http://h/"))])

    @asynccontextmanager
    async def calling(self):
        async with asyncio.TaskGroup() as group:
            informing = group.create_task(self.informer.run())
            await self.informer.wait_synced()
            calls = HookCalls(self.registry, self.informer, self.hooks, self.function, self.clock)
            running = group.create_task(calls.run())
            yield
            running.cancel()
            informing.cancel()

    async def waits(
        self, name=NAME, *, at=NOW, calls=0, status="IN_PROGRESS", target="AWS_LAMBDA", arn=ARN, ended=False
    ):
        """A deployment that waits for a hook, in the registry."""
        body = deployments_pb2.ServiceDeployment(cluster="default", service="orders", status=status)
        hook = body.lifecycle_hooks.add(hook_id="POST_SCALE_UP-0-0", target_type=target, target_arn=arn, calls=calls)
        hook.call_at.FromMicroseconds(int(at * 1e6))
        if ended:
            hook.ended_at.FromSeconds(1)
        await self.registry.put(ids.make("ServiceDeployment", name, body))

    async def until(self, condition):
        async with asyncio.timeout(10):
            while not await condition():  # noqa: ASYNC110
                await asyncio.sleep(0)

    async def hook(self, name=NAME):
        return (await self.registry.get("ServiceDeployment", name)).service_deployment.lifecycle_hooks[0]

    async def until_called(self, count):
        async def enough():
            return len(self.function.called) >= count

        await self.until(enough)

    async def until_answered(self):
        async def answered():
            return (await self.hook()).HasField("answer")

        await self.until(answered)
        return (await self.hook()).answer

    async def rest(self):
        """Until all that could happen now has."""
        await self.informer.wait_revision(self.registry.revision)
        for _ in range(50):
            await asyncio.sleep(0)


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


async def test_a_function_that_is_waited_for_is_called_and_its_answer_left_in_the_deployment(place):
    async with place.calling():
        await place.waits()
        await place.until_called(1)
        assert place.function.called[0][0] == "http://h/"
        assert b'"lifecycleStage"' in place.function.called[0][1]
        place.function.answers.put_nowait("SUCCEEDED")
        assert (await place.until_answered()).status == "SUCCEEDED"
        await place.rest()
        assert len(place.function.called) == 1


@pytest.mark.parametrize(
    "state",
    [
        {"status": "ROLLBACK_IN_PROGRESS"},
        {"status": "SUCCESSFUL"},
        {"target": "PAUSE"},
        {"ended": True},
        {"at": NOW + 1},
    ],
    ids=["goes back", "over", "a pause", "ended", "not yet"],
)
async def test_nothing_else_is_called(place, state):
    async with place.calling():
        await place.waits(**state)
        await place.rest()
        assert place.function.called == []


async def test_a_call_back_is_made_when_its_time_has_come(place):
    async with place.calling():
        await place.waits(at=NOW + 30, calls=1)
        await place.rest()
        await place.clock.advance(29)
        assert place.function.called == []
        await place.clock.advance(1)
        await place.until_called(1)


async def test_a_call_without_an_answer_is_made_again_by_the_next_control_plane(place):
    async with place.calling():
        await place.waits()
        await place.until_called(1)
    assert place.function.ended == 1
    async with place.calling():
        await place.until_called(2)
    assert place.function.called[0] == place.function.called[1]


@pytest.mark.parametrize("change", ["timed out", "deleted"])
async def test_a_call_that_nobody_waits_for_any_more_is_ended(place, change):
    async with place.calling():
        await place.waits()
        await place.until_called(1)
        if change == "deleted":
            await place.registry.delete("ServiceDeployment", NAME)
        else:
            await place.waits(ended=True)
        await place.rest()
        assert place.function.ended == 1


async def test_an_answer_that_comes_too_late_is_dropped(place):
    async with place.calling():
        await place.waits()
        await place.until_called(1)
        place.function.answers.put_nowait("SUCCEEDED")
        await place.waits(calls=1, at=NOW + 60)
        await place.rest()
        assert not (await place.hook()).HasField("answer")


async def test_a_function_that_nothing_stands_for_has_failed(place):
    async with place.calling():
        await place.waits(arn=f"{ARN}2")
        said = await place.until_answered()
        assert said.status == "FAILED"
        assert said.reason.startswith(f"nothing is mapped to {ARN}2")


async def test_an_error_of_ours_is_no_answer_and_the_call_is_made_again(place):
    async with place.calling():
        await place.waits()
        place.function.answers.put_nowait(RuntimeError("a bug"))
        await place.until_called(1)
        await place.rest()
        await place.clock.advance(1)
        await place.until_called(2)
        assert not (await place.hook()).HasField("answer")


async def test_so_many_are_called_at_once_and_the_others_wait(place):
    async with place.calling():
        for number in range(AT_ONCE + 3):
            await place.waits(f"default/orders/{number + 1}")
        await place.rest()
        assert len(place.function.called) == AT_ONCE
        place.function.answers.put_nowait("FAILED")
        await place.until_called(AT_ONCE + 1)
