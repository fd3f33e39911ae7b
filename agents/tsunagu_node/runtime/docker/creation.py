"""Makes a task: its files, the container that holds its network, and its nat rules.

Rule: whole or not at all; of a task that could not be made nothing is left but its logs.
"""

import os
from asyncio import TaskGroup
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from tsunagu_node.runtime.contract import Network, RuntimeFailed
from tsunagu_node.runtime.docker.definition import bodies, volumes
from tsunagu_node.runtime.docker.definition.site import PAUSE, Site
from tsunagu_node.runtime.docker.docker_task import DockerTask
from tsunagu_node.runtime.docker.handover import nat_word
from tsunagu_node.runtime.docker.machine import Machine
from tsunagu_node.runtime.docker.process_table import ProcessTable
from tsunagu_node.runtime.docker.record import Record
from tsunagu_node.runtime.docker.task_containers import Containers
from tsunagu_node.runtime.docker.task_files import opened
from tsunagu_node.runtime.hosts_file import HostsFile
from tsunagu_node.runtime.nft import batch
from tsunagu_node.runtime.resolving import resolv_conf


async def created(
    machine: Machine, site: Site, record: Record, wanted: Network, outside: Sequence[bytes]
) -> DockerTask:
    """Return the new task. `outside`: the messages of its rules for what leaves the mesh. Raises OSError, RuntimeFailed."""
    async with AsyncExitStack() as undo:
        _files(site, record, wanted.resolver)
        undo.callback(record.clean, site.directory)
        containers = Containers(machine, site, ProcessTable())
        ports = record.published if site.composed else ()  # elsewhere the node agent listens
        body = bodies.pause(site, machine.own_image, record.ip, record.definition, ports, wanted.resolver)
        pause = await containers.make(PAUSE, body)
        undo.push_async_callback(containers.delete, pause)
        await containers.start(pause)
        task = DockerTask(
            machine, site, record, pause, await opened(site, record.own_lines(site.task), containers, pause)
        )
        undo.callback(task.release)
        await _finished(containers, task, wanted, (*machine.routes, nat_word(outside)))
        undo.pop_all()
    return task


def _files(site: Site, record: Record, resolver: str) -> None:
    record.write(site.directory)
    if resolver:
        search = " ".join(bodies.search(record.definition))
        (site.directory / bodies.RESOLV_CONF).write_text(resolv_conf(resolver, search))
    for folder in volumes.folders(site, record.definition):
        if not Path(os.path.realpath(folder)).is_relative_to(os.path.realpath(site.home / volumes.EFS)):
            raise RuntimeFailed(f"{folder} is reached through a link out of the file system that it is in")
        folder.mkdir(parents=True, exist_ok=True)
    HostsFile(site.directory / "hosts", record.own_lines(site.task)).close()


async def _finished(containers: Containers, task: DockerTask, wanted: Network, more: Sequence[str]) -> None:
    """Learn the pid of pause, and make the nat rules, and routes and rules (`more`); neither needs the other."""
    try:
        async with TaskGroup() as group:
            inspecting = group.create_task(containers.inspected(task.pause), name=f"inspect {task.id}")
            group.create_task(_prepared(task, wanted, more), name=f"nat of {task.id}")
    except* RuntimeFailed as errors:
        raise errors.exceptions[0] from None
    task.pause_pid = int(inspecting.result()["State"]["Pid"])


async def _prepared(task: DockerTask, wanted: Network, more: Sequence[str]) -> None:
    """Make the nat rules, and listen where the node agent will: one command for both, since each takes a tenth of a second."""
    await task.prepare([nat_word(batch(wanted.nat)), *more], wanted)
