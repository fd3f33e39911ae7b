from tsunagu.kit.clock import Clock, SystemClock


async def test_the_system_s_clock_goes_on_while_sleeping():
    clock: Clock = SystemClock()
    before, wall = clock.monotonic(), clock.now()
    await clock.sleep(0.01)
    assert clock.monotonic() - before >= 0.01
    assert clock.now() >= wall
