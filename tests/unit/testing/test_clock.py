import asyncio

from tsunagu.kit.clock import Clock
from tsunagu.testing import ManualClock


async def test_time_stands_still_until_it_is_moved():
    clock: Clock = ManualClock(start=5.0, epoch=1000.0)
    await asyncio.sleep(0)
    assert (clock.monotonic(), clock.now()) == (5.0, 1000.0)


async def test_sleepers_wake_in_the_order_of_their_times():
    clock, woken = ManualClock(), []

    async def sleeper(name, *waits):
        for wait in waits:
            await clock.sleep(wait)
            woken.append((name, clock.monotonic()))

    async with asyncio.TaskGroup() as group:
        group.create_task(sleeper("late", 60))
        group.create_task(sleeper("often", 10, 10, 35))
        await clock.advance(55)
        assert woken == [("often", 10.0), ("often", 20.0), ("often", 55.0)]
        assert clock.sleeping == 1
        await clock.advance(5)
    assert woken[-1] == ("late", 60.0)
    assert clock.now() - ManualClock().now() == 60.0


async def test_a_cancelled_sleeper_is_forgotten():
    clock = ManualClock()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(clock.sleep(10))
        await asyncio.sleep(0)
        assert clock.sleeping == 1
        task.cancel()
    assert clock.sleeping == 0
    await clock.advance(20)


async def test_no_time_at_all_is_a_turn_of_the_loop():
    clock = ManualClock()
    await clock.sleep(0)
    await clock.sleep(-1)
    assert clock.monotonic() == 0.0
