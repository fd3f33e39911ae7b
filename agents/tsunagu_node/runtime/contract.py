"""What the node agent needs of a machine to run tasks: the contract of runtimes, and its shapes.

Rule: a runtime decides nothing about a task's life; it makes, starts, signals and takes away, and tells what ended. A
running task does not need the node agent: after its restart `adopt` finds what still runs. tests/contract/test_runtime.py
holds for each implementation.
"""

import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from tsunagu_node.runtime.linux.nft import Capture, Redirect


class RuntimeFailed(Exception):
    """The machine would not do it. The message says what, and is fit for a task's stopped reason."""


class CannotStart(RuntimeFailed):
    """A process could not be started: its program is not there, or may not be run."""


@dataclass(frozen=True, slots=True)
class Process:
    """What is to run in a task. `name` is a container's, or `envoy`, or one that is used once.

    `user` "app" is an ordinary uid, "root" the task's own root. `log`: to tasks/ID/log/NAME.log. `keep`: its end is
    remembered for a node agent that comes back.
    """

    name: str
    argv: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: str = "/"
    user: str = "app"
    log: bool = True
    keep: bool = True
    tty: bool = False


@dataclass(frozen=True, slots=True)
class ProcessState:
    """A process of a task. `code`: None while it runs, 128 + signal when killed by one. Times: seconds since the epoch."""

    pid: int
    code: int | None
    started: float
    ended: float | None


@dataclass(frozen=True, slots=True)
class ProcessExited:
    """A process of a task ended."""

    name: str
    pid: int
    code: int


@dataclass(frozen=True, slots=True)
class TaskGone:
    """Everything of the task died at once: its init is gone."""


class RunningTask(Protocol):
    """A task's namespaces and processes."""

    @property
    def id(self) -> str: ...
    @property
    def ip(self) -> str: ...
    @property
    def directory(self) -> Path:
        """tasks/ID in the mesh directory."""
        ...

    def processes(self) -> Mapping[str, ProcessState]:
        """Those with `keep`, as last heard of."""
        ...

    def events(self) -> AsyncIterator[ProcessExited | TaskGone]:
        """What ends from now on; ends after TaskGone. One reader."""
        ...

    async def start(self, process: Process, streams: Sequence[int] = ()) -> int:
        """Starts it, with `streams` (three file descriptors) as its own if given; the pid in the task. Raises CannotStart."""
        ...

    async def signal(self, name: str, number: int, *, group: bool = False) -> None:
        """Signals the process, or with `group` all that it started as well. Nothing happens when it has ended."""
        ...

    async def host_pid(self, pid: int) -> int:
        """`pid` of the task as the machine's own `ps` shows it; 0 when there is none."""
        ...

    async def nat(self, rules: Sequence[Redirect | Capture]) -> None:
        """Makes `rules` the only ones. Raises RuntimeFailed."""
        ...

    def set_hosts(self, names: Mapping[str, str]) -> None:
        """DNS name -> IP, of everything that /etc/hosts holds beside the task itself. Raises OSError: no room for it."""
        ...

    def listening(self) -> frozenset[int]:
        """TCP ports that somebody listens at."""
        ...

    async def kill(self) -> None:
        """Ends every process; its address still answers (with resets), so that no caller waits for nobody."""
        ...

    async def remove(self) -> None:
        """After `kill`: takes its network away and everything of its directory but the logs."""
        ...


class Runtime(Protocol):
    """A machine that runs tasks."""

    @property
    def kind(self) -> str:
        """linux, docker, host."""
        ...

    @property
    def reason(self) -> str:
        """Why this runtime, in words."""
        ...

    @property
    def task_cidr(self) -> str: ...

    def remembered(self, task_id: str) -> Mapping[str, ProcessState]:
        """How the processes of a task that is no more ended, as far as its init could write it down."""
        ...

    async def start(self) -> Sequence[RunningTask]:
        """Makes the machine ready; tells the tasks that still run (they are adopted), and sweeps what others left."""
        ...

    async def create(self, task_id: str) -> RunningTask:
        """A new task with an address, and nothing that runs. Raises RuntimeFailed."""
        ...

    async def listen(self, host: str, port: int) -> socket.socket:
        """A listening socket in the machine's own network. Raises PortTaken."""
        ...

    async def close(self) -> None:
        """Lets go of the tasks; they run on."""
        ...
