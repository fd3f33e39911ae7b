"""The children of `up`: the control plane and the node agents, kept running for as long as the mesh lives.

Rule: they end with the mesh's `Lifeline`, so they and everything that they started end however `up` does.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections import deque
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from tsunagu.cli.errors import FAILED, CliError
from tsunagu.cli.local.lifeline import Lifeline
from tsunagu.kit.supervise import Child, Exited, Silent, Started, supervise
from tsunagu.settings import LIFE_FD_VARIABLE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from pathlib import Path

    from tsunagu.cli.local.options import Options
    from tsunagu.cli.local.runtime import Choices
    from tsunagu.settings import Home
    from tsunagu_node.runtime.choice import Choice

_GONE_SECONDS = 5.0
_STOP_SECONDS = 1.0  # of each child, at the end of the mesh
_TRIES = 3
WEB = "web"
METRICS = "metrics"
_OPTIONAL = frozenset({WEB, METRICS})  # without them the mesh is whole
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
    answered: bool = False  # the control plane, with nodes that can run tasks
    runtimes: asyncio.Future[Choices] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def choose(self, runtimes: Choices) -> None:
        """Start a node agent for each of these runtimes; once chosen, they stay."""
        if not self.runtimes.done():
            self.runtimes.set_result(runtimes)

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
        if event.state.failures >= _TRIES and name not in _OPTIONAL:
            self.complaint = f"{name} ends again and again (code {event.code})"
            self.failing.set()


def serve(home: Home, lifeline: Lifeline, variables: Sequence[str] = ()) -> Child:
    """The control plane of a mesh in that home. `variables`: VARIABLE=VALUE, added to its environment."""
    child = _child(home, lifeline, "serve", "tsunagu.cli.local.control_plane", str(home.root))
    return replace(child, env={**(child.env or {}), **dict(word.split("=", 1) for word in variables)})


def nodes(home: Home, lifeline: Lifeline, runtimes: Choices, of_node: Sequence[str] = ()) -> list[Child]:
    """The node agents of a mesh in that home; `of_node` are more arguments."""
    if len(runtimes) == 1:
        return [_node(home, lifeline, "node", runtimes[0], of_node)]
    return [
        _node(home, lifeline, f"node-{one.node}", one, ("--name", one.node, "--among", *of_node)) for one in runtimes
    ]


def _node(home: Home, lifeline: Lifeline, name: str, runtime: Choice, arguments: Sequence[str]) -> Child:
    options = ("--home", str(home.root), "--chosen", runtime.encoded(), *arguments)
    return replace(_child(home, lifeline, name, "tsunagu_node", *options), silence=_NODE_SILENCE)


def web(home: Home, lifeline: Lifeline, aws: str) -> Child:
    """The process that answers AWS's APIs for a mesh in that home, at `aws` (HOST:PORT)."""
    host, _, port = aws.rpartition(":")
    return _child(home, lifeline, WEB, "tsunagu.aws.process", str(home.root), host, port)


def metrics(home: Home, lifeline: Lifeline, at: str) -> Child:
    """The exporter for Prometheus, at `at` (HOST:PORT)."""
    host, _, port = at.rpartition(":")
    return _child(home, lifeline, METRICS, "tsunagu.metrics.process", str(home.root), host, port)


def _child(home: Home, lifeline: Lifeline, name: str, *command: str) -> Child:
    env = {**os.environ, LIFE_FD_VARIABLE: str(lifeline.descriptor)}
    log = home.log(name).with_suffix(".err")
    # -P: the directory that `up` was started in is not on their path, so nobody's secrets.py is imported as the library's.
    argv = (sys.executable, "-P", "-m", *command)
    return Child(name, argv, env, (lifeline.descriptor,), log, _STOP_SECONDS)


async def _keep(processes: Processes, child: Child) -> None:
    if child.log is not None:
        child.log.unlink(missing_ok=True)  # `failure` would show the last lines of an earlier mesh
    await supervise(child, report=processes.report)


async def _keep_nodes(processes: Processes, lifeline: Lifeline, of_node: Sequence[str]) -> None:
    """Keep the node agents running from the moment on that their runtimes are chosen."""
    runtimes = await processes.runtimes
    async with asyncio.TaskGroup() as group:
        for child in nodes(processes.home, lifeline, runtimes, of_node):
            group.create_task(_keep(processes, child), name=f"supervise {child.name}")


@asynccontextmanager
async def running(home: Home, notify: Callable[[str], None], options: Options) -> AsyncIterator[Processes]:
    """Run the children for the length of the block; after it they, and everything that they started, are gone.

    The node agents are started by `Processes.choose`.
    """
    lifeline = Lifeline()
    processes = Processes(home, notify)
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(_keep(processes, serve(home, lifeline, options.identity)), name="supervise serve"),
                group.create_task(_keep_nodes(processes, lifeline, options.of_node), name="supervise nodes"),
            ]
            if options.aws:
                kept = _keep(processes, web(home, lifeline, options.aws))
                tasks.append(group.create_task(kept, name="supervise web"))
            if options.metrics:
                kept = _keep(processes, metrics(home, lifeline, options.metrics))
                tasks.append(group.create_task(kept, name="supervise metrics"))
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
