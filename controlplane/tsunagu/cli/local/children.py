"""The children of `up`: the control plane and the node agent, kept running for as long as the mesh lives.

Rule: they end with the mesh's `Lifeline`, so they and everything that they started end however `up` does.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections import deque
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tsunagu.cli.errors import FAILED, CliError
from tsunagu.cli.local.lifeline import Lifeline
from tsunagu.kit.supervise import Child, Exited, Silent, Started, supervise
from tsunagu.settings import LIFE_FD_VARIABLE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from pathlib import Path

    from tsunagu.settings import Home

_GONE_SECONDS = 5.0
_STOP_SECONDS = 1.0  # of each child, at the end of the mesh
_TRIES = 3
_NODE_SILENCE = 15.0  # seconds; a busy machine may keep a healthy agent waiting for some of them


@dataclass(slots=True)
class Processes:
    """The state of the children, kept from the reports of `supervise`."""

    home: Home
    notify: Callable[[str], None]
    pids: dict[str, int] = field(default_factory=dict)
    failing: asyncio.Event = field(default_factory=asyncio.Event)  # one of them dies again and again
    complaint: str = ""
    ending: bool = False  # they are being stopped: an exit is no failure
    answered: bool = False  # the control plane, with a node that can run tasks

    def report(self, event: Started | Exited | Silent) -> None:
        """Record a start or an exit, and notify the user of what is unexpected."""
        name = event.child.name
        if isinstance(event, Silent):
            self.notify(f"{name} has not answered for {event.seconds:.0f} s; it is killed")
            return
        if isinstance(event, Started):
            self.pids[name] = event.pid
            if event.state.starts > 1:
                self.notify(f"{name} is started again (process {event.pid})")
            return
        self.pids.pop(name, None)
        if self.ending:
            return
        said = (
            f" ({words[-1].strip()[:200]})" if (words := last_lines(self.home.log(name).with_suffix(".err"), 1)) else ""
        )
        self.notify(f"{name} has ended with code {event.code}{said}; it is started again in {event.delay:g} s")
        if event.state.failures >= _TRIES:
            self.complaint = f"{name} ends again and again (code {event.code})"
            self.failing.set()


def children(home: Home, lifeline: Lifeline, of_node: Sequence[str] = ()) -> list[Child]:
    """The programs of a mesh in that home; `of_node` are more arguments of the node agent."""
    env = {**os.environ, LIFE_FD_VARIABLE: str(lifeline.descriptor)}
    # -P: the directory that `up` was started in is not on their path, so nobody's secrets.py is imported as the library's.
    commands = {
        "serve": ("-P", "-m", "tsunagu.cli.local.control_plane", str(home.root)),
        "node": ("-P", "-m", "tsunagu_node", "--home", str(home.root), *of_node),
    }
    return [
        Child(
            name,
            (sys.executable, *command),
            env,
            (lifeline.descriptor,),
            home.log(name).with_suffix(".err"),
            _STOP_SECONDS,
            _NODE_SILENCE if name == "node" else 0.0,
        )
        for name, command in commands.items()
    ]


@asynccontextmanager
async def running(home: Home, notify: Callable[[str], None], of_node: Sequence[str] = ()) -> AsyncIterator[Processes]:
    """Run the children for the length of the block; after it they, and everything that they started, are gone."""
    lifeline = Lifeline()
    processes = Processes(home, notify)
    programs = children(home, lifeline, of_node)
    for child in programs:
        if child.log is not None:
            child.log.unlink(missing_ok=True)  # `failure` would show the last lines of an earlier mesh
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(supervise(child, report=processes.report), name=f"supervise {child.name}")
                for child in programs
            ]
            try:
                yield processes
            finally:
                processes.ending = True
                lifeline.end()
                for task in tasks:
                    task.cancel()
    finally:
        if not await lifeline.gone(_GONE_SECONDS):
            notify(f"some process of the mesh is still there after {_GONE_SECONDS:g} s; see {home.root / 'log'}")


def failure(processes: Processes) -> CliError:
    """The error for a child that keeps failing, with the last lines of its log."""
    name = processes.complaint.partition(" ")[0]
    log = processes.home.log(name).with_suffix(".err")
    words = "".join(f"\n  {line}" for line in last_lines(log, 8))
    return CliError(processes.complaint + (":" + words if words else ""), FAILED, f"all of it is in {log.parent}")


def last_lines(file: Path, count: int) -> list[str]:
    """The end of a log file; empty when there is none."""
    try:
        with file.open(errors="replace") as lines:
            return [line.rstrip() for line in deque(lines, count)]
    except FileNotFoundError:
        return []
