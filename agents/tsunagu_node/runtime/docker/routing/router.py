"""The router of a mesh that has nodes of both runtimes: a container by which their tasks reach each other.

Tasks of the linux runtime are in a sandbox, whose network leads nowhere else, and whoever started the mesh owns that; containers
are in a network of the engine. The router is in the latter, and has a link into the sandbox's: the kernel lets it make one, since
it has NET_ADMIN over all networks of users. So addresses of tasks are the same to all proxies of the mesh. Rule: state, not events:
after any change it looks what is there, and mends what is not. Tasks go on meanwhile, and connections outlive a short cut.
"""

import asyncio
import json
import os
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any, Final

from tsunagu.kit.log import get
from tsunagu_node.runtime.addresses import SANDBOX
from tsunagu_node.runtime.contract import RuntimeFailed
from tsunagu_node.runtime.docker.definition import bodies
from tsunagu_node.runtime.docker.definition.site import ROUTER, Site
from tsunagu_node.runtime.docker.docker_janitor import ROUTER as ROUTER_FOLDER
from tsunagu_node.runtime.docker.engine.engine import EngineError
from tsunagu_node.runtime.docker.machine import Machine
from tsunagu_node.runtime.docker.process_table import ProcessTable
from tsunagu_node.runtime.docker.task_containers import Containers
from tsunagu_node.runtime.linux import processes, sandbox
from tsunagu_node.runtime.linux.sandbox import Sandbox

_RECORD: Final = "linked.json"
_SOCKET: Final = "join.sock"
_RETRY: Final = 0.2
_LOOK: Final = 15.0  # seconds; what is heard of sooner is looked at sooner
_PATIENCE: Final = 30.0
_UNLINKED: Final = "it has not been linked yet"
log = get("node.runtime")


def address(network: IPv4Network) -> str:
    """Return the router's address in the containers' network."""
    return str(network[-2])


@dataclass(frozen=True, slots=True)
class _Linked:
    """What a link was made between: the router, at one of its starts, and a sandbox."""

    container: str
    started: str
    first: int
    begun: int


class Router:
    """The router between the containers' `network` and the sandbox of the node whose folder is `other`.

    `problem`: why tasks of the two do not reach each other now; empty when they do. `linked`: they did, at least once.
    """

    def __init__(self, machine: Machine, site: Site, network: IPv4Network, other: Path) -> None:
        self.problem = _UNLINKED
        self.linked = asyncio.Event()
        self._machine = machine
        self._site = site
        self._network = network
        self._other = other
        self._containers = Containers(machine, site, ProcessTable())
        self._folder = site.folder / ROUTER_FOLDER
        self._changed = asyncio.Event()

    def changed(self) -> None:
        """Have it look again."""
        self._changed.set()

    async def run(self) -> None:
        """Run until cancelled."""
        self._folder.mkdir(mode=0o755, exist_ok=True)
        while True:
            self._changed.clear()
            try:
                async with asyncio.timeout(_PATIENCE):
                    box = await self._ensured()
            except (RuntimeFailed, OSError, TimeoutError) as error:
                self._fail(str(error) or "the container engine does not answer in time")
                await asyncio.sleep(_RETRY)
                continue
            self.problem = ""
            self.linked.set()
            await self._until_changed(box)

    def _fail(self, reason: str) -> None:
        if reason != self.problem:
            log.warning("tasks of the other runtime are not reached", reason=reason)
        self.problem = reason

    async def _ensured(self) -> Sandbox:
        box = sandbox.find(self._other)
        if box is None:
            raise RuntimeFailed("the linux runtime's sandbox is not there")
        found = await self._running()
        state = _Linked(found["Id"], found["State"]["StartedAt"], box.first, box.first_begun)
        if state != self._recorded():
            self.problem = _UNLINKED
            await self._link(found["Id"], box)
            (self._folder / _RECORD).write_text(json.dumps([state.container, state.started, state.first, state.begun]))
            log.info("tasks of both runtimes reach each other", router=state.container[:12])
        return box

    async def _running(self) -> Mapping[str, Any]:
        """Return the router's container as the engine describes it; make it when there is none that runs."""
        with suppress(EngineError):
            found = await self._containers.inspected(self._site.container(ROUTER))
            if found["State"]["Running"]:
                return found
        self.problem = _UNLINKED
        body = bodies.router(self._site, self._machine.own_image, address(self._network), str(self._folder))
        made = await self._containers.make(ROUTER, body)
        await self._containers.start(made)
        return await self._containers.inspected(made)

    def _recorded(self) -> _Linked | None:
        try:
            return _Linked(*json.loads((self._folder / _RECORD).read_text()))
        except (OSError, ValueError, TypeError):
            return None

    async def _link(self, router: str, box: Sandbox) -> None:
        """Make the link: one end is made in the router, the other is taken by a process that joins the sandbox."""
        path = str(self._folder / _SOCKET)
        arguments = (str(box.first), path, str(self._network), str(self._network[1]))
        command = processes.python("tsunagu_node.runtime.docker.routing.sandbox_end", *arguments)
        joining = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=PIPE, cwd="/")
        try:
            await _ready(joining)
            await self._containers.output(router, bodies.inside("join_sandbox", path, SANDBOX), user="0")
            await _ended(joining)
        finally:
            if joining.returncode is None:
                joining.kill()
                await joining.wait()

    async def _until_changed(self, box: Sandbox) -> None:
        """Wait until something may have changed: the sandbox has ended, the engine told of the router, or time has passed."""
        try:
            gone = os.pidfd_open(box.first)
        except OSError:
            return
        loop = asyncio.get_running_loop()
        loop.add_reader(gone, self._changed.set)
        try:
            async with asyncio.timeout(_LOOK):
                await self._changed.wait()
        except TimeoutError:
            return
        finally:
            loop.remove_reader(gone)
            os.close(gone)


async def _ready(joining: Process) -> None:
    assert joining.stdout is not None
    if await joining.stdout.readline() != b"ready\n":
        await _ended(joining)


async def _ended(joining: Process) -> None:
    """Wait for its end. Raises RuntimeFailed with its words when it failed."""
    _, words = await joining.communicate()
    if joining.returncode:
        raise RuntimeFailed(f"the linux runtime's sandbox cannot be joined: {words.decode(errors='replace').strip()}")
