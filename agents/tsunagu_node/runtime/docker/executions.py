"""The commands that run in a task's containers (health checks, `tsunagu exec`), from their start to their end.

Rule: each ends in one event, whatever it ends by: by itself, with its container, by a signal, or with the engine.
"""

import os
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from tsunagu_node.runtime.contract import Exec, Process, ProcessExited
from tsunagu_node.runtime.docker.definition import bodies
from tsunagu_node.runtime.docker.definition.site import Site
from tsunagu_node.runtime.docker.engine.engine import EngineError
from tsunagu_node.runtime.docker.execution import Execution
from tsunagu_node.runtime.docker.machine import Machine

_FAILED: Final = 126
_KILLED: Final = 137


class Executions:
    """The commands of one task. `_running`: name of the process -> command, until its end has been told to `tell`."""

    def __init__(self, machine: Machine, site: Site, tell: Callable[[ProcessExited], None]) -> None:
        self._machine = machine
        self._site = site
        self._tell = tell
        self._running: dict[str, tuple[Execution, str]] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._running

    async def start(self, container: str, process: Process, command: Exec) -> None:
        """Start the command of `process` in the container. Raises EngineError, EngineGone."""
        execution = Execution(self._machine.engine, container, process, command)
        self._running[process.name] = (execution, container)  # its end may be told before its start has been
        try:
            await execution.start()
        except BaseException:
            del self._running[process.name]
            execution.release()
            raise
        self._machine.jobs.start(self._run(process.name, execution), f"command {self._site.task}/{process.name}")

    async def signal(self, name: str, number: int) -> None:
        """Signal the command and what it started."""
        execution, container = self._running[name]
        pid = await execution.pid()
        if not pid:
            return
        if self._machine.sees_processes:
            with suppress(PermissionError):  # of another user: then from inside
                _signalled(pid, number)
                return
        await self._signal_inside(container, pid, number)

    def ended(self, execution_id: str, code: int) -> None:
        """Take note of the engine's event about a command's end."""
        for execution, _ in self._running.values():
            if execution.id == execution_id and not execution.ended.done():
                execution.ended.set_result(code)

    def container_ended(self, container: str) -> None:
        """Take note that a container has ended, and with it every command in it."""
        for execution, where in self._running.values():
            if where == container and not execution.ended.done():
                execution.ended.set_result(_KILLED)

    async def _run(self, name: str, execution: Execution) -> None:
        code = _FAILED
        try:
            code = await execution.run()
        finally:
            execution.release()
            self._running.pop(name, None)
            self._tell(ProcessExited(name, code))

    async def _signal_inside(self, container: str, pid: int, number: int) -> None:
        """Signal it from a container that shares the processes of its own, as root: it may have no program for that. Where /proc
        does not say which process it is in there, the container shares the machine's.
        """
        inner = _innermost(pid) if self._machine.sees_processes else 0
        if self._machine.sees_processes and not inner:
            return
        command = bodies.inside("kill_group", str(inner or pid), str(int(number)))
        body = bodies.killer(
            self._site, self._machine.own_image, f"container:{container}" if inner else "host", command
        )
        with suppress(EngineError):  # it has ended meanwhile, and its container with it
            made = await self._machine.engine.call("POST", "/containers/create", None, body)
            await self._machine.engine.call("POST", f"/containers/{made['Id']}/start")
            await self._machine.engine.call("POST", f"/containers/{made['Id']}/wait")


def _signalled(pid: int, number: int) -> None:
    """Signal the process, which leads a session, with all that it started. Raises PermissionError."""
    with suppress(ProcessLookupError):
        os.killpg(pid, number)


def _innermost(pid: int) -> int:
    """Return the pid of a process of this machine in its own container, 0 when it is no more."""
    with suppress(OSError), open(f"/proc/{pid}/status", encoding="utf-8") as status:  # noqa: PTH123
        for line in status:
            if line.startswith("NSpid:"):
                return int(line.split()[-1])
    return 0
