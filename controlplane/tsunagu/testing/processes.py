"""Which processes make up a mesh, read from /proc: to kill one, and to prove afterwards that none was left.

Rule: a process belongs to a mesh when its command line or its working directory lies in the mesh's home, or its parent
belongs to it. A pid alone says nothing (it is used again), so a process is its pid and the time at which it began.
"""

from __future__ import annotations

import os
import re
import select
import signal
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_DEATH_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Process:
    """One process, as seen from outside of the mesh. `begun`: clock ticks since boot; `task`: the ID, or empty."""

    pid: int
    begun: int
    parent: int
    name: str
    command: tuple[str, ...]
    task: str = ""

    def alive(self) -> bool:
        """Whether it still runs (a zombie does not)."""
        now = _read(self.pid)
        return now is not None and now.begun == self.begun

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Sends a signal; nothing when it is gone already. After SIGKILL it is gone when this returns: on a busy machine the
        kernel may take its time, in which a server would still answer.
        """
        with suppress(ProcessLookupError):
            descriptor = os.pidfd_open(self.pid)
            try:
                if self.alive():
                    signal.pidfd_send_signal(descriptor, number)
                    if number == signal.SIGKILL:
                        select.select([descriptor], [], [], _DEATH_SECONDS)
            finally:
                os.close(descriptor)

    def __str__(self) -> str:
        return f"{self.pid} {self.name} ({' '.join(self.command)[:120]})"


_OF_SEVERAL = "node-"


@dataclass(frozen=True, slots=True)
class Processes:
    """The processes of one mesh by what they are; those of a task by its ID (the task's name without its cluster). `nodes`: the
    agents of a mesh that has several nodes here, by the name of the node.
    """

    up: Process | None = None
    serve: Process | None = None
    node: Process | None = None
    web: Process | None = None
    nodes: Mapping[str, Process] = field(default_factory=dict)
    janitor: Process | None = None
    sandbox: Process | None = None
    inits: Mapping[str, Process] = field(default_factory=dict)
    envoys: Mapping[str, Process] = field(default_factory=dict)
    apps: Mapping[str, tuple[Process, ...]] = field(default_factory=dict)
    everything: tuple[Process, ...] = ()

    def named(self, what: str) -> Process:
        """`up`, `serve`, `node`, `node-NAME`, `web`, `janitor`, `sandbox`, `envoy:TASK`, `init:TASK` or `app:TASK` (its first one).

        Raises LookupError.
        """
        kind, _, task = what.partition(":")
        found: Process | None
        match kind:
            case "envoy":
                found = self.envoys.get(task)
            case "init":
                found = self.inits.get(task)
            case "app":
                found = next(iter(self.apps.get(task, ())), None)
            case "up" | "serve" | "node" | "web" | "janitor" | "sandbox":
                found = getattr(self, kind)
            case _ if kind.startswith(_OF_SEVERAL):
                found = self.nodes.get(kind.removeprefix(_OF_SEVERAL))
            case _:
                raise LookupError(
                    f"{what!r} is no process of a mesh; one is 'serve', 'node' or 'envoy:orders-1a2b3c4d'"
                )
        if found is None:
            raise LookupError(f"there is no process {what!r} now")
        return found


def of_home(home: Path) -> Processes:
    """The processes of the mesh in `home` at this moment."""
    return _classified(belonging({process.pid: process for process in everyone()}, home))


def belonging(table: Mapping[int, Process], home: Path) -> tuple[Process, ...]:
    """Those of `table` that belong to the mesh in `home`, by pid."""
    seeds = {pid for pid, process in table.items() if _points_into(process, home)}
    members = {pid: _task_in(process, home) for pid, process in table.items() if pid in seeds}
    children: dict[int, list[int]] = {}
    for process in table.values():
        children.setdefault(process.parent, []).append(process.pid)
    waiting = list(members)
    while waiting:
        parent = waiting.pop()
        for pid in children.get(parent, ()):
            inherited = members[parent] or members.get(pid, "")
            if members.get(pid) != inherited:
                members[pid] = inherited
                waiting.append(pid)
    mine = os.getpid()
    return tuple(_with_task(table[pid], members[pid]) for pid in sorted(members) if pid != mine)


def _classified(members: tuple[Process, ...]) -> Processes:
    in_tasks: dict[str, dict[str, list[Process]]] = {"init": {}, "envoy": {}, "app": {}}
    alone: dict[str, Process] = {}
    for process in members:
        kind = _kind(process)
        if process.task and kind in in_tasks:
            in_tasks[kind].setdefault(process.task, []).append(process)
        else:
            alone.setdefault(kind, process)
    return Processes(
        up=alone.get("up"),
        serve=alone.get("serve"),
        node=alone.get("node"),
        web=alone.get("web"),
        nodes={kind.removeprefix(_OF_SEVERAL): one for kind, one in alone.items() if kind.startswith(_OF_SEVERAL)},
        janitor=alone.get("janitor"),
        sandbox=alone.get("sandbox"),
        inits={task: found[0] for task, found in in_tasks["init"].items()},
        envoys={task: found[0] for task, found in in_tasks["envoy"].items()},
        apps={task: tuple(found) for task, found in in_tasks["app"].items()},
        everything=members,
    )


_NAMED = {
    "tsunagu-janitor": "janitor",
    "tsunagu-sandbox": "sandbox",
    "tsunagu-init": "init",
    "tsunagu-relay": "relay",
    "envoy": "envoy",
}


def _kind(process: Process) -> str:
    if process.name in _NAMED:
        return _NAMED[process.name]
    if process.task:
        return "app"
    words = process.command
    if any(word.endswith("/kit/tether.py") for word in words):
        return "tether"
    if "tsunagu_node" in words:
        return f"{_OF_SEVERAL}{words[words.index('--name') + 1]}" if "--among" in words else "node"
    if "tsunagu.cli.local.control_plane" in words:
        return "serve"
    if "tsunagu.aws.process" in words:
        return "web"
    return next((word for word in words[1:] if word in ("up", "serve", "node")), "other")


def everyone() -> list[Process]:
    """Every process of the machine."""
    pids = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return [process for pid in pids if (process := _read(pid)) is not None]


def _read(pid: int) -> Process | None:
    """None when there is no such process, or only its zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return None
    before, _, after = stat.rpartition(b")")  # the name in parentheses may hold anything
    name = before.partition(b"(")[2].decode(errors="replace")
    fields = after.split()
    if fields[0] in (b"Z", b"X"):
        return None
    return Process(pid, int(fields[19]), int(fields[1]), name, tuple(word for word in words if word))


def _points_into(process: Process, home: Path) -> bool:
    return any(_inside(word, home) for word in process.command) or _inside(_directory(process.pid), home)


def _inside(path: str, home: Path) -> bool:
    root = str(home)
    return path == root or path.startswith(f"{root}/") or path.endswith(f"={root}")


def _directory(pid: int) -> str:
    try:
        return str(Path(f"/proc/{pid}/cwd").readlink())
    except OSError:
        return ""


def _task_in(process: Process, home: Path) -> str:
    tasks = re.compile(rf"{re.escape(str(home))}/(?:nodes/[^/]+/)?tasks/([^/]+)")
    found = map(tasks.match, (*process.command, _directory(process.pid)))
    return next((match[1] for match in found if match), "")


def _with_task(process: Process, task: str) -> Process:
    return Process(process.pid, process.begun, process.parent, process.name, process.command, task)


def survivors(known: Iterable[Process]) -> list[Process]:
    """Those of `known` that still run."""
    return [process for process in known if process.alive()]
