"""The task metadata endpoint of one task: a socket inside the task, answered by the node agent.

Programs find it by variables of their environment, at the address that AWS uses (169.254.170.2), which a nat rule of the task
leads to a port of the task's own loopback. Rule: who reaches the socket is of this task, so an answer is about this task
alone and asks nobody for a proof. While no node agent runs, connections wait for the next in the linux runtime, where the task's
init keeps the socket; in the docker runtime they are refused until it listens again.
"""

import asyncio
import socket
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from tsunagu.kit.http_server import Answer
from tsunagu.kit.log import get
from tsunagu_node.runtime.contract import RunningTask, RuntimeFailed
from tsunagu_node.task.metadata import documents
from tsunagu_node.task.metadata.facts import Facts, endpoint_id
from tsunagu_node.task.metadata.paced_server import as_json, serve
from tsunagu_node.task.metadata.paths import Refusal, Wanted, wanted
from tsunagu_node.task.metadata.samples import Samples
from tsunagu_node.task.process_names import process_of
from tsunagu_node.task.spec import METADATA, TaskSpec

_RETRY: Final = 2.0
_PATIENCE: Final = 5.0
log = get("node.metadata")


def environment(spec: TaskSpec, container: str) -> Mapping[str, str]:
    """Return the variables by which a container finds the endpoint, unless its own definition says otherwise."""
    identifier = endpoint_id(spec, container)
    return {
        "ECS_CONTAINER_METADATA_URI": f"http://{METADATA.network}/v3/{identifier}",
        "ECS_CONTAINER_METADATA_URI_V4": f"http://{METADATA.network}/v4/{identifier}",
    }


class Endpoint:
    """The endpoint of `task`; `facts` returns what the task is like now."""

    def __init__(self, task: RunningTask, facts: Callable[[], Facts]) -> None:
        self._task = task
        self._facts = facts
        self._samples = Samples()
        self._listening = asyncio.Event()

    async def run(self) -> None:
        """Listen and answer until cancelled. While the task cannot be listened in, it is tried again."""
        listener = await self._listener()
        self._listening.set()
        await serve(listener, self.answer, f"metadata of {self._task.id}")

    async def listening(self) -> None:
        """Wait until a container that starts would be answered, but not for long: a task needs no metadata to serve."""
        try:
            async with asyncio.timeout(_PATIENCE):
                await self._listening.wait()
        except TimeoutError:
            log.warning("containers start before their metadata endpoint", task=self._task.id)

    async def _listener(self) -> socket.socket:
        while True:
            try:
                return await self._task.listen(METADATA.to)
            except RuntimeFailed as error:
                log.warning("no metadata endpoint", task=self._task.id, reason=str(error))
                await asyncio.sleep(_RETRY)

    async def answer(self, method: str, target: str) -> Answer:
        """Return the answer to one request."""
        facts = self._facts()
        asked = wanted(method, target, _identifiers(facts))
        if isinstance(asked, Refusal):
            return _refused(asked)
        return as_json(await self._document(asked, facts))

    async def _document(self, asked: Wanted, facts: Facts) -> Any:
        match asked.what:
            case "task":
                return documents.task(facts, asked.version)
            case "container":
                return documents.container(facts, asked.container, asked.version)
            case "stats":
                return await self._stats(facts, asked.container)
        names = [one.name for one in facts.definitions]
        return {facts.docker_id(name): await self._stats(facts, name) for name in names}

    async def _stats(self, facts: Facts, container: str) -> Mapping[str, Any] | None:
        fresh = self._samples.fresh(container, time.monotonic())
        if fresh is not None and facts.runs(container):
            return fresh
        stats = await self._task.stats(process_of(container))
        return self._samples.answer(container, facts.docker_id(container), stats, time.monotonic())


def _identifiers(facts: Facts) -> Mapping[str, str]:
    """Return ID -> container: the endpoint's own IDs, and the engine's."""
    names = [one.name for one in facts.definitions]
    own = {endpoint_id(facts.spec, name): name for name in names}
    return {**{facts.docker_id(name): name for name in names}, **own}


def _refused(refusal: Refusal) -> Answer:
    if refusal.plain:
        return Answer(refusal.status, str(refusal.body).encode(), "text/plain; charset=utf-8")
    return as_json(refusal.body, refusal.status)
