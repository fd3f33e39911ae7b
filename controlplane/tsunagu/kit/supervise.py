"""Keeps a child process running: starts it again when it dies, later and later while it keeps dying, and ends it in order.

Rule: the plan (`Life`, `exited`) knows neither clocks nor processes; `supervise` is the thin edge that acts on it. Each
child has its own session, so that Ctrl-C in a terminal reaches only its supervisor.
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

_PR_SET_PDEATHSIG = 1
_BACKOFF: Final = Backoff(base=0.1, cap=5.0)


@dataclass(frozen=True, slots=True)
class Restarts:
    """How long a child that exited waits for its next start; one that had run for `settled` seconds counts as the first."""

    backoff: Backoff = _BACKOFF
    settled: float = 10.0


@dataclass(frozen=True, slots=True)
class Life:
    """Where a child stands: starts in all, exits in a row, and when it was last started (monotonic seconds)."""

    starts: int = 0
    failures: int = 0
    started: float = 0.0


@dataclass(frozen=True, slots=True)
class Child:
    """What is to run. `env` None: the supervisor's own; `log`: the file that stdout and stderr are appended to."""

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] | None = None
    pass_fds: tuple[int, ...] = ()
    log: Path | None = None
    stop_timeout: float = 5.0


@dataclass(frozen=True, slots=True)
class Started:
    """A child has been started; `pid` is its process and its session."""

    child: Child
    pid: int
    life: Life


@dataclass(frozen=True, slots=True)
class Exited:
    """A child is gone. `code` is 128 + signal when killed by one; it is started again after `delay` seconds."""

    child: Child
    code: int
    life: Life
    delay: float


Report = Callable[[Started | Exited], None]


def started(life: Life, now: float) -> Life:
    """The life of a child that is started at `now`."""
    return replace(life, starts=life.starts + 1, started=now)


def exited(life: Life, now: float, restarts: Restarts) -> tuple[Life, float]:
    """The life of a child that died at `now`, and the seconds to wait before it is started again."""
    failures = 1 if now - life.started >= restarts.settled else life.failures + 1
    return replace(life, failures=failures), restarts.backoff.delay(failures)


async def supervise(
    child: Child,
    *,
    report: Report,
    restarts: Restarts | None = None,
    clock: Clock | None = None,
) -> None:
    """Keeps `child` running until cancelled; then SIGTERM, and SIGKILL after its `stop_timeout`. `report` must not block.

    A program that cannot be started at all raises OSError: starting it again would not help.
    """
    restarts, clock = restarts or Restarts(), clock or SystemClock()
    life = Life()
    while True:
        life = started(life, clock.monotonic())
        process = await _start(child)
        try:
            report(Started(child, process.pid, life))
            code = exit_code(await process.wait())
        finally:
            await _end(process, child.stop_timeout)
        life, delay = exited(life, clock.monotonic(), restarts)
        report(Exited(child, code, life, delay))
        await clock.sleep(delay)


def exit_code(returncode: int) -> int:
    """A shell's way of saying it: 128 + signal for a process that a signal killed."""
    return 128 - returncode if returncode < 0 else returncode


def continue_at_parents_death() -> None:
    """The kernel continues this process, should it be stopped, when the one that started it dies: it can end, then.

    (prctl(2), PR_SET_PDEATHSIG. Nothing on other systems than Linux.)
    """
    if sys.platform == "linux":
        import ctypes  # noqa: PLC0415 - `up` starts without it

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGCONT, 0, 0, 0)


async def _start(child: Child) -> asyncio.subprocess.Process:
    output = None if child.log is None else os.open(child.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        return await asyncio.create_subprocess_exec(
            *child.argv,
            env=child.env,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=child.pass_fds,
            start_new_session=True,
        )
    finally:
        if output is not None:
            os.close(output)


async def _end(process: asyncio.subprocess.Process, stop_timeout: float) -> None:
    if process.returncode is not None:
        return
    with suppress(ProcessLookupError):
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGCONT)  # a stopped one does not hear it before
    # Not asyncio.timeout: before Python 3.11.3 it raises no TimeoutError in a task that is being cancelled, as this one is.
    killing = asyncio.get_running_loop().call_later(stop_timeout, _kill, process)
    try:
        await process.wait()
    finally:
        killing.cancel()


def _kill(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        process.kill()
