"""What a node agent finds of its mesh in the engine when it starts, and what it missed while the engine was away.

Rule: a task whose pause runs, and that was not being killed, goes on; of any other only the record of how its processes ended is
kept. What the engine says now is the truth; events only come sooner.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from tsunagu.kit.log import get
from tsunagu_node.runtime.contract import RuntimeFailed
from tsunagu_node.runtime.docker.definition import volumes
from tsunagu_node.runtime.docker.definition.site import PAUSE, TASK, Site
from tsunagu_node.runtime.docker.docker_task import DockerTask
from tsunagu_node.runtime.docker.engine.engine import EngineError
from tsunagu_node.runtime.docker.machine import Machine
from tsunagu_node.runtime.docker.process_table import ProcessTable, saved
from tsunagu_node.runtime.docker.record import Record
from tsunagu_node.runtime.docker.task_containers import Containers, listed
from tsunagu_node.runtime.docker.task_files import opened

_KILLED: Final = 137
_NOT_FOUND: Final = 404
_OVER: Final = frozenset({"exited", "dead"})
log = get("node.runtime")
Inspected = Mapping[str, Any]


async def by_task(machine: Machine, mesh: str) -> dict[str, list[str]]:
    """Return the IDs of the mesh's containers, by the ID of their task."""
    found: dict[str, list[str]] = {}
    for one in await listed(machine, mesh):
        if task := one["Labels"].get(TASK):
            found.setdefault(task, []).append(one["Id"])
    return found


async def adopted(machine: Machine, site: Site, containers: Sequence[str]) -> DockerTask | None:
    """Return the task that has these containers; None when it is no more, and then nothing is left of it."""
    ours = Containers(machine, site, ProcessTable())
    inspected = [one for container in containers if (one := await _inspected(ours, container))]
    pause = next((one for one in inspected if ours.name_of(one) == PAUSE), None)
    if pause is not None and pause["State"]["Running"]:
        try:
            record = Record.read(site.directory)
            files = await opened(site, record.own_lines(site.task), ours, pause["Id"])
            task = DockerTask(machine, site, record, pause["Id"], files)
        except (OSError, ValueError, RuntimeFailed) as error:
            log.info("task is not adopted", task=site.task, reason=str(error))
        else:
            await task.adopt(inspected, saved(site.directory))
            return task
    await _sweep(ours, site, inspected)
    return None


async def caught_up(machine: Machine, mesh: str, tasks: Iterable[DockerTask]) -> None:
    """Tell tasks of the ends that nobody told of: those of containers that do not run any more, or are gone."""
    running = {one["Id"] for one in await listed(machine, mesh) if one["State"] == "running"}
    for task in tasks:
        ours = [(name, kept.container) for name, kept in task.table.running()]
        for name, container in [*ours, (PAUSE, task.pause)]:
            if container not in running:
                await _tell(machine, task, name, container)


async def _tell(machine: Machine, task: DockerTask, name: str, container: str) -> None:
    try:
        state = (await machine.engine.call("GET", f"/containers/{container}/json"))["State"]
    except EngineError as error:
        if error.status != _NOT_FOUND:
            raise
        state = {"Status": "dead", "ExitCode": _KILLED}
    if state["Status"] in _OVER:
        task.ended(name, container, int(state["ExitCode"]), time.time())


async def _inspected(containers: Containers, container: str) -> Inspected | None:
    try:
        return await containers.inspected(container)
    except EngineError as error:
        if error.status != _NOT_FOUND:
            raise
        return None


async def _sweep(containers: Containers, site: Site, inspected: Sequence[Inspected]) -> None:
    """Take away what is left of a task, but for its logs and the record of how its processes ended."""
    table = ProcessTable()
    for one in inspected:
        if (name := containers.name_of(one)) != PAUSE:
            table.adopt(name, one)
            table.ended(name, one["Id"], _KILLED, time.time())  # if it still runs: it will not for long
    names: list[str] = []
    with suppress(OSError, ValueError):
        names = volumes.of_task(site, Record.read(site.directory).definition)
    if site.directory.is_dir():
        with suppress(OSError):
            table.save(site.directory)
    await containers.remove(site.container(PAUSE), names)
    if site.directory.is_dir():
        Record.clean(site.directory)
