"""Children that are kept running: the plan, and the edge with real processes."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from tsunagu.kit.backoff import Backoff
from tsunagu.kit.supervise import (
    Child,
    Exited,
    RestartPolicy,
    RestartState,
    Silent,
    Started,
    exit_code,
    exited,
    started,
    supervise,
)
from tsunagu.testing.clock import ManualClock

RESTARTS = RestartPolicy(Backoff(base=0.1, cap=1.0), settled=10.0)


def delays(*lives: float) -> list[float]:
    """Delays after a child lived for so many seconds each time."""
    state, now, found = RestartState(), 0.0, []
    for lived in lives:
        state = started(state, now)
        now += lived
        state, delay = exited(state, now, RESTARTS)
        now += delay
        found.append(delay)
    return found


def test_who_keeps_dying_waits_longer_and_longer():
    assert delays(1, 1, 1, 1, 1, 1) == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]


def test_who_lived_long_enough_is_forgiven():
    assert delays(1, 1, 10, 1) == [0.1, 0.2, 0.1, 0.2]


def test_starts_are_counted():
    state = started(started(RestartState(), 1.0), 5.0)
    assert (state.starts, state.started) == (2, 5.0)


@pytest.mark.parametrize(("returncode", "code"), [(0, 0), (3, 3), (-9, 137), (-15, 143)])
def test_exit_codes_are_a_shell_s(returncode, code):
    assert exit_code(returncode) == code


class Reports:
    """What a supervisor told, and waiting for it."""

    def __init__(self) -> None:
        self.all: list[Started | Exited | Silent] = []
        self._news = asyncio.Event()

    def __call__(self, report: Started | Exited | Silent) -> None:
        self.all.append(report)
        self._news.set()

    async def until(self, count: int) -> None:
        async with asyncio.timeout(60):
            while len(self.all) < count:
                self._news.clear()
                await self._news.wait()


def python(code: str, **more) -> Child:
    return Child("child", (sys.executable, "-S", "-c", code), **more)


async def test_a_child_that_dies_is_started_again(tmp_path: Path):
    log = tmp_path / "log"
    reports, clock = Reports(), ManualClock()
    async with asyncio.TaskGroup() as group:
        work = group.create_task(
            supervise(python("print('hi'); raise SystemExit(3)", log=log), report=reports, clock=clock)
        )
        await reports.until(2)
        assert [type(report) for report in reports.all] == [Started, Exited]
        assert (reports.all[1].code, reports.all[1].delay) == (3, 0.1)
        async with asyncio.timeout(60):
            while not clock.sleeping:  # noqa: ASYNC110 - until the supervisor waits for the clock
                await asyncio.sleep(0)
        await clock.advance(0.1)
        await reports.until(4)
        work.cancel()
    assert reports.all[3].delay == 0.2
    assert log.read_text().split() == ["hi", "hi"]
    assert log.stat().st_mode & 0o777 == 0o600


async def test_a_child_has_a_session_of_its_own_and_is_given_descriptors():
    read, write = os.pipe()
    reports = Reports()
    child = python(
        f"import os; os.write({write}, str(os.getsid(0)).encode()); os.read(0, 1); input()", pass_fds=(write,)
    )
    async with asyncio.TaskGroup() as group:
        work = group.create_task(supervise(child, report=reports))
        await reports.until(1)
        assert int(await asyncio.to_thread(os.read, read, 20)) == reports.all[0].pid != os.getsid(0)
        work.cancel()
    os.close(read)
    os.close(write)


@pytest.mark.parametrize("stubborn", [False, True])
async def test_cancelled_it_ends_its_child_first(stubborn):
    read, write = os.pipe()
    ignore = "signal.signal(15, signal.SIG_IGN);" if stubborn else ""
    child = python(
        f"import os, signal, time; {ignore} os.write({write}, b'.'); time.sleep(60)",
        pass_fds=(write,),
        stop_timeout=0.2,
    )
    reports = Reports()
    async with asyncio.TaskGroup() as group:
        work = group.create_task(supervise(child, report=reports))
        await asyncio.to_thread(os.read, read, 1)
        async with asyncio.timeout(60):  # the child may be faster than who started it
            while not reports.all:  # noqa: ASYNC110
                await asyncio.sleep(0)
        work.cancel()
    with pytest.raises(ProcessLookupError):
        os.kill(reports.all[0].pid, 0)
    os.close(read)
    os.close(write)


async def test_a_program_that_is_not_there_is_an_error():
    with pytest.raises(FileNotFoundError):
        await supervise(Child("child", ("/no/such/program",)), report=Reports())


async def test_a_killed_child_is_told_as_128_and_its_signal():
    reports = Reports()
    async with asyncio.TaskGroup() as group:
        work = group.create_task(supervise(python("import time; time.sleep(60)"), report=reports))
        await reports.until(1)
        os.kill(reports.all[0].pid, signal.SIGKILL)
        await reports.until(2)
        work.cancel()
    assert reports.all[1].code == 137


HANGS = """
import os, signal, time
for _ in range(30):
    os.write(int(os.environ["TSUNAGU_HEARTBEAT_FD"]), b".")
    time.sleep(0.1)
os.write(1, b"still here")
os.kill(os.getpid(), signal.SIGSTOP)
"""


async def test_a_child_is_left_alone_as_long_as_it_sends_heartbeats_and_killed_when_it_hangs(tmp_path: Path):
    log, reports = tmp_path / "log", Reports()
    async with asyncio.TaskGroup() as group:
        work = group.create_task(supervise(python(HANGS, silence=2.0, log=log), report=reports))
        await reports.until(4)
        work.cancel()
    assert [type(report) for report in reports.all[:4]] == [Started, Silent, Exited, Started]
    assert reports.all[2].code == 128 + signal.SIGKILL
    assert log.read_text().startswith("still here")
