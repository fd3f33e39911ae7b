"""Starts the Envoy of one task, watches it and starts it again. `tsunagu_sidecar.plan` decides, this module acts.

Rule: one loop owns the plan; everything that happens reaches it as an event. A dead Envoy is back in some 0.3 s: 0.1 s of
delay and its own start.
"""

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from tsunagu.kit.log import get
from tsunagu.v1 import objects_pb2
from tsunagu_node.runtime.contract import ENVOY_CONFIG, Process, Program, RunningTask, RuntimeFailed
from tsunagu_sidecar import plan
from tsunagu_sidecar.admin import Admin, AdminError
from tsunagu_sidecar.bootstrap import Settings, render
from tsunagu_sidecar.command import argv, environment

NAME: Final = "envoy"
_POLL: Final = 0.02
_SIGNALS: Final = {plan.Action.TERMINATE: signal.SIGTERM, plan.Action.KILL: signal.SIGKILL}
log = get("node.proxy")


@dataclass(frozen=True, slots=True)
class Sidecar:
    """How this task's Envoy is started: the binary, its settings, the listeners that it needs before it is of use, and
    what makes a token for each start (without it the settings' own is used). `files`: (name, file of the machine) of what
    stands beside its configuration.
    """

    envoy: str
    settings: Settings
    needs: tuple[Sequence[str], ...] = ()
    token: Callable[[], str] | None = None
    files: tuple[tuple[str, str], ...] = ()

    def start(self) -> Settings:
        """The settings of one start."""
        return replace(self.settings, token=self.token()) if self.token else self.settings


class Proxy:
    """The Envoy of `task`. `changed` is called after every change of `status()`; `runtime` returns the values of runtime keys
    with which it starts.
    """

    def __init__(
        self,
        task: RunningTask,
        sidecar: Sidecar,
        changed: Callable[[], None],
        runtime: Callable[[], Mapping[str, int]] = dict,
    ) -> None:
        self._task = task
        self._sidecar = sidecar
        self._changed = changed
        self._runtime = runtime
        self._events: asyncio.Queue[plan.Event] = asyncio.Queue()
        self._pid = 0
        self._at: plan.Supervision | None = None
        self.trouble = ""  # why its last start failed; empty when it did not
        self.admin = Admin(task.admin_endpoint.connect)
        self.ready = asyncio.Event()  # it was live, with the listeners that it needs, at least once

    async def run(self, restarts: int = 0) -> None:
        """Run until `stop` was called and Envoy has ended. `restarts`: how often an adopted Envoy was restarted before."""
        now = time.monotonic()
        running = self._task.processes().get(NAME)
        if running is not None and running.code is None:
            self._at = plan.adopt(now, restarts=restarts)
            self._pid = await self._task.host_pid(NAME)
        else:
            self._at, action = plan.begin(now)
            await self._do(action)
        while self._at.running or self._at.state is not plan.State.STOPPED:
            self._at, action = plan.advance(self._at, await self._event(self._at), time.monotonic())
            await self._do(action)
            self._changed()

    def exited(self, code: int) -> None:
        """Take note that its process has ended."""
        self._pid = 0
        self._events.put_nowait(plan.Exited(code))

    def stop(self) -> None:
        """Let it end."""
        self._events.put_nowait(plan.Stop())

    def status(self) -> objects_pb2.ProxyStatus:
        """Return the part of the task's status about it."""
        if self._at is None:
            return objects_pb2.ProxyStatus()
        code = self._at.exit_code if self._at.restarts else None
        return objects_pb2.ProxyStatus(state=self._at.state, pid=self._pid, restarts=self._at.restarts, exit_code=code)

    async def _event(self, at: plan.Supervision) -> plan.Event:
        """Wait for the next event. While Envoy starts, poll whether it is live."""
        while True:
            try:
                async with asyncio.timeout(_patience(at)):
                    return await self._events.get()
            except TimeoutError:
                if at.state is plan.State.STARTING and await self._useful():
                    self.ready.set()
                    return plan.Ready()
                if at.deadline is not None and time.monotonic() >= at.deadline:
                    return plan.Tick()

    async def _useful(self) -> bool:
        try:
            return await self.admin.ready() and has_all(self._sidecar.needs, await self.admin.listeners())
        except AdminError:
            return False

    async def _do(self, action: plan.Action | None) -> None:
        if action is plan.Action.SPAWN:
            await self._spawn()
        elif action is not None:
            await self._task.signal(NAME, _SIGNALS[action])

    async def _spawn(self) -> None:
        config = self._task.config_path(ENVOY_CONFIG)
        command = argv(self._sidecar.envoy, config, self._sidecar.settings)
        try:
            variables = {"PATH": os.defpath, **environment(self._sidecar.settings)}
            self._task.write_config(ENVOY_CONFIG, render(replace(self._sidecar.start(), runtime=self._runtime())))
            for name, file in self._sidecar.files:
                self._task.write_config(name, Path(file).read_text())
            await self._task.start(Process(NAME, Program(command), variables, cwd=str(Path(config).parent)))
        except (RuntimeFailed, OSError) as error:
            log.warning("envoy did not start", task=self._task.id, reason=str(error))
            self.trouble = str(error)
            self.exited(127)
            return
        self.trouble = ""
        self._pid = await self._task.host_pid(NAME)


def has_all(needs: Iterable[Sequence[str]], listeners: Iterable[str]) -> bool:
    """Return whether of each group of `needs` one is a prefix of a listener's name."""
    names = tuple(listeners)
    return all(any(name.startswith(tuple(group)) for name in names) for group in needs)


def _patience(at: plan.Supervision) -> float | None:
    if at.state is plan.State.STARTING:
        return _POLL
    return None if at.deadline is None else max(0.0, at.deadline - time.monotonic())
