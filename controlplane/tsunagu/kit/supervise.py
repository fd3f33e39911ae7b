"""Keeps a child process running: restarts it when it exits, with growing delays if it keeps exiting, and stops it in order.

A child may also hang, which no exit tells: one with a `silence` sends heartbeats (`kit.heartbeat`), and is killed when they
stop. The one rule: the plan (`RestartState`, `exited`) knows neither clocks nor processes; `supervise` is the thin edge that
acts on it. Each child has a session of its own, so that Ctrl-C in a terminal reaches only its supervisor.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from tsunagu.kit.backoff import Backoff
from tsunagu.kit.clock import Clock, SystemClock
from tsunagu.kit.heartbeat import LISTEN_SECONDS, VARIABLE, first_pulse, heard, listened

_PR_SET_PDEATHSIG = 1
_BACKOFF: Final = Backoff(base=0.1, cap=5.0)


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """When to restart a child. An exit after at least `settled` seconds of running counts as the first in a row."""

    backoff: Backoff = _BACKOFF
    settled: float = 10.0


@dataclass(frozen=True, slots=True)
class RestartState:
    """What the next delay depends on."""

    starts: int = 0  # in all
    failures: int = 0  # exits in a row
    started: float = 0.0  # time of the last start, in monotonic seconds


@dataclass(frozen=True, slots=True)
class Child:
    """A program to keep running.

    `env` None: the supervisor's environment. `log`: the file to which stdout and stderr are appended. `stop_timeout`:
    seconds from SIGTERM to SIGKILL. `silence`: seconds without a heartbeat after which it is killed; 0: it sends none.
    """

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] | None = None
    pass_fds: tuple[int, ...] = ()
    log: Path | None = None
    stop_timeout: float = 5.0
    silence: float = 0.0


@dataclass(frozen=True, slots=True)
class Started:
    """A child has been started. `pid` is also the id of its session."""

    child: Child
    pid: int
    state: RestartState


@dataclass(frozen=True, slots=True)
class Exited:
    """A child has exited, with `code` as a shell gives it. It is restarted after `delay` seconds."""

    child: Child
    code: int
    state: RestartState
    delay: float


@dataclass(frozen=True, slots=True)
class Silent:
    """A child that hangs: it is killed after so many `seconds` without a heartbeat."""

    child: Child
    seconds: float


Report = Callable[[Started | Exited | Silent], None]


def started(state: RestartState, now: float) -> RestartState:
    """Return the state of a child that is started at `now`."""
    return replace(state, starts=state.starts + 1, started=now)


def exited(state: RestartState, now: float, policy: RestartPolicy) -> tuple[RestartState, float]:
    """Return the state of a child that exited at `now`, and the seconds to wait before its restart."""
    failures = 1 if now - state.started >= policy.settled else state.failures + 1
    return replace(state, failures=failures), policy.backoff.delay(failures)


async def supervise(
    child: Child,
    *,
    report: Report,
    policy: RestartPolicy | None = None,
    clock: Clock | None = None,
) -> None:
    """Keep `child` running until cancelled; then send SIGTERM, and SIGKILL after its `stop_timeout`.

    `report` is called with each start and exit; it must not block. Raises OSError if the program cannot be started at all,
    since a restart would not help.
    """
    policy, clock = policy or RestartPolicy(), clock or SystemClock()
    state = RestartState()
    while True:
        state = started(state, clock.monotonic())
        heartbeats, beating = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK) if child.silence else (-1, -1)
        try:
            process = await _start(child, beating)
            try:
                report(Started(child, process.pid, state))
                code = await _ended(child, process, heartbeats, report, clock)
            finally:
                await _end(process, child.stop_timeout)
        finally:
            if heartbeats >= 0:
                os.close(heartbeats)
        state, delay = exited(state, clock.monotonic(), policy)
        report(Exited(child, code, state, delay))
        await clock.sleep(delay)


def exit_code(returncode: int) -> int:
    """Return the exit code as a shell gives it: 128 + signal for a process that a signal killed."""
    return 128 - returncode if returncode < 0 else returncode


def continue_at_parents_death() -> None:
    """Have the kernel continue this process, should it be stopped, when its parent dies, so that it can end then.

    Uses PR_SET_PDEATHSIG of prctl(2); does nothing on systems other than Linux.
    """
    if sys.platform == "linux":
        import ctypes  # noqa: PLC0415 - only a child needs it, and `up` starts faster without

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGCONT, 0, 0, 0)


async def _ended(
    child: Child, process: asyncio.subprocess.Process, heartbeats: int, report: Report, clock: Clock
) -> int:
    """Wait until the child exits, which it has to when it falls silent; return its exit code."""
    async with asyncio.TaskGroup() as group:
        listening = group.create_task(
            _kill_when_silent(child, process, heartbeats, report, clock), name=f"heartbeats of {child.name}"
        )
        code = await process.wait()
        listening.cancel()
    return exit_code(code)


async def _kill_when_silent(
    child: Child, process: asyncio.subprocess.Process, heartbeats: int, report: Report, clock: Clock
) -> None:
    if not child.silence:
        return
    pulse = first_pulse(clock.monotonic(), child.silence)
    while not pulse.lost:
        await clock.sleep(LISTEN_SECONDS)
        pulse = listened(pulse, clock.monotonic(), child.silence, beats=heard(heartbeats))
    report(Silent(child, pulse.silent))
    _kill(process)


async def _start(child: Child, beating: int) -> asyncio.subprocess.Process:
    output = None if child.log is None else os.open(child.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    env = child.env
    if beating >= 0:
        env = {**(os.environ if env is None else env), VARIABLE: str(beating)}
    try:
        return await asyncio.create_subprocess_exec(
            *child.argv,
            env=env,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=(*child.pass_fds, *([beating] if beating >= 0 else [])),
            start_new_session=True,
        )
    finally:
        for descriptor in (output, beating):
            if descriptor is not None and descriptor >= 0:
                os.close(descriptor)


async def _end(process: asyncio.subprocess.Process, stop_timeout: float) -> None:
    if process.returncode is not None:
        return
    with suppress(ProcessLookupError):
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGCONT)  # a stopped process handles SIGTERM only when it continues
    # Not asyncio.timeout: before Python 3.11.3 it raises no TimeoutError in a task that is being cancelled, as this one is.
    killing = asyncio.get_running_loop().call_later(stop_timeout, _kill, process)
    try:
        await process.wait()
    finally:
        killing.cancel()


def _kill(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        process.kill()
