"""What the engine tells of a mesh's containers: starts, ends, commands that ended, memory that was not enough.

Rule: the stream is only the quick way. After each connection the state is read as a whole, since an engine that was away has
told nobody; so what is heard twice must change nothing (see `process_table`).
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from tsunagu.kit.backoff import Backoff
from tsunagu.kit.log import get
from tsunagu_node.runtime.contract import RuntimeFailed
from tsunagu_node.runtime.docker.definition.site import MESH, PROCESS, TASK
from tsunagu_node.runtime.docker.engine.engine import Answer, Engine

_KINDS: Final = ("die", "oom", "exec_die", "destroy")
_RETRY: Final = Backoff(base=0.05, cap=1.0)
log = get("node.runtime")


@dataclass(frozen=True, slots=True)
class EngineEvent:
    """`kind`: die, oom, exec_die or destroy. `code`: of the process that ended. `execution`: the ID of a command. `at`: seconds
    since the epoch. `task`: empty for a container that belongs to none.
    """

    kind: str
    container: str
    task: str
    process: str
    at: float
    code: int = 0
    execution: str = ""


class EventStream:
    """The events of the mesh `mesh`, each given to `tell`; `relist` is called after each connection, before its events."""

    def __init__(
        self,
        engine: Engine,
        mesh: str,
        tell: Callable[[EngineEvent], None],
        relist: Callable[[], Awaitable[None]],
    ) -> None:
        self._engine = engine
        self._mesh = mesh
        self._tell = tell
        self._relist = relist
        self.connected = asyncio.Event()  # it was, at least once

    async def run(self) -> None:
        """Run until cancelled, through restarts of the engine."""
        failures = 0
        while True:
            try:
                filters = {"type": ["container"], "event": list(_KINDS), "label": [f"{MESH}={self._mesh}"]}
                async with self._engine.stream("GET", "/events", {"filters": filters}) as answer:
                    failures = 0
                    await self._read(answer)
            except RuntimeFailed as error:
                log.warning("no events from the container engine", reason=str(error))
            failures += 1
            await asyncio.sleep(_RETRY.delay(failures))

    async def _read(self, answer: Answer) -> None:
        await self._relist()
        self.connected.set()
        rest = b""
        async for piece in answer.pieces():
            *lines, rest = (rest + piece).split(b"\n")
            for event in parsed(lines):
                self._tell(event)


def parsed(lines: list[bytes]) -> Iterator[EngineEvent]:
    """Yield the events of whole lines; what is no container of the mesh's is left out. Pure."""
    for line in filter(None, lines):
        found = json.loads(line)
        attributes: Mapping[str, str] = found["Actor"]["Attributes"]
        kind = found["Action"].partition(":")[0]
        if kind in _KINDS and PROCESS in attributes:
            yield _event(kind, found, attributes)


def _event(kind: str, found: Mapping[str, Any], attributes: Mapping[str, str]) -> EngineEvent:
    at = found.get("timeNano", 0) / 1e9 or float(found["time"])
    return EngineEvent(
        kind,
        found["Actor"]["ID"],
        attributes.get(TASK, ""),
        attributes.get(PROCESS, ""),
        at,
        int(attributes.get("exitCode", 0)),
        attributes.get("execID", ""),
    )
