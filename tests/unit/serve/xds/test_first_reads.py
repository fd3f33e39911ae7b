"""How strangers are read: a few at a time, and who says nothing makes room for who waits."""

import asyncio

import pytest

from tsunagu.serve.xds.first_reads import FirstReads, TooManyStrangers

PATIENCE = 10.0


async def never():
    await asyncio.Event().wait()


async def test_no_more_are_read_at_a_time_than_there_are_places():
    reads, reading, most = FirstReads(3, 100, patience=PATIENCE, hurried=PATIENCE), 0, 0

    async def stranger():
        nonlocal reading, most
        async with reads.turn():
            reading += 1
            most = max(most, reading)
            await asyncio.sleep(0)
            reading -= 1

    async with asyncio.TaskGroup() as group:
        for _ in range(20):
            group.create_task(stranger())

    assert most == 3


async def test_who_says_nothing_is_given_up_in_the_end():
    reads = FirstReads(1, 10, patience=0.01, hurried=0.01)
    with pytest.raises(TimeoutError):
        async with reads.turn():
            await never()


async def test_who_says_nothing_makes_room_at_once_when_another_waits():
    reads, order = FirstReads(2, 10, patience=PATIENCE * 100, hurried=0.01), []

    async def silent(name):
        try:
            async with reads.turn():
                await never()
        except TimeoutError:
            order.append(name)

    async def honest():
        async with reads.turn():
            order.append("honest")

    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
        first = group.create_task(silent("first"))
        second = group.create_task(silent("second"))
        await asyncio.sleep(0)
        await group.create_task(honest())
        assert order == ["first", "honest"], "only as many are hurried as wait"
        assert not second.done()
        second.cancel()
        assert first.done()


async def test_whoever_gets_a_place_while_others_wait_has_to_hurry():
    reads = FirstReads(1, 10, patience=PATIENCE * 100, hurried=0.01)

    async def silent():
        with pytest.raises(TimeoutError):
            async with reads.turn():
                await never()

    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
        silent_ones = [group.create_task(silent()) for _ in range(4)]
        await asyncio.wait(silent_ones[:3])
        assert not silent_ones[3].done(), "nobody waits for the last one's place"
        silent_ones[3].cancel()


async def test_the_line_is_bounded():
    reads = FirstReads(1, 2, patience=PATIENCE, hurried=PATIENCE)

    async def stranger():
        async with reads.turn():
            await never()

    async with asyncio.TaskGroup() as group:
        waiting = [group.create_task(stranger()) for _ in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(TooManyStrangers):
            async with reads.turn():
                pass
        for one in waiting:
            one.cancel()

    async with asyncio.timeout(PATIENCE), reads.turn():
        pass  # those who gave up have left the line
