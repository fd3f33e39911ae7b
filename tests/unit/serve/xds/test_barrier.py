"""The barrier: waits for all who are expected, by the question's own clock, and names those who are missing."""

from __future__ import annotations

import asyncio

import pytest

from tsunagu.serve.xds.barrier import Barrier, Missing

PATIENCE = 10.0


class World:
    def __init__(self, *expected: str) -> None:
        self.lacks = dict.fromkeys(expected, "not connected")
        self.expected = list(expected)
        self.questions: list[str] = []
        self.barrier = Barrier(self.why)

    def why(self, proxy: str, revision: int) -> str:
        self.questions.append(proxy)
        return self.lacks.get(proxy, "") if revision else ""

    def waiting(self, timeout: float = PATIENCE) -> asyncio.Task[list[Missing]]:
        return asyncio.ensure_future(self.barrier.wait(1, lambda: self.expected, timeout))

    async def acks(self, proxy: str) -> None:
        await asyncio.sleep(0)
        del self.lacks[proxy]
        self.barrier.progressed(proxy)


async def test_no_one_expected_is_no_one_missing():
    assert await World().barrier.wait(1, list, PATIENCE) == []


async def test_answers_at_once_when_it_may_not_wait():
    assert await World("b", "a").waiting(timeout=0) == [Missing("a", "not connected"), Missing("b", "not connected")]


async def test_waits_for_the_last_one():
    world = World("a", "b")
    waiting = world.waiting()
    await world.acks("a")
    assert not waiting.done()
    await world.acks("b")

    assert await waiting == []


async def test_at_the_timeout_names_those_who_are_missing_and_why_now():
    world = World("a", "b")
    waiting = world.waiting(timeout=0.02)
    await world.acks("a")
    world.lacks["b"] = "LDS NACKed: bad"

    assert await waiting == [Missing("b", "LDS NACKed: bad")]
    assert world.barrier._waiters == set()


async def test_one_whose_task_is_gone_counts_no_more():
    world = World("a", "b")
    waiting = world.waiting()
    await world.acks("a")
    world.expected.remove("b")
    world.barrier.check()

    assert await waiting == []


async def test_one_that_comes_while_we_wait_counts():
    world = World("a")
    waiting = world.waiting()
    await asyncio.sleep(0)
    world.lacks["late"] = "not connected"
    world.expected.append("late")
    await world.acks("a")
    assert not waiting.done()
    await world.acks("late")

    assert await waiting == []


async def test_one_that_had_it_and_lost_it_is_waited_for_again():
    world = World("a", "b")
    waiting = world.waiting()
    await world.acks("a")
    world.lacks["a"] = "not connected"
    await world.acks("b")
    assert not waiting.done()
    await world.acks("a")

    assert await waiting == []


@pytest.mark.parametrize("proxies", [10, 1000])
async def test_an_ack_costs_one_question_whatever_the_number_of_proxies(proxies):
    world = World(*(f"p{number}" for number in range(proxies)))
    waiting = world.waiting()
    await asyncio.sleep(0)
    world.questions.clear()
    await world.acks("p3")
    world.barrier.progressed("p3")
    world.barrier.progressed("a stranger")

    assert world.questions == ["p3"]
    waiting.cancel()
