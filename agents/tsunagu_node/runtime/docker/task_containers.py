"""The containers of one task, as requests to the engine.

Rule: what has already happened is no error: a container that is gone was removed, one that does not run was ended. A
container that is started again is the same one, with the files that it wrote, unless it is asked for differently.
"""

import asyncio
from asyncio import TaskGroup
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from tsunagu_node.runtime.contract import RuntimeFailed
from tsunagu_node.runtime.docker.definition.site import BODY, MESH, PROCESS, TASK, Site
from tsunagu_node.runtime.docker.engine.engine import EngineError
from tsunagu_node.runtime.docker.engine.frames import Demultiplexer
from tsunagu_node.runtime.docker.engine.log_follower import LogFollower
from tsunagu_node.runtime.docker.machine import Machine
from tsunagu_node.runtime.docker.process_table import ProcessTable

_NOT_FOUND, _CONFLICT = 404, 409
_GONE: Final = frozenset({_NOT_FOUND, _CONFLICT})
_KILLED: Final = 137
_LOG_WAIT: Final = 5.0


class Containers:
    """The containers of the task at `site`. `_logs`: container -> the job that takes its log over, until that has ended."""

    def __init__(self, machine: Machine, site: Site, table: ProcessTable) -> None:
        self._machine = machine
        self._engine = machine.engine
        self._site = site
        self._table = table
        self._logs: dict[str, asyncio.Task[None]] = {}

    async def made(self, name: str, body: Mapping[str, Any]) -> str:
        """Return the ID of a container of this body: the former one of the process, or a new one in its place."""
        if kept := self._table.get(name):
            if await self._is_like(kept.container, body):
                return kept.container
            await self.written(kept.container)
            await self.delete(kept.container)
        return await self.make(name, body)

    async def make(self, name: str, body: Mapping[str, Any]) -> str:
        """Make a new container, in the place of one that was left behind under its name; return its ID."""
        query = {"name": self._site.container(name)}
        try:
            made = await self._engine.call("POST", "/containers/create", query, body)
        except EngineError as error:
            if error.status != _CONFLICT:
                raise
            await self.delete(query["name"])
            made = await self._engine.call("POST", "/containers/create", query, body)
        return str(made["Id"])

    async def start(self, container: str) -> None:
        await self._engine.call("POST", f"/containers/{container}/start")

    async def inspected(self, container: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = await self._engine.call("GET", f"/containers/{container}/json")
        return found

    async def stats(self, container: str) -> Mapping[str, Any] | None:
        """Return what it uses; None when it does not run."""
        found: Mapping[str, Any] | None = None
        with _already(_GONE):
            path, query = f"/containers/{container}/stats", {"stream": False, "one-shot": True}
            found = await self._engine.call("GET", path, query)
        return found if found and found.get("pids_stats") is not None else None

    async def signal(self, container: str, signal: str) -> None:
        with _already(_GONE):
            await self._engine.call("POST", f"/containers/{container}/kill", {"signal": signal})

    async def kill(self, container: str) -> int:
        """Kill it and wait for its end; return its exit code."""
        await self.signal(container, "KILL")
        ended = {"StatusCode": _KILLED}
        with _already(_GONE):
            ended = await self._engine.call("POST", f"/containers/{container}/wait")
        return int(ended["StatusCode"])

    async def delete(self, container: str) -> None:
        """Remove it with the volumes that nobody named."""
        with _already(_GONE):
            await self._engine.call("DELETE", f"/containers/{container}", {"force": True, "v": True})

    async def remove(self, pause: str, volumes: Sequence[str]) -> None:
        """Remove all containers of the task, `pause` last, and its volumes."""
        found = await listed(self._machine, self._site.mesh, self._site.task)
        async with TaskGroup() as group:
            for one in found:
                if one["Id"] != pause:
                    group.create_task(self._remove(one["Id"]), name=f"remove {one['Id'][:12]}")
        await self.delete(pause)
        for volume in volumes:
            with _already(_GONE):
                await self._engine.call("DELETE", f"/volumes/{volume}")

    async def output(self, container: str, command: Sequence[str], user: str = "") -> str:
        """Run a command in it; return what it writes to stdout. Raises RuntimeFailed with its words when it fails."""
        body = {"Cmd": list(command), "AttachStdout": True, "AttachStderr": True, "User": user}
        execution = (await self._engine.call("POST", f"/containers/{container}/exec", None, body))["Id"]
        texts = {"stdout": b"", "stderr": b""}
        frames = Demultiplexer()
        async with self._engine.stream("POST", f"/exec/{execution}/start", None, {"Detach": False}) as answer:
            async for piece in answer.pieces():
                for frame in frames.feed(piece):
                    texts[frame.stream] += frame.payload
        code = (await self._engine.call("GET", f"/exec/{execution}/json"))["ExitCode"]
        if code:
            raise RuntimeFailed((texts["stderr"] or texts["stdout"]).decode(errors="replace").strip())
        return texts["stdout"].decode(errors="replace")

    def follow_log(self, name: str, inspected: Mapping[str, Any]) -> None:
        """Take over the log of a process's container from now on, or go on with it."""
        container = inspected["Id"]
        if container in self._logs and not self._logs[container].done():
            return
        path = self._site.directory / "log" / f"{name}.log"
        follower = LogFollower(self._engine, container, path, tty=bool(inspected["Config"]["Tty"]))
        job = self._machine.jobs.start(follower.run(), f"log of {self._site.task}/{name}")
        self._logs[container] = job
        job.add_done_callback(lambda _: self._logs.pop(container, None))

    @staticmethod
    def name_of(inspected: Mapping[str, Any]) -> str:
        """Return the name of the process whose container it is."""
        return str(inspected["Config"]["Labels"][PROCESS])

    async def _is_like(self, container: str, body: Mapping[str, Any]) -> bool:
        found = ""
        with _already(_GONE):
            found = (await self.inspected(container))["Config"]["Labels"].get(BODY, "")
        return bool(found) and found == body["Labels"].get(BODY)

    async def _remove(self, container: str) -> None:
        await self.written(container)
        await self.delete(container)

    async def written(self, container: str, timeout: float = _LOG_WAIT) -> None:
        """Wait until the log of a container that has ended is taken over, at most `timeout` seconds."""
        if job := self._logs.get(container):
            await asyncio.wait([job], timeout=timeout)


async def listed(machine: Machine, mesh: str, task: str = "") -> list[Mapping[str, Any]]:
    """Return the containers of a mesh, or of one task of it, running or not, as the engine lists them."""
    labels = [f"{MESH}={mesh}", *([f"{TASK}={task}"] if task else [])]
    found: list[Mapping[str, Any]] = await machine.engine.call(
        "GET", "/containers/json", {"all": True, "filters": {"label": labels}}
    )
    return found


@contextmanager
def _already(statuses: frozenset[int]) -> Iterator[None]:
    """Suppress the engine's refusals of these `statuses`."""
    try:
        yield
    except EngineError as error:
        if error.status not in statuses:
            raise
