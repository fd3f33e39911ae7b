import asyncio
import os
import signal

from tsunagu.cli.local.shutdown import Ending, before


async def test_the_first_signal_asks_for_order_and_the_second_for_haste():
    ending = Ending()
    ending.listen()
    os.kill(os.getpid(), signal.SIGINT)
    await asyncio.wait_for(ending.orderly.wait(), 60)
    assert not ending.at_once.is_set()
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.wait_for(ending.at_once.wait(), 60)


async def test_sigquit_wants_it_at_once():
    ending = Ending()
    ending.listen()
    os.kill(os.getpid(), signal.SIGQUIT)
    await asyncio.wait_for(ending.at_once.wait(), 60)
    assert ending.orderly.is_set()


async def test_work_is_cancelled_when_the_event_comes_first():
    event, ended = asyncio.Event(), []

    async def work():
        event.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    assert await before(event, work(), "work") is False
    assert ended == [True]


async def test_work_that_is_done_first_is_done():
    event = asyncio.Event()
    assert await before(event, asyncio.sleep(0), "work") is True
    assert not event.is_set()
